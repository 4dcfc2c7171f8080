"""Commands of people: start, stop, pause, resume, signals, approvals, closes. All pass
control_desk.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from web_status.auth import require_key
from web_status.errors import ApiFault
from web_status.gateway import Gateway

router = APIRouter(tags=["control"])
ANSWER_WITHIN_S = 6.0
INJECTIONS_PER_MINUTE = 10
BODY_BYTES_MAX = 64_000
NS_PER_MINUTE = 60_000_000_000


class Reason(BaseModel):
    """Why; shown in the audit trail."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(default="", max_length=200)


async def desk(request: Request, action: str, body: dict[str, Any], by: str) -> JSONResponse:
    """The desk's answer to one request."""
    gateway: Gateway = request.app.state.gateway
    future = gateway.ask(action, body, by)
    try:
        answer = await asyncio.wait_for(asyncio.wrap_future(future), ANSWER_WITHIN_S)
    except TimeoutError:
        raise ApiFault(
            503,
            "NO_ANSWER",
            "the control desk did not answer; the request may still be carried out",
        ) from None
    return JSONResponse(dict(answer.body), answer.http_status)


@router.post("/start")
async def start(request: Request, by: str = Depends(require_key)) -> JSONResponse:
    """Starts the signal loop; 409 while the kill latch is set."""
    return await desk(request, "start", {}, by)


@router.post("/stop")
async def stop(request: Request, by: str = Depends(require_key)) -> JSONResponse:
    """Stops the signal loop; positions and their guards stay."""
    return await desk(request, "stop", {}, by)


@router.post("/pause")
async def pause(
    request: Request, body: Reason | None = None, by: str = Depends(require_key)
) -> JSONResponse:
    """The kill switch: latches, cancels working entries, lets exits pass."""
    reason = (body.reason if body else "") or "Manual pause"
    return await desk(request, "pause", {"reason": reason}, by)


@router.post("/resume")
async def resume(request: Request, by: str = Depends(require_key)) -> JSONResponse:
    """Clears the kill latch; 409 while its cause holds."""
    return await desk(request, "resume", {}, by)


@router.post("/tree/{name}/restart")
async def restart_node(
    request: Request, name: str, body: Reason | None = None, by: str = Depends(require_key)
) -> JSONResponse:
    """Asks the supervisor of a node to stop and start it."""
    reason = (body.reason if body else "") or "asked by a person"
    return await desk(request, "restart_node", {"name": name, "reason": reason}, by)


@router.post("/signals", status_code=202)
async def inject_signal(request: Request, by: str = Depends(require_key)) -> JSONResponse:
    """Injects one signal (`tomic.md` 1.7, 13.6); accepted means its row is on disk."""
    payload = await read_object(request)
    _limit_injections(request)
    return await desk(request, "inject_signal", payload, by)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of the body. Raises ApiFault 400 or 413 with the rule."""
    raw = await request.body()
    if len(raw) > BODY_BYTES_MAX:
        raise ApiFault(413, "TOO_LARGE", f"the body is larger than {BODY_BYTES_MAX} bytes")
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError):
        raise ApiFault(400, "INVALID_JSON", "the body is not JSON") from None
    if not isinstance(payload, dict):
        raise ApiFault(400, "INVALID_JSON", "the body must be a JSON object")
    return payload


def _limit_injections(request: Request) -> None:
    state = request.app.state
    now_ns = state.gateway.monotonic_ns()
    times: deque[int] = getattr(state, "injected_ns", None) or deque()
    state.injected_ns = times
    while times and times[0] <= now_ns - NS_PER_MINUTE:
        times.popleft()
    if len(times) >= INJECTIONS_PER_MINUTE:
        raise ApiFault(429, "RATE_LIMIT", f"more than {INJECTIONS_PER_MINUTE} signals a minute")
    times.append(now_ns)


@router.post("/positions/{strategy_id}/close")
async def close_structure(
    request: Request, strategy_id: str, body: Reason | None = None, by: str = Depends(require_key)
) -> JSONResponse:
    """Flattens what a strategy holds: shorts first."""
    reason = (body.reason if body else "") or "manual"
    return await desk(
        request, "close_structure", {"strategy_id": strategy_id, "reason": reason}, by
    )


@router.post("/approvals/{command_id}/approve")
async def approve(
    request: Request, command_id: int, by: str = Depends(require_key)
) -> JSONResponse:
    """Lets a waiting command go (semi-automatic mode)."""
    return await desk(request, "approve", {"command_id": command_id, "approved": True}, by)


@router.post("/approvals/{command_id}/reject")
async def reject(request: Request, command_id: int, by: str = Depends(require_key)) -> JSONResponse:
    """Ends a waiting command (semi-automatic mode)."""
    return await desk(request, "approve", {"command_id": command_id, "approved": False}, by)


@router.post("/dead-letters/{command_id}/retry")
async def retry_dead_letter(
    request: Request, command_id: int, by: str = Depends(require_key)
) -> JSONResponse:
    """Puts a dead letter back in the queue; 409 where a retry cannot help."""
    return await desk(request, "dead_letter", {"command_id": command_id, "action": "retry"}, by)


@router.delete("/dead-letters/{command_id}")
async def delete_dead_letter(
    request: Request, command_id: int, by: str = Depends(require_key)
) -> JSONResponse:
    """Removes a dead letter; audited."""
    return await desk(request, "dead_letter", {"command_id": command_id, "action": "delete"}, by)
