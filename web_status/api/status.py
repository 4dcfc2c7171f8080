"""Status, metrics, signal quality and the tree: answered from cached parts, within a second,
always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from web_status.errors import ApiFault
from web_status.gateway import Gateway, Part
from web_status.prometheus import exposition

router = APIRouter(tags=["status"])
PART_FRESH_S = 15.0
QUALITY_CACHED_S = 60.0
SCAN_WITHIN_S = 6.0
TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")
SHORT_NAMES = {"execution_agent": "execution", "journaling_agent": "journaling"}


def body_of(parts: Mapping[str, Part], name: str) -> Mapping[str, Any]:
    """The newest report of an actor; empty while it has none."""
    part = parts.get(name)
    return part.body if part else {}


def nodes(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All nodes of a reported tree, top down."""
    yield tree
    for child in tree.get("children", ()):
        yield from nodes(child)


@router.get("/status")
def get_status(request: Request) -> dict[str, Any]:
    """The whole runtime at a glance, each part with its age (`tomic.md` 13.2)."""
    gateway: Gateway = request.app.state.gateway
    parts, tree, now_ns = gateway.parts(), gateway.tree(), gateway.monotonic_ns()
    desk, gate = body_of(parts, "control_desk"), body_of(parts, "breaker_gate")
    loop, queue = body_of(parts, "signal_loop"), body_of(parts, "execution_agent")
    quality = parts.get("signal_loop")
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
        "agents": _agents(tree),
        "command_queue_pending": queue.get("pending", 0),
        "command_dead_letters": queue.get("dead_letters", 0),
        "ws_data": dict(body_of(parts, "feed_selector")),
        "market_bridge": _market_bridge(parts),
        "warm_start": body_of(parts, "bar_builder").get("warm_start", {}),
        "signal_loop": loop.get("signal_loop", {}),
        "market_context": dict(body_of(parts, "market_context_agent")),
        "daily_plans": dict(body_of(parts, "daily_plan_agent")),
        "position_manager": dict(body_of(parts, "position_manager")),
        "sandbox_exchange": dict(body_of(parts, "sandbox_exchange")),
        "alerts": gateway.alerts()[-20:],
        "parts": {
            name: {"age_s": part.age_s(now_ns), "ok": part.age_s(now_ns) <= PART_FRESH_S}
            for name, part in sorted(parts.items())
        },
    }
    if quality:
        data["signal_quality_cached_at"] = loop.get("generated_at", "")
        data["signal_quality_cached_age_s"] = quality.age_s(now_ns)
    return {"status": "success", "data": data}


def _market_bridge(parts: Mapping[str, Part]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for name in ("bar_builder", "chain_keeper"):
        joined |= {key: value for key, value in body_of(parts, name).items() if key != "warm_start"}
    return joined


def _agents(tree: Part | None) -> dict[str, Any]:
    if tree is None:
        return {}
    return {
        SHORT_NAMES.get(node["name"], node["name"]): {
            "running": node["state"] in ("running", "paused"),
            "paused": node["state"] == "paused",
            "last_heartbeat_ago_s": -1 if age is None else age,
            "restarts": node["restarts"],
        }
        for node in nodes(tree.body)
        if not node.get("children")
        for age in [node.get("last_heartbeat_age_s")]
    }


@router.get("/metrics")
def get_metrics(request: Request) -> Response:
    """Figures of breakers, freshness, feeds, orders and actors; Prometheus text when asked for
    it.
    """
    gateway: Gateway = request.app.state.gateway
    parts, tree = gateway.parts(), gateway.tree()
    data = {
        "circuit_breakers": {
            "capital": float(request.app.state.runtime.settings.capital),
            "breakers": {
                row["name"]: {key: value for key, value in row.items() if key != "name"}
                for name, part in sorted(parts.items())
                if name.startswith("breaker.")
                for row in [part.body]
                if "name" in row
            },
        },
        "freshness": dict(body_of(parts, "freshness_keeper")),
        "ws_data": dict(body_of(parts, "feed_selector")),
        "market_bridge": _market_bridge(parts),
        "orders": body_of(parts, "execution_agent").get("orders", {}),
        "queue": body_of(parts, "execution_agent").get("queue", {}),
        "feeds": {
            name: dict(part.body) for name, part in parts.items() if name.startswith("feed.")
        },
        "shards": {
            name: dict(part.body) for name, part in parts.items() if name.startswith("shard.")
        },
    }
    accepted = request.headers.get("accept", "")
    if "text/plain" in accepted or "openmetrics" in accepted:
        text, content_type = exposition(data, tree.body if tree else {})
        return Response(text, media_type=content_type)
    return JSONResponse({"status": "success", "data": data})


@router.get("/signals/quality")
async def get_signal_quality(
    request: Request,
    run_scan: str = Query("true", description="true scans now, without side effects"),
) -> dict[str, Any]:
    """What the agents see and why nothing happened (`tomic.md` 13.4)."""
    word = run_scan.strip().lower()
    if word not in TRUE + FALSE:
        raise ApiFault(400, "INVALID_INPUT", f"run_scan must be one of {', '.join(TRUE + FALSE)}")
    gateway: Gateway = request.app.state.gateway
    cached = _cached_quality(gateway)
    if word in FALSE:
        return {"status": "success", "data": cached}
    future = gateway.ask("scan", {}, "api key")
    try:
        answer = await asyncio.wait_for(asyncio.wrap_future(future), SCAN_WITHIN_S)
    except TimeoutError:
        return {"status": "success", "data": cached | {"message": "the signal loop did not answer"}}
    if answer.http_status != 200:
        return {
            "status": "success",
            "data": cached | {"message": str(answer.body.get("message", ""))},
        }
    return {"status": "success", "data": answer.body["data"]}


def _cached_quality(gateway: Gateway) -> dict[str, Any]:
    part = gateway.parts().get("signal_loop")
    age = part.age_s(gateway.monotonic_ns()) if part else 0.0
    if part is None or age > QUALITY_CACHED_S or not part.body.get("generated_at"):
        return {
            "generated_at": "",
            "timestamp_epoch": 0,
            "runtime_started": part is not None,
            "cached": True,
            "cached_age_s": 0,
            "message": "no scan has run yet",
        }
    return dict(part.body) | {"cached": True, "cached_age_s": age}


@router.get("/parts/{name}")
def get_part(request: Request, name: str) -> dict[str, Any]:
    """What one actor last reported, with its age."""
    gateway: Gateway = request.app.state.gateway
    part = gateway.parts().get(name)
    if part is None:
        raise ApiFault(404, "UNKNOWN_PART", f"{name!r} has reported nothing")
    return {
        "status": "success",
        "age_s": part.age_s(gateway.monotonic_ns()),
        "data": dict(part.body),
    }


@router.get("/market-context")
def get_market_context(request: Request) -> dict[str, Any]:
    """The market context agent's snapshot; unavailable while that agent is not in the tree."""
    body = body_of(request.app.state.gateway.parts(), "market_context_agent")
    return {"status": "success" if body else "unavailable", "data": dict(body)}


@router.get("/plan")
def get_plan(request: Request) -> dict[str, Any]:
    """The daily plans; unavailable while that agent is not in the tree."""
    body = body_of(request.app.state.gateway.parts(), "daily_plan_agent")
    return {"status": "success" if body else "unavailable", "plans": body.get("plans", [])}


@router.get("/tree")
def get_tree(request: Request) -> dict[str, Any]:
    """The supervisor tree as nested nodes (`tomic.md` 13.6)."""
    tree = _require_tree(request)
    return dict(tree.body)


@router.get("/tree/{name}")
def get_node(request: Request, name: str) -> dict[str, Any]:
    """One node of the tree, with what is below it."""
    for node in nodes(_require_tree(request).body):
        if node["name"] == name:
            return dict(node)
    raise ApiFault(404, "UNKNOWN_NODE", f"no node {name!r} in the tree")


def _require_tree(request: Request) -> Part:
    tree: Part | None = request.app.state.gateway.tree()
    if tree is None:
        raise ApiFault(503, "NOT_YET", "the tree has not been reported yet; ask again in a second")
    return tree
