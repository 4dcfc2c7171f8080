"""Orders of unknown fate: what waits, who is asked, and a person's word (`tomic.md` 8.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from domain.clock import iso_utc
from web_status.api.control import desk
from web_status.api.status import body_of
from web_status.auth import require_key
from web_status.errors import ApiFault
from web_status.gateway import Gateway, Part
from web_status.replies import Reply
from web_status.shapes import Done
from web_status.trace_shapes import OutcomesAnswer

router = APIRouter(tags=["outcomes"])
EXECUTION = "execution_agent"
TIMES = {"sent_at": "sent_ns", "asked_at": "asked_ns", "next_at": "next_ns"}
OrderName = Annotated[str, Path(min_length=1, max_length=300)]


class Adoption(BaseModel):
    """Which of the broker's orders is ours, and how one knows."""

    model_config = ConfigDict(extra="forbid")
    broker_order_id: str = Field(min_length=1, max_length=64)
    reason: str = Field(default="", max_length=200)


class Absence(BaseModel):
    """How one knows that it never arrived."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=200)


@router.get("/outcomes", responses={200: {"model": OutcomesAnswer}})
def get_outcomes(request: Request) -> Response:
    """Orders that may have arrived: who is asked, how often, when next, what waits meanwhile, and
    which of the broker's orders look like them. Those with `waits_for` person need a word."""
    gateway: Gateway = request.app.state.gateway
    part = gateway.parts().get(EXECUTION)
    if part is None:
        return Reply({"status": "unavailable", "total": 0, "age_s": None, "items": []})
    waiting = part.body.get("outcomes", [])
    numbers = request.app.state.commands.order_numbers([row["order"] for row in waiting])
    items = [_item(row, numbers.get(row["order"], 0)) for row in waiting]
    age_s = part.age_s(gateway.monotonic_ns())
    body = {"status": "success", "total": len(items), "age_s": age_s, "items": items}
    return Reply(body)


@router.post("/outcomes/{order}/adopt", responses={200: {"model": Done}})
async def adopt(
    request: Request, order: OrderName, body: Adoption, by: str = Depends(require_key)
) -> Response:
    """A person's word: this order of the broker is ours. Its state and fills follow from the
    broker's book; the same word again changes nothing."""
    return await _decide(request, order, by, word="OURS", **body.model_dump())


@router.post("/outcomes/{order}/never-arrived", responses={200: {"model": Done}})
async def never_arrived(
    request: Request, order: OrderName, body: Absence, by: str = Depends(require_key)
) -> Response:
    """A person's word: no order of the broker is ours. It is closed and not sent again; 409 while
    the broker's book says otherwise or may still lag."""
    return await _decide(
        request, order, by, word="NEVER_ARRIVED", broker_order_id="", **body.model_dump()
    )


def waiting_sentences(parts: Mapping[str, Part]) -> list[str]:
    """One sentence for each order that waits for a person, for who asks why nothing happens."""
    return [
        f"waits for a person: {row['action']} {row['quantity']} {row['symbol']} at {row['broker']} "
        f"(command {row['command_id']}, leg {row['leg_no']}): {row['reason']}; entries on "
        f"{row['held']['underlying']} wait; see /tomic/outcomes"
        for row in body_of(parts, EXECUTION).get("outcomes", [])
        if row["waits_for"] == "person"
    ]


async def _decide(request: Request, order: str, by: str, **body: Any) -> Response:
    row = await asyncio.to_thread(request.app.state.commands.order, order)
    if row is None:
        raise ApiFault(404, "UNKNOWN_ORDER", f"no order {order!r}")
    return await desk(request, "decide_outcome", {"order": row["client_order_id"], **body}, by)


def _item(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    item = {"id": number, **row}
    for name, key in TIMES.items():
        item[name] = iso_utc(row[key]) if row[key] else None
    item["likely"] = [
        {**one, "ordered_at": iso_utc(one["ordered_ns"]) if one["ordered_ns"] else None}
        for one in row["likely"]
    ]
    return item
