"""What is on disk: positions, journal, analytics, audit, commands, dead letters, a signal's way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Query
from starlette.requests import Request

from domain.clock import iso_utc
from domain.orders import CommandStatus
from domain.positions import Position
from web_status.api.status import body_of
from web_status.errors import ApiFault
from web_status.masking import masked

router = APIRouter(tags=["records"])
PREVIEW_CHARACTERS = 120


class Category(StrEnum):
    """Categories of the audit trail."""

    CONTROL = "CONTROL"
    DEAD_LETTER = "DEAD_LETTER"
    EXECUTION = "EXECUTION"
    RISK = "RISK"
    SIGNAL = "SIGNAL"


@router.get("/positions")
def get_positions(request: Request) -> dict[str, Any]:
    """The book as it stands on disk, with the newest prices; rows of quantity 0 are left out."""
    kept = request.app.state.positions.positions()
    _, version = request.app.state.positions.cursor()
    part = request.app.state.gateway.parts().get("position_book")
    live = body_of(request.app.state.gateway.parts(), "position_book")
    prices = live.get("prices", {})
    rows = [_position(row.position, prices) for row in kept if row.position.quantity]
    strategies = sorted({row["strategy_id"] for row in rows})
    return {
        "status": "success",
        "version": version,
        "positions": rows,
        "strategies": strategies,
        "unmanaged": live.get("unmanaged", []),
        "sync": {
            "synced": part is not None,
            "mode": "broker" if part is not None else "unavailable",
            "rows": len(rows),
        },
    }


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


@router.get("/journal")
def get_journal(request: Request, limit: int = Query(50, ge=1, le=500)) -> dict[str, Any]:
    """Trades, newest first, with their context."""
    rows = request.app.state.journal.entries(limit)
    for row in rows:
        row["reason"] = row["exit_reason"] or row["entry_reason"]
        row["entry_reason_meta"] = json.loads(row["entry_reason_meta"] or "{}")
        row["sizing_chain"] = json.loads(row["sizing_chain"] or "[]")
        row["entry_time"] = iso_utc(row["entry_ns"])
        row["exit_time"] = iso_utc(row["exit_ns"]) if row["exit_ns"] else None
    return {"status": "success", "trades": rows}


@router.get("/analytics")
def get_analytics(request: Request) -> dict[str, Any]:
    """Rolling performance over closed trades."""
    body = body_of(request.app.state.gateway.parts(), "journaling_agent")
    return {
        "status": "success" if body else "unavailable",
        "metrics": body.get("metrics", {}),
        "strategy_breakdown": body.get("strategy_breakdown", []),
    }


@router.get("/audit")
def get_audit(
    request: Request, limit: int = Query(100, ge=1, le=1000), category: Category | None = None
) -> dict[str, Any]:
    """Who did what, newest first."""
    entries = []
    for row in request.app.state.journal.audit(limit, category.value if category else ""):
        entries.append(
            {
                "id": row["id"],
                "timestamp": iso_utc(row["at_ns"]),
                "user_id": row["user_id"],
                "action": row["action"],
                "details": masked(json.loads(row["details"])),
                "ip_address": row["ip_address"],
                "category": row["category"],
            }
        )
    return {"status": "success", "entries": entries}


@router.get("/commands")
def get_commands(
    request: Request,
    status: CommandStatus | None = None,
    limit: int = Query(50, ge=1, le=200),
    offset: int = Query(0, ge=0),
) -> dict[str, Any]:
    """Commands of one status, or all, newest first."""
    total, rows = request.app.state.commands.page(status, limit, offset)
    return {
        "status": "success",
        "status_filter": status.value if status else None,
        "limit": limit,
        "offset": offset,
        "total": total,
        "items": [_command(row) for row in rows],
    }


@router.get("/dead-letters")
def get_dead_letters(
    request: Request, limit: int = Query(50, ge=1, le=200), offset: int = Query(0, ge=0)
) -> dict[str, Any]:
    """Commands that gave up, newest first."""
    total, rows = request.app.state.commands.page(CommandStatus.DEAD_LETTER, limit, offset)
    items = []
    for row in rows:
        item = _command(row)
        item["payload_preview"] = json.dumps(item.pop("payload"))[:PREVIEW_CHARACTERS]
        item["error_class"], item["error_message"] = row["error_code"], row["last_error"]
        items.append(item)
    return {"status": "success", "total": total, "limit": limit, "offset": offset, "items": items}


@router.get("/approvals")
def get_approvals(request: Request) -> dict[str, Any]:
    """Commands that wait for a person (semi-automatic mode)."""
    total, rows = request.app.state.commands.page(CommandStatus.AWAITING_APPROVAL, 200, 0)
    return {"status": "success", "total": total, "items": [_command(row) for row in rows]}


@router.get("/signals/{correlation_id}")
def get_signal(request: Request, correlation_id: str) -> dict[str, Any]:
    """How far an injected signal came: its evaluation, its command, its orders and fills."""
    views = request.app.state.commands
    injection = views.injection(correlation_id)
    command = views.by_correlation(correlation_id)
    if injection is None and command is None:
        raise ApiFault(404, "UNKNOWN_SIGNAL", f"no signal {correlation_id!r}")
    evaluation = dict(injection.result) if injection and injection.result else None
    state = "PENDING"
    if command:
        state = str(command["status"])
    elif evaluation:
        state = str(evaluation.get("result", "EVALUATED"))
    found: dict[str, Any] = {"state": state, "evaluation": evaluation, "command": None}
    if command:
        found["command"] = _command(command)
        found["orders"] = [_plain(row) for row in views.orders_of(command["command_id"])]
        found["fills"] = [_plain(row) for row in views.fills_of(command["command_id"])]
    return {"status": "success", "correlation_id": correlation_id, **found}


def _command(row: Mapping[str, Any]) -> dict[str, Any]:
    item = _plain(row)
    item["id"] = item.pop("command_id")
    item["payload"] = masked(json.loads(item.get("payload") or "{}"))
    item.pop("owner_token", None)
    for key in ("created_ns", "processed_ns"):
        item[key.replace("_ns", "_at")] = iso_utc(row[key]) if row[key] else None
    return item


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, (Decimal, StrEnum)) else value
        for key, value in row.items()
    }
