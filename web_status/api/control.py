"""Commands of people: start, stop, pause, resume, signals, approvals, closes. All pass
control_desk.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from domain.orders import CommandStatus
from web_status.auth import require_key
from web_status.errors import ApiFault
from web_status.gateway import Gateway
from web_status.replies import Reply
from web_status.shapes import Done
from web_status.trace_shapes import SignalTaken

router = APIRouter(tags=["control"])
ANSWER_WITHIN_S = 6.0
INJECTIONS_PER_MINUTE = 10
BODY_BYTES_MAX = 64_000
NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
HTTP_ACCEPTED = 202
STAMPED = ("instrument", "source", "correlation_id")  # of an injected signal, by us
SIGNAL_BODY = {
    "required": True,
    "description": "A signal (`tomic.md` 1.7); each wrong field is named in `details`",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["instrument", "strategy_type", "direction"],
                "properties": {
                    "instrument": {"type": "string", "minLength": 1},
                    "strategy_type": {"type": "string", "minLength": 1},
                    "direction": {"type": "string", "enum": ["BUY", "SELL"]},
                    "legs": {"type": "array", "items": {"type": "object"}},
                    "dte": {"type": "integer"},
                    "lots": {"type": "integer"},
                    "idempotency_key": {"type": "string", "maxLength": 128},
                },
            }
        }
    },
}
CommandId = Annotated[int, Path(ge=1, lt=2**63)]


class Reason(BaseModel):
    """Why; shown in the audit trail."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(default="", max_length=200)


async def desk(request: Request, action: str, body: dict[str, Any], by: str) -> Response:
    """The desk's answer to one request; who asked, and from where, stands in the audit trail."""
    gateway: Gateway = request.app.state.gateway
    address = request.client.host if request.client else ""
    future = gateway.ask(action, body, f"{by}@{address}")
    try:
        answer = await asyncio.wait_for(asyncio.wrap_future(future), ANSWER_WITHIN_S)
    except TimeoutError:
        raise ApiFault(
            503,
            "NO_ANSWER",
            "the control desk did not answer; the request may still be carried out",
        ) from None
    return Reply(dict(answer.body), answer.http_status)


@router.post(
    "/signals",
    status_code=202,
    responses={202: {"model": SignalTaken}},
    openapi_extra={"requestBody": SIGNAL_BODY},
)
async def inject_signal(request: Request, by: str = Depends(require_key)) -> Response:
    """Injects one signal (`tomic.md` 1.7, 13.6); accepted means its row is on disk."""
    payload = await read_object(request)
    _limit_injections(request)
    answer = await desk(request, "inject_signal", payload, by)
    body = json.loads(bytes(answer.body))
    if answer.status_code != HTTP_ACCEPTED or "correlation_id" not in body:
        return answer
    find = request.app.state.commands.injection
    row = await asyncio.to_thread(find, body["correlation_id"])
    signal = {**row.payload, **{name: row.signal[name] for name in STAMPED}} if row else payload
    return Reply(body | {"signal": signal}, HTTP_ACCEPTED)


@router.post("/start", responses={200: {"model": Done}})
async def start(request: Request, by: str = Depends(require_key)) -> Response:
    """Starts the signal loop; 409 while the kill latch is set."""
    return await desk(request, "start", {}, by)


@router.post("/stop", responses={200: {"model": Done}})
async def stop(request: Request, by: str = Depends(require_key)) -> Response:
    """Stops the signal loop, fails entries that have not left and takes no new ones; exits go on,
    positions and their guards stay."""
    return await desk(request, "stop", {}, by)


@router.post("/pause", responses={200: {"model": Done}})
async def pause(
    request: Request, body: Reason | None = None, by: str = Depends(require_key)
) -> Response:
    """The kill switch: latches, cancels working entries, lets exits pass."""
    reason = (body.reason if body else "") or "Manual pause"
    return await desk(request, "pause", {"reason": reason}, by)


@router.post("/resume", responses={200: {"model": Done}})
async def resume(request: Request, by: str = Depends(require_key)) -> Response:
    """Clears the kill latch; 409 while its cause holds."""
    return await desk(request, "resume", {}, by)


@router.post("/tree/{name}/restart", status_code=202, responses={202: {"model": Done}})
async def restart_node(
    request: Request, name: str, body: Reason | None = None, by: str = Depends(require_key)
) -> Response:
    """Asks the supervisor of a node to stop and start it."""
    reason = (body.reason if body else "") or "asked by a person"
    return await desk(request, "restart_node", {"name": name, "reason": reason}, by)


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
        text = f"more than {INJECTIONS_PER_MINUTE} signals a minute"
        wait_s = -((now_ns - times[0] - NS_PER_MINUTE) // NS_PER_S)
        raise ApiFault(429, "RATE_LIMIT", text, retry_after_s=wait_s)
    times.append(now_ns)


@router.post("/positions/{strategy_id}/close", status_code=202, responses={202: {"model": Done}})
async def close_structure(
    request: Request, strategy_id: str, body: Reason | None = None, by: str = Depends(require_key)
) -> Response:
    """Flattens what a strategy holds, shorts first; 202 once that is on disk and outlives a crash.
    After 503 nothing proves it: ask again, one close of a strategy works at a time."""
    if await asyncio.to_thread(request.app.state.commands.entry_of, strategy_id) is None:
        raise ApiFault(404, "UNKNOWN_STRATEGY", f"no strategy {strategy_id!r}")
    reason = (body.reason if body else "") or "manual"
    return await desk(
        request, "close_structure", {"strategy_id": strategy_id, "reason": reason}, by
    )


@router.post("/approvals/{command_id}/approve", status_code=202, responses={202: {"model": Done}})
async def approve(
    request: Request, command_id: CommandId, by: str = Depends(require_key)
) -> Response:
    """Lets a waiting command go (semi-automatic mode)."""
    return await _decide(request, command_id, True, by)


@router.post("/approvals/{command_id}/reject", status_code=202, responses={202: {"model": Done}})
async def reject(
    request: Request, command_id: CommandId, by: str = Depends(require_key)
) -> Response:
    """Ends a waiting command (semi-automatic mode)."""
    return await _decide(request, command_id, False, by)


async def _decide(request: Request, command_id: int, approved: bool, by: str) -> Response:
    command = await asyncio.to_thread(request.app.state.commands.command, command_id)
    if command is None:
        raise ApiFault(404, "UNKNOWN_COMMAND", f"no command {command_id}")
    if command["status"] is not CommandStatus.AWAITING_APPROVAL:
        text = f"command {command_id} is {command['status']}; it waits for nobody's approval"
        raise ApiFault(409, "NOT_WAITING", text)
    return await desk(request, "approve", {"command_id": command_id, "approved": approved}, by)
