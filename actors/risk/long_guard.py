"""Long single options under their virtual guard, for the position manager (`tomic.md` 8.10).

Knows how old each price is; what a price means is the twin's. The highest price of each option is
the watch's, whose row keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actors.actor import Context
from domain.clock import NS_PER_S
from domain.freshness import last_true_ns
from domain.positions import Position
from domain.virtual_guard import (
    GuardLevels,
    GuardVerdict,
    check_price,
    check_silence,
    guard_levels,
    is_single_long,
    rules_of,
)


@dataclass(frozen=True, slots=True)
class LegQuote:
    """Executable prices, last trade and delta of one leg, as the chain last told; `at_ns` when it
    told, `traded_ns` when the last price was true."""

    bid: float
    ask: float
    delta: float
    at_ns: int
    last: float
    traded_ns: int


class LongGuard:
    """State: when any option was last heard of."""

    def __init__(self, context: Context) -> None:
        self._context = context
        plan = context.runtime.replay
        self._stands_ns = plan.interval_ns if plan else 0
        self._rules = rules_of(context.runtime.settings)
        self._fed_ns = context.now_ns()

    def heard(self, rows: np.ndarray) -> None:
        """A chain came: the feed lives if any of its prices is new."""
        if len(rows):
            self._fed_ns = max(self._fed_ns, int(rows["ts_ns"].max()))

    def guards(self, legs: Sequence[Position]) -> bool:
        """True when these legs go by this guard, not by the share of their debit."""
        return self._rules is not None and is_single_long(legs)

    def best(self, leg: Position, quote: LegQuote | None, high: float) -> float:
        """The highest price since the entry that can move the stop."""
        assert self._rules
        if quote is None or quote.traded_ns < leg.entry_ns or not quote.last > high:
            return high
        moved = guard_levels(float(leg.average_price), quote.last, self._rules)
        return quote.last if moved.trailing else high

    def price_verdict(
        self, leg: Position, quote: LegQuote | None, high: float
    ) -> GuardVerdict | None:
        """What the last price says; None for one from before the entry."""
        if quote is None or quote.traded_ns < leg.entry_ns:
            return None
        return check_price(self._levels(leg, high), quote.last)

    def silence_verdict(
        self, leg: Position, quote: LegQuote | None, opens_ns: int
    ) -> GuardVerdict | None:
        """What missing ticks say, of the option and of all options; the night before the session
        opened was no silence."""
        assert self._rules
        now_ns = self._context.now_ns()
        seen_ns = max(quote.traded_ns if quote else 0, leg.entry_ns)
        ages_s = [
            (now_ns - last_true_ns(max(at_ns, opens_ns), now_ns, self._stands_ns)) / NS_PER_S
            for at_ns in (seen_ns, self._fed_ns)
        ]
        return check_silence(*ages_s, self._rules)

    def view(self, leg: Position, quote: LegQuote | None, high: float) -> dict[str, Any]:
        """The guard as pages show it; `tick_age_s` -1 before the first price."""
        age_s = (self._context.now_ns() - quote.traded_ns) / NS_PER_S if quote else -1.0
        return {**asdict(self._levels(leg, high)), "tick_age_s": round(age_s, 1)}

    def _levels(self, leg: Position, high: float) -> GuardLevels:
        assert self._rules
        return guard_levels(float(leg.average_price), high, self._rules)
