"""What is on disk: positions, universe, journal, analytics, audit, commands, dead letters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.clock import iso_utc, seconds
from domain.orders import CommandStatus
from domain.positions import Position
from domain.track_record import (
    PaperRecord,
    PhaseIn,
    TrackRecord,
    check_promotion,
    missing_proof,
)
from web_status.api.status import body_of
from web_status.gateway import Gateway
from web_status.masking import masked
from web_status.performance_shapes import AnalyticsAnswer
from web_status.plan_shapes import UniverseAnswer
from web_status.replies import Reply
from web_status.shapes import AuditAnswer, JournalAnswer, PositionsAnswer
from web_status.trace_shapes import ApprovalsAnswer, CommandsAnswer, DeadLettersAnswer

router = APIRouter(tags=["records"])
PREVIEW_CHARACTERS = 120
OFFSET_MAX = 2**31  # what every database takes
TIMES = {
    "created_at": "created_ns",
    "processed_at": "processed_ns",
    "next_retry_at": "next_retry_ns",
    "lease_expires": "lease_expires_ns",
    "valid_until": "valid_until_ns",
}


class Category(StrEnum):
    """Categories of the audit trail."""

    CONTROL = "CONTROL"
    DEAD_LETTER = "DEAD_LETTER"
    EXECUTION = "EXECUTION"
    RISK = "RISK"
    SIGNAL = "SIGNAL"


CommandFilter = StrEnum(
    "CommandFilter", [*((row.value, row.value) for row in CommandStatus), ("ALL", "ALL")]
)


@router.get("/positions", responses={200: {"model": PositionsAnswer}})
def get_positions(request: Request) -> Response:
    """The book as it stands on disk, with the newest prices; rows of quantity 0 are left out.

    Asks for a read of the brokers' books, at most each TOMIC_POSITIONS_SYNC_MIN_INTERVAL_S; this
    answer does not wait for it.
    """
    gateway: Gateway = request.app.state.gateway
    kept = request.app.state.positions.positions()
    _, version = request.app.state.positions.cursor()
    live = body_of(gateway.parts(), "position_book")
    watched = body_of(gateway.parts(), "position_manager")
    prices = live.get("prices", {})
    rows = [
        _position(row.position, prices) | {"virtual_guard": _guard(row.position, watched)}
        for row in kept
        if row.position.quantity
    ]
    return Reply(
        {
            "status": "success",
            "version": version,
            "positions": rows,
            "strategies": sorted({row["strategy_id"] for row in rows}),
            "unmanaged": live.get("unmanaged", []),
            "sync": _sync(request) | {"rows": len(rows)},
        }
    )


def _sync(request: Request) -> dict[str, Any]:
    """How the book stands to the brokers'."""
    gateway: Gateway = request.app.state.gateway
    parts = gateway.parts()
    readers = {name: part.body for name, part in parts.items() if name.startswith("account_sync.")}
    failing = {name: body for name, body in readers.items() if body.get("failures_in_row")}
    if not readers or "position_book" not in parts:
        text = "no broker's book has been read yet"
        return {"synced": False, "mode": "unavailable", "message": text}
    if failing:
        told = (f"{name.partition('.')[2]}: {body['last_error']}" for name, body in failing.items())
        return {"synced": False, "mode": "error", "message": "; ".join(sorted(told))}
    if not _may_ask(request):
        return {"synced": True, "mode": "throttled", "message": "read a moment ago"}
    gateway.ask("read_positions", {}, "positions page")
    return {"synced": True, "mode": "broker"}


def _may_ask(request: Request) -> bool:
    state = request.app.state
    now_ns = state.gateway.monotonic_ns()
    least_s = state.runtime.settings.positions_sync_min_interval_s
    due_ns = state.positions_asked_ns + seconds(least_s)
    if state.positions_asked_ns and now_ns < due_ns:
        return False
    state.positions_asked_ns = now_ns
    return True


def _guard(row: Position, watched: Mapping[str, Any]) -> Any:
    return watched.get(row.strategy_id, {}).get("virtual_guard")


def _position(row: Position, prices: Mapping[str, Any]) -> dict[str, Any]:
    last = Decimal(str(prices.get(row.symbol, row.last_price)))
    pnl = (last - row.average_price) * row.signed_quantity if last else Decimal(0)
    return {
        "instrument": row.symbol,
        "underlying": row.underlying,
        "strategy_id": row.strategy_id,
        "strategy_tag": row.strategy_tag,
        "direction": row.direction,
        "exchange": row.exchange,
        "product": row.product,
        "quantity": row.quantity,
        "avg_price": float(row.average_price),
        "ltp": float(last),
        "pnl": float(pnl),
        "entry_time": iso_utc(row.entry_ns),
        "leg_no": row.leg_no,
        "broker": row.broker,
    }


@router.get("/universe", responses={200: {"model": UniverseAnswer}})
def get_universe(request: Request, limit: int = Query(500, ge=1, le=5000)) -> Response:
    """Which underlyings are watched today, strongest first, and why the others are not; `hot` ones
    are looked at closely. Those of the operator's own list have rank 0."""
    universe = request.app.state.market.read_universe()
    if universe is None:
        return Reply({"status": "unavailable", "watched": [], "left_out": [], "left_out_total": 0})
    left_out = [row for row in universe.rows if row.code]
    left_out.sort(key=lambda row: (row.code, row.name))
    return Reply(
        {
            "status": "success",
            "day": universe.day.isoformat(),
            "built_at": iso_utc(universe.built_ns),
            "scored_at": iso_utc(universe.scored_ns),
            "watched": [
                {
                    "exchange": row.exchange,
                    "instrument": row.name,
                    "rank": row.rank,
                    "hot": row.is_hot,
                    "rs": None if row.rs != row.rs else round(row.rs, 2),
                    "volume": round(row.volume),
                }
                for row in universe.watched
            ],
            "left_out_total": len(left_out),
            "left_out": [
                {"instrument": row.name, "code": row.code, "reason": row.text}
                for row in left_out[:limit]
            ],
        }
    )


@router.get("/journal", responses={200: {"model": JournalAnswer}})
def get_journal(request: Request, limit: int = Query(50, ge=1, le=500)) -> Response:
    """Trades, newest first, with their context."""
    rows = request.app.state.journal.entries(limit)
    for row in rows:
        row["reason"] = row["exit_reason"] or row["entry_reason"]
        row["entry_reason_meta"] = json.loads(row["entry_reason_meta"] or "{}")
        row["sizing_chain"] = json.loads(row["sizing_chain"] or "[]")
        row["entry_time"] = iso_utc(row["entry_ns"])
        row["exit_time"] = iso_utc(row["exit_ns"]) if row["exit_ns"] else None
        for amount in ("gross", "charges", "pnl"):
            row[amount] = float(row[amount]) if row[amount] is not None else None
    return Reply({"status": "success", "trades": rows})


@router.get("/analytics", responses={200: {"model": AnalyticsAnswer}})
def get_analytics(request: Request) -> Response:
    """Rolling performance over closed trades."""
    body = body_of(request.app.state.gateway.parts(), "journaling_agent")
    return Reply(
        {
            "status": "success" if body else "unavailable",
            "metrics": body.get("metrics", {}),
            "strategy_breakdown": body.get("strategy_breakdown", []),
            "track_record": _track_record(request, body),
        }
    )


def _track_record(request: Request, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """What trading has proven, and why nothing is entered live yet (code and sentence)."""
    told = body.get("track_record")
    if told is None:
        return None
    record = TrackRecord(PaperRecord(**told["paper"]), PhaseIn(**told["phase"]))
    runtime = request.app.state.runtime
    refusal = check_promotion(runtime.settings.mode, runtime.is_on_paper, record)
    return {
        **told,
        "on_paper": runtime.is_on_paper,
        "missing": list(missing_proof(record.paper)),
        "refusal": {"code": refusal.code, "message": refusal.text} if refusal else None,
    }


@router.get("/audit", responses={200: {"model": AuditAnswer}})
def get_audit(
    request: Request, limit: int = Query(100, ge=1, le=1000), category: Category | None = None
) -> Response:
    """Who did what, newest first."""
    entries = [
        {
            "id": row["id"],
            "timestamp": iso_utc(row["at_ns"]),
            "user_id": row["user_id"],
            "action": row["action"],
            "details": masked(json.loads(row["details"])),
            "ip_address": row["ip_address"],
            "category": row["category"],
        }
        for row in request.app.state.journal.audit(limit, category.value if category else "")
    ]
    return Reply({"status": "success", "entries": entries})


@router.get("/commands", responses={200: {"model": CommandsAnswer}})
def get_commands(
    request: Request,
    status: CommandFilter = CommandFilter.DONE,
    limit: int = Query(50, ge=1, le=200),
    offset: int = Query(0, ge=0, le=OFFSET_MAX),
) -> Response:
    """Commands of one status, newest first; ALL for all."""
    wanted = None if status is CommandFilter.ALL else CommandStatus(status)
    total, rows = request.app.state.commands.page(wanted, limit, offset)
    return Reply(
        {
            "status": "success",
            "status_filter": str(status),
            "limit": limit,
            "offset": offset,
            "total": total,
            "items": [command_item(row) for row in rows],
        }
    )


@router.get("/dead-letters", responses={200: {"model": DeadLettersAnswer}})
def get_dead_letters(
    request: Request,
    limit: int = Query(50, ge=1, le=200),
    offset: int = Query(0, ge=0, le=OFFSET_MAX),
) -> Response:
    """Commands that gave up, newest first."""
    total, rows = request.app.state.commands.page(CommandStatus.DEAD_LETTER, limit, offset)
    items = []
    for row in rows:
        item = command_item(row)
        item["payload_preview"] = json.dumps(item.pop("payload"))[:PREVIEW_CHARACTERS]
        item["error_class"], item["error_message"] = row["error_code"], row["last_error"]
        items.append(item)
    page = {"total": total, "limit": limit, "offset": offset, "items": items}
    return Reply({"status": "success", **page})


@router.get("/approvals", responses={200: {"model": ApprovalsAnswer}})
def get_approvals(request: Request) -> Response:
    """Commands that wait for a person (semi-automatic mode)."""
    total, rows = request.app.state.commands.page(CommandStatus.AWAITING_APPROVAL, 200, 0)
    items = [command_item(row) for row in rows]
    return Reply({"status": "success", "total": total, "items": items})


def command_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A command as pages show it: no lease token, secrets masked, times also in UTC."""
    item = dict(row)
    item["id"] = item.pop("command_id")
    item["payload"] = masked(json.loads(item.get("payload") or "{}"))
    item.pop("owner_token", None)
    for name, key in TIMES.items():
        item[name] = iso_utc(row[key]) if row[key] else None
    return item
