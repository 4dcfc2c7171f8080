"""The plans of a day: what shall be traded, what became of it, and why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from domain.intents import DailyPlan, Refusal
from messages.base import Message


@dataclass(frozen=True, kw_only=True)
class PlanChanged(Message):
    """A plan was made, filled, or is over; `refusal` says why it is active no more."""

    plan: DailyPlan
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class PlanSkipped(Message):
    """There is no plan on an instrument now; told when the reason is another than before."""

    day: date
    instrument: str
    refusal: Refusal


@dataclass(frozen=True, kw_only=True)
class RebuildPlans(Message):
    """To the daily plan agent: the market jumped, so plans that are not filled are made anew."""

    reason: str
