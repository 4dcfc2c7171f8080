"""Status, metrics and the tree: answered from cached parts, within a second, always."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.clock import NS_PER_MINUTE, iso_utc
from domain.orders import CommandStatus
from web_status.errors import ApiFault
from web_status.gateway import Gateway, Part
from web_status.plan_shapes import ContextAnswer, PlanAnswer
from web_status.prometheus import exposition
from web_status.replies import Reply, grown, older
from web_status.shapes import MetricsAnswer, StatusAnswer
from web_status.trace_shapes import PartAnswer, TreeNode

router = APIRouter(tags=["status"])
PART_FRESH_S = 15.0
MINUTES_SHOWN, MINUTES_MAX = 60, 1440
SHORT_NAMES = {"execution_agent": "execution", "journaling_agent": "journaling"}
NO_PLANS: dict[str, Any] = {"date": "", "plans": []}


def body_of(parts: Mapping[str, Part], name: str) -> Mapping[str, Any]:
    """The newest report of an actor; empty while it has none."""
    part = parts.get(name)
    return part.body if part else {}


def aged(gateway: Gateway, name: str) -> dict[str, Any]:
    """The newest report of an actor with its ages as of now: what a dead actor said grows old."""
    part = gateway.parts().get(name)
    return grown(part.body, part.age_s(gateway.monotonic_ns())) if part else {}


def market_bridge(gateway: Gateway) -> dict[str, Any]:
    """`market_bridge` of `tomic.md` 11.4: what bars and chains tell of themselves."""
    joined = aged(gateway, "bar_builder") | aged(gateway, "chain_keeper")
    joined.pop("warm_start", None)
    return joined


def nodes(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All nodes of a reported tree, top down."""
    yield tree
    for child in tree.get("children", ()):
        yield from nodes(child)


@router.get("/status", responses={200: {"model": StatusAnswer}})
def get_status(request: Request) -> Response:
    """The whole runtime at a glance, each part with its age (`tomic.md` 13.2)."""
    gateway: Gateway = request.app.state.gateway
    parts, now_ns = gateway.parts(), gateway.monotonic_ns()
    desk, gate = body_of(parts, "control_desk"), body_of(parts, "breaker_gate")
    loop, queue = parts.get("signal_loop"), body_of(parts, "execution_agent")
    agents = _agents(gateway)
    runtime = request.app.state.runtime
    data: dict[str, Any] = {
        "running": bool(desk.get("running", False)),
        "killed": bool(gate.get("killed", False)),
        "kill_reason": gate.get("reason", "") if gate.get("killed") else "",
        "killed_at": gate.get("killed_at", ""),
        "mode": runtime.settings.mode,
        "trading_mode": gate.get("mode", "halted"),
        "sandbox": runtime.sandbox,
        "replay": runtime.replay is not None,
        "agents": agents,
        "command_queue_pending": queue.get("pending", 0),
        "command_dead_letters": queue.get("dead_letters", 0),
        "ws_data": aged(gateway, "feed_selector"),
        "market_bridge": market_bridge(gateway),
        "warm_start": body_of(parts, "bar_builder").get("warm_start", {}),
        "signal_loop": _loop(loop, now_ns),
        "market_context": body_of(parts, "market_context_agent"),
        "daily_plans": NO_PLANS | dict(body_of(parts, "daily_plan_agent")),
        "position_manager": _watched(request, body_of(parts, "position_manager")),
        "sandbox_exchange": body_of(parts, "sandbox_exchange"),
        "alerts": gateway.alerts()[-20:],
        "parts": {
            name: {"age_s": part.age_s(now_ns), "ok": _is_ok(name, part.age_s(now_ns), agents)}
            for name, part in sorted(parts.items())
        },
    }
    if loop and loop.body.get("generated_at"):
        data["signal_quality_cached_at"] = loop.body["generated_at"]
        data["signal_quality_cached_age_s"] = loop.age_s(now_ns)
    return Reply({"status": "success", "data": data})


def _loop(part: Part | None, now_ns: int) -> dict[str, Any]:
    return grown(part.body.get("signal_loop", {}), part.age_s(now_ns)) if part else {}


def _is_ok(name: str, age_s: float, agents: Mapping[str, Any]) -> bool:
    """A part is good while it is new, or while its actor lives and has nothing new to tell."""
    state = agents.get(SHORT_NAMES.get(name, name))
    beats = bool(state and state["running"] and 0 <= state["last_heartbeat_ago_s"] <= PART_FRESH_S)
    return beats or age_s <= PART_FRESH_S


def _watched(request: Request, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Structures by their tag; by their id when two of a tag stand."""
    known: dict[str, tuple[str, int]] = request.app.state.structures
    watched: dict[str, Any] = {}
    for strategy_id, row in rows.items():
        if strategy_id not in known:
            entry = request.app.state.commands.entry_of(strategy_id)
            if entry is None:
                watched[strategy_id] = {**row, "strategy_id": strategy_id, "lots": 0}
                continue
            lots = int(json.loads(entry["payload"]).get("lots", 0))
            known[strategy_id] = entry["strategy_tag"], lots
        tag, lots = known[strategy_id]
        name = strategy_id if tag in watched else tag
        watched[name] = {**row, "strategy_id": strategy_id, "lots": lots}
    return watched


def _agents(gateway: Gateway) -> dict[str, Any]:
    tree = gateway.tree()
    if tree is None:
        return {}
    since_s = tree.age_s(gateway.monotonic_ns())
    return {
        SHORT_NAMES.get(node["name"], node["name"]): {
            "running": node["state"] in ("running", "paused"),
            "paused": node["state"] == "paused",
            "last_heartbeat_ago_s": -1 if age is None else older(age, since_s),
            "restarts": node["restarts"],
        }
        for node in nodes(tree.body)
        if not node.get("children")
        for age in [node.get("last_heartbeat_age_s")]
    }


@router.get("/metrics", responses={200: {"model": MetricsAnswer}})
def get_metrics(
    request: Request,
    minutes: int = Query(MINUTES_SHOWN, ge=0, le=MINUTES_MAX, description="how far back"),
) -> Response:
    """Figures of breakers, freshness, feeds, orders and actors, and by the minute; Prometheus text
    when asked for it, without the minutes.
    """
    gateway: Gateway = request.app.state.gateway
    parts, tree, now_ns = gateway.parts(), gateway.tree(), gateway.monotonic_ns()
    freshness = parts.get("freshness_keeper")
    data = {
        "circuit_breakers": _breakers(parts, float(request.app.state.runtime.settings.capital)),
        "freshness": {
            name: older(age, freshness.age_s(now_ns))
            for name, age in freshness.body.items()
            if name != "entry_gate"
        }
        if freshness
        else {},
        "ws_data": aged(gateway, "feed_selector"),
        "market_bridge": market_bridge(gateway),
        "orders": request.app.state.commands.order_figures(),
        "queue": _queue(request.app.state.commands.counts()),
        "feeds": {name: part.body for name, part in parts.items() if name.startswith("feed.")},
        "shards": {name: part.body for name, part in parts.items() if name.startswith("shard.")},
        "bus": {name: part.bus for name, part in parts.items() if part.bus},
    }
    accepted = request.headers.get("accept", "")
    if "text/plain" in accepted or "openmetrics" in accepted:
        text, content_type = exposition(data, tree.body if tree else {})
        return Response(text, media_type=content_type)
    since_ns = gateway.now_ns() - minutes * NS_PER_MINUTE
    rows = request.app.state.metrics.minutes(since_ns) if minutes else []
    data["minutes"] = [{"at": iso_utc(row.pop("minute_ns")), **row} for row in rows]
    return Reply({"status": "success", "data": data})


def _breakers(parts: Mapping[str, Part], capital_cap: float) -> dict[str, Any]:
    """All breakers, and the capital they measure against: the user's cap until they say less."""
    rows = [
        part.body
        for name, part in sorted(parts.items())
        if name.startswith("breaker.") and "name" in part.body
    ]
    return {
        "capital": min([capital_cap, *(row["capital"] for row in rows)]),
        "breakers": {row["name"]: _breaker(row) for row in rows},
    }


def _breaker(body: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: value for key, value in body.items() if key not in ("name", "capital")}
    since_ns = row.get("since", 0)
    return row | {"since": iso_utc(since_ns) if since_ns else ""}


def _queue(counts: Mapping[CommandStatus, int]) -> dict[str, int]:
    return {
        "pending": counts[CommandStatus.PENDING],
        "processing": counts[CommandStatus.PROCESSING],
        "awaiting_approval": counts[CommandStatus.AWAITING_APPROVAL],
        "dead_letter": counts[CommandStatus.DEAD_LETTER],
        "unknown": counts[CommandStatus.UNKNOWN_OUTCOME],
    }


@router.get("/parts/{name}", responses={200: {"model": PartAnswer}})
def get_part(request: Request, name: str) -> Response:
    """What one actor last reported, with its age."""
    gateway: Gateway = request.app.state.gateway
    part = gateway.parts().get(name)
    if part is None:
        raise ApiFault(404, "UNKNOWN_PART", f"{name!r} has reported nothing")
    age_s = part.age_s(gateway.monotonic_ns())
    return Reply({"status": "success", "age_s": age_s, "data": grown(part.body, age_s)})


@router.get("/market-context", responses={200: {"model": ContextAnswer}})
def get_market_context(request: Request) -> Response:
    """The market context agent's snapshot; unavailable while that agent is not in the tree."""
    body = body_of(request.app.state.gateway.parts(), "market_context_agent")
    return Reply({"status": "success" if body else "unavailable", "data": body})


@router.get("/plan", responses={200: {"model": PlanAnswer}})
def get_plan(request: Request) -> Response:
    """The daily plans; unavailable while that agent is not in the tree."""
    body = body_of(request.app.state.gateway.parts(), "daily_plan_agent")
    if not body:
        return Reply({"status": "unavailable", "plans": []})
    plans = NO_PLANS | dict(body)
    return Reply({"status": "success", "plans": plans["plans"], "date": plans["date"]})


@router.get("/tree", responses={200: {"model": TreeNode}})
def get_tree(request: Request) -> Response:
    """The supervisor tree as nested nodes (`tomic.md` 13.6)."""
    return Reply(_require_tree(request).body)


@router.get("/tree/{name}", responses={200: {"model": TreeNode}})
def get_node(request: Request, name: str) -> Response:
    """One node of the tree, with what is below it."""
    for node in nodes(_require_tree(request).body):
        if node["name"] == name:
            return Reply(node)
    raise ApiFault(404, "UNKNOWN_NODE", f"no node {name!r} in the tree")


def _require_tree(request: Request) -> Part:
    tree: Part | None = request.app.state.gateway.tree()
    if tree is None:
        raise ApiFault(503, "NOT_YET", "the tree has not been reported yet; ask again in a second")
    return tree
