"""The quality of signals: what the agents see and why nothing happened (`tomic.md` 13.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from web_status.api.outcomes import waiting_sentences
from web_status.api.status import aged, body_of, market_bridge
from web_status.errors import ApiFault
from web_status.gateway import Gateway
from web_status.quality_shapes import QualityAnswer
from web_status.replies import Reply

router = APIRouter(tags=["signals"])
CACHED_S = 60.0
SCAN_WITHIN_S = 6.0
TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")
REASONS_MAX = 12
UNHEARD: dict[str, Any] = {"pending_signals": 0, "counters": {}, "recent_evaluations": []}
LOOP_STATUS = "signal_loop"  # rides in the loop's report, and belongs to /tomic/status


@router.get("/signals/quality", responses={200: {"model": QualityAnswer}})
async def get_signal_quality(
    request: Request,
    run_scan: str = Query(
        "true",
        description="true scans now, without side effects",
        json_schema_extra={"enum": [*TRUE, *FALSE]},
    ),
) -> Response:
    """What the agents see and why nothing happened; scans at most every five seconds."""
    word = run_scan.strip().lower()
    if word not in TRUE + FALSE:
        raise ApiFault(400, "INVALID_INPUT", f"run_scan must be one of {', '.join(TRUE + FALSE)}")
    gateway: Gateway = request.app.state.gateway
    if word in FALSE:
        return _reply(gateway, _cached(gateway))
    future = gateway.ask("scan", {}, "api key")
    try:
        answer = await asyncio.wait_for(asyncio.wrap_future(future), SCAN_WITHIN_S)
    except TimeoutError:
        return _reply(gateway, _cached(gateway) | {"message": "the signal loop did not answer"})
    if answer.http_status != 200:
        text = str(answer.body.get("message", ""))
        return _reply(gateway, _cached(gateway) | {"message": text})
    return _reply(gateway, answer.body["data"])


def _reply(gateway: Gateway, snapshot: Mapping[str, Any]) -> Response:
    """The snapshot with risk's own part, and with the whole status of feed and bridge as they are
    now.
    """
    data = dict(snapshot)
    if "diagnostics" in data:
        data["risk"] = UNHEARD | dict(body_of(gateway.parts(), "risk_agent"))
        waiting = waiting_sentences(gateway.parts())
        data["diagnostics"] = _completed(data["diagnostics"], data["risk"], waiting)
    if "feed" in data:
        data["feed"] = {
            "ws": data["feed"].get("ws", {}) | aged(gateway, "feed_selector"),
            "bridge": data["feed"].get("bridge", {}) | market_bridge(gateway),
        }
    return Reply({"status": "success", "data": data})


def _completed(
    diagnostics: Mapping[str, Any], risk: Mapping[str, Any], waiting: list[str]
) -> dict[str, Any]:
    """The reasons why nothing happened begin with what waits for a person, for nothing else ends
    it, and end with the newest evaluation (`tomic.md` 13.4)."""
    reasons = [*waiting, *diagnostics["no_action_reasons"]][:REASONS_MAX]
    for row in risk["recent_evaluations"][:1]:
        what = f"{row['instrument']} {row['strategy_type']} {row['result']}"
        reasons = [*reasons[: REASONS_MAX - 1], f"risk, last: {what}: {row['reason']}"]
    return {**diagnostics, "no_action_reasons": reasons}


def _cached(gateway: Gateway) -> dict[str, Any]:
    part = gateway.parts().get(LOOP_STATUS)
    age_s = part.age_s(gateway.monotonic_ns()) if part else 0.0
    if part is None or age_s > CACHED_S or not part.body.get("generated_at"):
        return {
            "generated_at": "",
            "timestamp_epoch": 0,
            "runtime_started": part is not None,
            "cached": True,
            "cached_age_s": 0,
            "message": "no scan has run yet" if part is None else "the last scan is too old",
        }
    kept = {key: value for key, value in part.body.items() if key != LOOP_STATUS}
    return kept | {"cached": True, "cached_age_s": age_s}
