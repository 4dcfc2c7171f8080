"""Commands that gave up: tried again or removed, one or all, by execution (`tomic.md` 13.5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from web_status.api.control import CommandId, desk
from web_status.auth import require_key
from web_status.replies import Reply
from web_status.shapes import Done
from web_status.trace_shapes import Deleted, Requeued

router = APIRouter(tags=["dead letters"])
HTTP_BAD = 400
AT_ONCE_MAX = 200  # a longer list takes another call
FINAL = ("BROKER_REJECT", "VALIDATION")  # an answer in words does not change (`tomic.md` 9.1)
ErrorClass = Annotated[str, Query(max_length=40, pattern=r"^[A-Za-z_]*$")]


@router.post("/dead-letters/retry-all", responses={200: {"model": Requeued}})
async def retry_all(
    request: Request, error_class: ErrorClass = "", by: str = Depends(require_key)
) -> Response:
    """Puts back the dead letters of one error class; without one, those of passing causes."""
    wanted = error_class.upper()

    def chosen(code: str) -> bool:
        return code == wanted if wanted else code not in FINAL

    done, refused = await _each(request, "retry", chosen, by)
    return Reply({"status": "success", "requeued": done, "refused": refused})


@router.post("/dead-letters/{command_id}/retry", responses={200: {"model": Done}})
async def retry_one(
    request: Request, command_id: CommandId, by: str = Depends(require_key)
) -> Response:
    """Puts a dead letter back in the queue; 409 where a retry cannot help or trading is paused."""
    return await desk(request, "dead_letter", {"command_id": command_id, "action": "retry"}, by)


@router.delete("/dead-letters/{command_id}", responses={200: {"model": Done}})
async def delete_one(
    request: Request, command_id: CommandId, by: str = Depends(require_key)
) -> Response:
    """Removes a dead letter; audited."""
    return await desk(request, "dead_letter", {"command_id": command_id, "action": "delete"}, by)


@router.delete("/dead-letters", responses={200: {"model": Deleted}})
async def delete_all(request: Request, by: str = Depends(require_key)) -> Response:
    """Removes all dead letters; each is audited."""
    done, refused = await _each(request, "delete", lambda _code: True, by)
    return Reply({"status": "success", "deleted": done, "refused": refused})


async def _each(
    request: Request, action: str, chosen: Callable[[str], bool], by: str
) -> tuple[int, list[dict[str, Any]]]:
    """(how many were done, why others were not) of those whose error class is chosen."""
    rows = await asyncio.to_thread(request.app.state.commands.dead_letters, AT_ONCE_MAX)
    numbers = [row["command_id"] for row in rows if chosen(row["error_code"].upper())]
    answers = await asyncio.gather(
        *(
            desk(request, "dead_letter", {"command_id": number, "action": action}, by)
            for number in numbers
        )
    )
    refused = [
        {"id": number, "message": json.loads(bytes(answer.body)).get("message", "")}
        for number, answer in zip(numbers, answers, strict=True)
        if answer.status_code >= HTTP_BAD
    ]
    return len(numbers) - len(refused), refused
