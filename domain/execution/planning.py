"""What an entry plans: its legs, what each is to the structure, and how many units.

The policy of its strategy gives the roles; a broker that names another lot than ours gives the
units, never more than were approved (`tomic.md` 1.2, 8.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from domain.execution.flattening import in_flight
from domain.execution.slicing import whole_lots
from domain.instruments import Kind
from domain.intents import STRATEGY_TRAITS, LeggingPolicy, SizedIntent
from domain.orders import OrderRow, OrderStatus, Purpose

_MULTIPLE_OF = re.compile(r"multiples? of\D{0,20}(\d+)", re.IGNORECASE)


class Role(StrEnum):
    """What a leg is to its structure."""

    HEDGE = "HEDGE"  # bought first, so that a short may follow
    SHORT = "SHORT"  # sold when its hedge stands, or naked with a stop
    LEAD = "LEAD"  # sold before its hedge
    COVER = "COVER"  # the hedge that follows a lead
    LONG = "LONG"  # bought for its own sake


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """A leg as it is to stand; units. `naked` legs have no cover in the structure."""

    leg_no: int
    action: str
    ratio: int
    lot_size: int
    kind: Kind
    expiry: date
    role: Role
    naked: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A structure of `quantity` units; a leg wants quantity x ratio."""

    quantity: int
    legs: tuple[PlannedLeg, ...]


def plan_of(intent: SizedIntent) -> Plan:
    """The legs of an intent with their roles, by the policy of its strategy (`tomic.md` 1.2)."""
    policy = STRATEGY_TRAITS[intent.signal.strategy].legging
    legs = intent.structure.legs
    planned = []
    for number, leg in enumerate(legs):
        covers = (
            other.direction == "BUY"
            and other.option_type == leg.option_type
            and other.expiry >= leg.expiry
            for other in legs
        )
        naked = leg.direction == "SELL" and not any(covers)
        planned.append(
            PlannedLeg(
                number, leg.direction, leg.ratio, leg.lot_size, leg.option_type, leg.expiry,
                _role(policy, leg.direction, naked), naked,
            )
        )  # fmt: skip
    return Plan(intent.quantity, tuple(planned))


def has_naked_leg(intent: SizedIntent) -> bool:
    """True when a short of it has no cover, and needs a stop of its own."""
    return any(leg.naked for leg in plan_of(intent).legs)


def _role(policy: LeggingPolicy, direction: str, naked: bool) -> Role:
    if policy is LeggingPolicy.SINGLE_LEG:
        return Role.LONG
    if policy is LeggingPolicy.SHORT_FIRST_KILL_SWITCH:
        # A naked short has nothing to wait for: its stop guards it, so it may rest as any short.
        lead = Role.SHORT if naked else Role.LEAD
        return lead if direction == "SELL" else Role.COVER
    return Role.HEDGE if direction == "BUY" else Role.SHORT


def in_brokers_lots(plan: Plan, orders: Sequence[OrderRow]) -> Plan:
    """The plan in whole multiples of what a broker said it takes.

    As it is where no broker said so, where less than one multiple was approved, and where an order
    of another size was taken already: then the entry is unwound.
    """
    entries = [row for row in orders if row.purpose is Purpose.ENTRY]
    told = next((row for row in entries if broker_lot(row)), None)
    if told is None:
        return plan
    lot = broker_lot(told)
    expiry = next(leg.expiry for leg in plan.legs if leg.leg_no == told.leg_no)
    size = whole_lots(plan.quantity, lot)
    legs = tuple(replace(leg, lot_size=lot) if leg.expiry == expiry else leg for leg in plan.legs)
    fits = all(size * leg.ratio % leg.lot_size == 0 for leg in legs)
    taken = any(row.quantity % lot and (row.filled_quantity or in_flight(row)) for row in entries)
    return Plan(size, legs) if size and fits and not taken else plan


def broker_lot(row: OrderRow) -> int:
    """What a broker said quantities must be a multiple of when it refused this row; 0 for no
    such words."""
    refused = row.status in (OrderStatus.REJECTED, OrderStatus.FAILED)
    words = _MULTIPLE_OF.search(row.error_message) if refused else None
    return int(words[1]) if words else 0
