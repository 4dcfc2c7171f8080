"""A trade's row in the journal (`tomic.md` 9.5), from what was wanted and what its orders filled.

Prices are per unit of the structure in its own direction: what a sale brought in and its end cost,
what a purchase cost and its end brought in. None is what nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from domain.intents import SizedIntent
from domain.orders import OrderRow, Purpose

SNIPER = "SNIPER"


def trade_row(intent: SizedIntent, orders: Sequence[OrderRow]) -> dict[str, Any]:
    """Everything that is known of a trade while it stands; one row a strategy, made anew at will.

    `exit_price` is what all orders after the entry came to: final once the trade is flat.
    """
    quantity, taking = _entry(intent, orders)
    sale = 1 if intent.signal.direction == "SELL" else -1
    entered = _cash(row for row in orders if row.purpose in taking)
    left = _cash(row for row in orders if row.purpose not in taking)
    return {
        "event_id": f"{intent.idempotency_key}:journal",
        "correlation_id": intent.correlation_id,
        "strategy_id": intent.strategy_id,
        "strategy_tag": intent.strategy_tag,
        "instrument": intent.signal.instrument,
        "exchange": intent.structure.legs[0].exchange,
        "direction": intent.signal.direction,
        "quantity": quantity,
        "entry_price": _per_unit(sale * entered, quantity),
        "exit_price": _per_unit(-sale * left, quantity),
        "fill_rate": _fill_rate(intent, orders),
        "entry_reason": intent.entry_reason,
        "entry_reason_meta": reason_meta(intent),
        "regime_phase": intent.regime_phase,
        "regime_score": intent.regime_score,
        "vix_at_entry": intent.vix,
        "iv_rank": _number(intent.signal.extras, "iv_rank"),
        "pcr_at_entry": _number(intent.signal.extras, "pcr_at_entry"),
        "max_pain_dist": _number(intent.signal.extras, "max_pain_dist"),
        "kelly_value": next(
            (_known(step.output) for step in intent.sizing if step.name == "half_kelly"), None
        ),
        "sizing_chain": _chain(intent),
    }


def reason_meta(intent: SizedIntent) -> dict[str, Any]:
    """`entry_reason_meta` of `tomic.md` 7.8, over whatever else the signal brought along."""
    signal, extras = intent.signal, intent.signal.extras
    sniper = signal.source == SNIPER
    named = (
        "router_reason", "router_action", "router_source", "router_priority_score", "rs_score",
        "signal_direction",
    )  # fmt: skip
    return {
        **extras,
        **{name: extras.get(name) for name in named},
        "signal_reason": signal.reason,
        "pattern": signal.pattern,
        "signal_score": _known(signal.strength) if sniper else _number(extras, "signal_score"),
        "signal_strength": None if sniper else _known(signal.strength),
        "strategy_type": signal.strategy.value,
        "regime_phase": intent.regime_phase,
        "regime_score": intent.regime_score,
        "regime_vix": _known(intent.vix),
        "sizing_final_units": intent.quantity,
        "sizing_final_lots": intent.lots,
        "sizing_chain": _chain(intent),
    }


def _entry(intent: SizedIntent, orders: Sequence[OrderRow]) -> tuple[int, frozenset[Purpose]]:
    """(units of the structure, purposes whose orders made its entry).

    What an entry took back of itself belongs to its price when the rest stands; when nothing of it
    ever stood as a whole, taking it back was its exit.
    """
    kept = _filled(intent, orders, frozenset({Purpose.ENTRY, Purpose.UNWIND}))
    if min(kept) > 0:
        return min(kept), frozenset({Purpose.ENTRY, Purpose.UNWIND})
    entering = frozenset({Purpose.ENTRY})
    return max(_filled(intent, orders, entering)), entering


def _filled(
    intent: SizedIntent, orders: Sequence[OrderRow], purposes: frozenset[Purpose]
) -> list[int]:
    """Units of the structure that each leg filled, in the leg's own direction."""
    found = []
    for number, leg in enumerate(intent.structure.legs):
        rows = [row for row in orders if row.leg_no == number and row.purpose in purposes]
        units = sum(row.signed_filled for row in rows)
        found.append((units if leg.direction == "BUY" else -units) // leg.ratio)
    return found


def _fill_rate(intent: SizedIntent, orders: Sequence[OrderRow]) -> float:
    """The share of what was wanted that the entry's orders filled, 0-1."""
    ratios = [leg.ratio for leg in intent.structure.legs]
    filled = _filled(intent, orders, frozenset({Purpose.ENTRY}))
    got = sum(min(units, intent.quantity) * n for units, n in zip(filled, ratios, strict=True))
    return got / (intent.quantity * sum(ratios))


def _cash(orders: Iterable[OrderRow]) -> Decimal:
    """Rupees that came in, less what went out."""
    return sum((-row.average_price * row.signed_filled for row in orders), Decimal(0))


def _per_unit(rupees: Decimal, quantity: int) -> float | None:
    return round(float(rupees / quantity), 4) if quantity else None


def _chain(intent: SizedIntent) -> list[dict[str, Any]]:
    return [
        {key: _known(value) if isinstance(value, float) else value for key, value in step.items()}
        for step in map(asdict, intent.sizing)
    ]


def _number(extras: Mapping[str, str], name: str) -> float | None:
    return _known(float(extras[name])) if extras.get(name) else None


def _known(value: float) -> float | None:
    """None for what no JSON can carry."""
    return value if math.isfinite(value) else None
