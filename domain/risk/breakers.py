"""The five rules above all strategy logic (`tomic.md` 10.1), and the table of all breakers.

The connection breaker of each broker stands in its own module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from domain.clock import NS_PER_S, exchange_time
from domain.positions import BookSnapshot, UnhedgedShort, unhedged_shorts
from domain.readings import MarginState
from domain.risk.breaker import (
    CLEAR,
    DEFER,
    DENY,
    KILL,
    Action,
    Breaker,
    Flatten,
    Kill,
    Question,
    Verdict,
)
from domain.risk.connection import Connection


@dataclass
class DailyMaxLoss(Breaker):
    """Realized and unrealized loss of the day, after charges, against the capital: the kill switch.

    Strict: exactly the limit does not trip. Tripped once, it stays so for the exchange's day; the
    gate's own latch keeps the system down until a person resumes it.
    """

    profit: Decimal = field(default=Decimal(0), init=False)
    tripped_day: str = field(default="", init=False)
    seen_day: str = field(default="", init=False)
    kill_told: bool = field(default=False, init=False)  # by this life; told again by the next

    NAME = "DAILY_MAX_LOSS"
    LEVEL = "CRITICAL"

    def see_book(self, book: BookSnapshot, now_ns: int) -> None:
        self.profit = book.realized_today - book.charges_today + book.unrealized
        self.seen_day = _day(now_ns)
        if self._exceeded():
            self.tripped_day = self.seen_day

    def fault(self, now_ns: int) -> str:
        if self.tripped_day != _day(now_ns):
            return ""
        return (
            f"the day's loss passed {self.limits.loss_share_max:.0%} of capital"
            f" (now {self._share():.2%}, Rs {self.profit:.0f})"
        )

    def weigh(self, question: Question, now_ns: int) -> Verdict:
        verdict = super().weigh(question, now_ns)
        tripped = verdict.action == DENY and self.tripped_day == _day(now_ns)
        return Verdict(KILL, self.fault(now_ns)) if tripped else verdict

    def judge(self, now_ns: int) -> list[Action]:
        if self._exceeded() and self.seen_day == _day(now_ns):
            self.tripped_day = self.seen_day
        actions = super().judge(now_ns)
        fault = self.fault(now_ns)
        if fault and not self.kill_told:
            actions.insert(0, Kill(fault))
        self.kill_told = bool(fault)
        return actions

    def figures(self, now_ns: int) -> dict[str, Any]:
        share = float(self._share()) * 100
        return {
            "threshold_pct": -float(self.limits.loss_share_max) * 100,
            "current_pct": round(share, 4),
        }

    def state(self) -> dict[str, Any]:
        return {
            "profit": str(self.profit),
            "seen_day": self.seen_day,
            "tripped_day": self.tripped_day,
            "since_ns": self.since_ns,
            "capital": str(self.capital),
        }

    def restore(self, body: dict[str, Any], now_ns: int) -> None:
        self.tripped_day = body["tripped_day"]
        self.since_ns = body["since_ns"] if self.tripped_day == _day(now_ns) else 0
        self.capital = min(self.capital_cap, Decimal(body["capital"]))
        if body["seen_day"] == _day(now_ns):
            self.seen_day, self.profit = body["seen_day"], Decimal(body["profit"])

    def _share(self) -> Decimal:
        return self.profit / self.capital if self.capital > 0 else Decimal(0)

    def _exceeded(self) -> bool:
        return self.capital > 0 and self.profit < -self.limits.loss_share_max * self.capital


@dataclass
class OrderRate(Breaker):
    """Orders to brokers in the last minute, counted leg by leg at send: entries wait, closes
    pass."""

    sent: dict[str, int] = field(default_factory=dict, init=False)

    NAME = "ORDER_RATE"

    def see_sent(self, client_order_id: str, now_ns: int) -> None:
        self._forget(now_ns)
        self.sent.setdefault(client_order_id, now_ns)

    def fault(self, now_ns: int) -> str:
        self._forget(now_ns)
        if len(self.sent) < self.limits.orders_max:
            return ""
        window = self.limits.orders_window_s
        return (
            f"{len(self.sent)} orders in the last {window:.0f} s, at most {self.limits.orders_max}"
        )

    def weigh(self, question: Question, now_ns: int) -> Verdict:
        verdict = super().weigh(question, now_ns)
        if verdict.action == DENY and self.capital > 0:
            return Verdict(DEFER, verdict.reason, self._free_in_s(now_ns))
        return verdict

    def figures(self, now_ns: int) -> dict[str, Any]:
        return {"threshold": self.limits.orders_max, "current": len(self.sent)}

    def state(self) -> dict[str, Any]:
        return {"sent": dict(self.sent)}

    def restore(self, body: dict[str, Any], now_ns: int) -> None:
        self.sent = {key: min(at_ns, now_ns) for key, at_ns in body["sent"].items()}
        self._forget(now_ns)

    def _forget(self, now_ns: int) -> None:
        oldest = now_ns - round(self.limits.orders_window_s * NS_PER_S)
        self.sent = {key: at_ns for key, at_ns in self.sent.items() if at_ns > oldest}

    def _free_in_s(self, now_ns: int) -> float:
        """Until one more order fits: when the order `orders_max` back from the newest is too
        old."""
        leaving = sorted(self.sent.values())[-self.limits.orders_max]
        return max(0.0, (leaving - now_ns) / NS_PER_S + self.limits.orders_window_s)


@dataclass
class GrossNotional(Breaker):
    """What all structures stand for together, with the proposed one, against five times the
    capital."""

    held: Decimal = field(default=Decimal(0), init=False)

    NAME = "GROSS_NOTIONAL"

    def see_book(self, book: BookSnapshot, now_ns: int) -> None:
        self.held = book.gross_notional

    def fault(self, now_ns: int) -> str:
        return self._fault(Decimal(0))

    def weigh(self, question: Question, now_ns: int) -> Verdict:
        fault = self._fault(question.notional) if self.capital > 0 else ""
        return Verdict(DENY, fault) if fault else super().weigh(question, now_ns)

    def figures(self, now_ns: int) -> dict[str, Any]:
        current = float(self.held / self.capital) if self.capital > 0 else 0.0
        return {"threshold_x": float(self.limits.notional_x_max), "current_x": round(current, 4)}

    def state(self) -> dict[str, Any]:
        return {"held": str(self.held)}

    def restore(self, body: dict[str, Any], now_ns: int) -> None:
        self.held = Decimal(body["held"])

    def _fault(self, proposed: Decimal) -> str:
        limit = self.limits.notional_x_max * self.capital
        whole = self.held + proposed
        if whole <= limit:
            return ""
        times = whole / self.capital if self.capital > 0 else Decimal(0)
        return (
            f"gross notional would be {times:.2f} times the capital,"
            f" at most {self.limits.notional_x_max}"
        )


@dataclass
class PerUnderlying(Breaker):
    """One underlying's share of the used margin, once the used margin is worth the question."""

    margins: dict[str, tuple[str, Decimal]] = field(default_factory=dict, init=False)
    used: Decimal = field(default=Decimal(0), init=False)
    known: bool = field(default=False, init=False)
    held: frozenset[str] = field(default=frozenset(), init=False)

    NAME = "PER_UNDERLYING"

    def see_book(self, book: BookSnapshot, now_ns: int) -> None:
        """A structure that stood in the book and does no more is gone, whoever closed it."""
        held = frozenset(row.strategy_id for row in book.open_positions)
        for gone in self.held - held:
            self.margins.pop(gone, None)
        self.held = held

    def see_margin(self, margin: MarginState) -> None:
        super().see_margin(margin)
        if margin.as_of_ns:
            self.used, self.known = margin.used, True

    def see_structure(self, strategy_id: str, underlying: str, margin: Decimal) -> None:
        if margin > 0:
            self.margins[strategy_id] = (underlying, margin)
        else:
            self.margins.pop(strategy_id, None)

    def fault(self, now_ns: int) -> str:
        names = sorted({name for name, _ in self.margins.values()})
        faults = (self._fault(name, Decimal(0)) for name in names)
        return next((text for text in faults if text), "")

    def weigh(self, question: Question, now_ns: int) -> Verdict:
        if self.capital <= 0:
            return super().weigh(question, now_ns)
        if not self.known:
            return Verdict(DENY, "the broker's used margin is not known yet")
        fault = self._fault(question.underlying, question.margin)
        return Verdict(DENY, fault) if fault else Verdict(CLEAR)

    def figures(self, now_ns: int) -> dict[str, Any]:
        names = {name for name, _ in self.margins.values()}
        shares = [self._share(name, Decimal(0)) for name in names]
        return {
            "threshold_pct": float(self.limits.underlying_share_max) * 100,
            "current_pct": round(float(max(shares, default=Decimal(0))) * 100, 4),
        }

    def state(self) -> dict[str, Any]:
        rows = {key: [name, str(margin)] for key, (name, margin) in self.margins.items()}
        return {"margins": rows, "used": str(self.used), "known": self.known}

    def restore(self, body: dict[str, Any], now_ns: int) -> None:
        rows = body["margins"].items()
        self.margins = {key: (name, Decimal(margin)) for key, (name, margin) in rows}
        self.used, self.known = Decimal(body["used"]), body["known"]

    def _share(self, underlying: str, proposed: Decimal) -> Decimal:
        whole = self.used + proposed
        own = sum((m for name, m in self.margins.values() if name == underlying), proposed)
        return own / whole if whole > 0 else Decimal(0)

    def _fault(self, underlying: str, proposed: Decimal) -> str:
        share = self._share(underlying, proposed)
        small = self.used + proposed <= self.limits.underlying_capital_floor * self.capital
        if small or share <= self.limits.underlying_share_max:
            return ""
        return (
            f"{underlying} would hold {share:.0%} of the used margin,"
            f" at most {self.limits.underlying_share_max:.0%}"
        )


@dataclass
class UnhedgedExposure(Breaker):
    """Short options nothing covers for more than five seconds: bought back, entries held until
    flat."""

    first_seen: dict[str, int] = field(default_factory=dict, init=False)
    shorts: dict[str, UnhedgedShort] = field(default_factory=dict, init=False)
    last_told_ns: dict[str, int] = field(default_factory=dict, init=False)

    NAME = "UNHEDGED_EXPOSURE"
    LEVEL = "CRITICAL"
    JUDGE_EVERY_S = 1.0

    def see_book(self, book: BookSnapshot, now_ns: int) -> None:
        self.shorts = {row.key: row for row in unhedged_shorts(book.positions)}
        self.first_seen = {key: self.first_seen.get(key, now_ns) for key in self.shorts}
        self.last_told_ns = {k: v for k, v in self.last_told_ns.items() if k in self.shorts}

    def fault(self, now_ns: int) -> str:
        late = self._late(now_ns)
        if not late:
            return ""
        names = ", ".join(f"{short.quantity} of {short.symbol}" for short in late)
        return f"short without cover for more than {self.limits.unhedged_after_s:.0f} s: {names}"

    def judge(self, now_ns: int) -> list[Action]:
        actions = super().judge(now_ns)
        again_ns = round(self.limits.flatten_again_s * NS_PER_S)
        for short in self._late(now_ns):
            last_ns = self.last_told_ns.get(short.key)
            if last_ns is None or now_ns - last_ns >= again_ns:
                self.last_told_ns[short.key] = now_ns
                naked_s = (now_ns - self.first_seen[short.key]) / NS_PER_S
                actions.append(Flatten(short, naked_s))
        return actions

    def next_due_s(self, now_ns: int) -> float | None:
        """Seconds until the earliest short still within its time is due; None when there is
        none."""
        limit_ns = round(self.limits.unhedged_after_s * NS_PER_S)
        waits = [at_ns + limit_ns - now_ns for at_ns in self.first_seen.values()]
        pending = [wait_ns for wait_ns in waits if wait_ns >= 0]
        return min(pending) / NS_PER_S if pending else None

    def figures(self, now_ns: int) -> dict[str, Any]:
        return {"timeout_s": self.limits.unhedged_after_s, "unhedged_count": len(self.shorts)}

    def state(self) -> dict[str, Any]:
        rows = {key: [row.symbol, row.quantity] for key, row in self.shorts.items()}
        return {"first_seen": dict(self.first_seen), "shorts": rows}

    def restore(self, body: dict[str, Any], now_ns: int) -> None:
        self.first_seen = {key: min(at_ns, now_ns) for key, at_ns in body["first_seen"].items()}
        rows = body["shorts"].items()
        self.shorts = {key: UnhedgedShort(key, symbol, size) for key, (symbol, size) in rows}

    def _late(self, now_ns: int) -> list[UnhedgedShort]:
        limit_ns = round(self.limits.unhedged_after_s * NS_PER_S)
        return [
            short for key, short in self.shorts.items() if now_ns - self.first_seen[key] > limit_ns
        ]


RULES: dict[str, type[Breaker]] = {
    "daily_max_loss": DailyMaxLoss,
    "order_rate": OrderRate,
    "gross_notional": GrossNotional,
    "per_underlying": PerUnderlying,
    "unhedged_exposure": UnhedgedExposure,
    "connection": Connection,
}


def _day(now_ns: int) -> str:
    day: date = exchange_time(now_ns).date()
    return day.isoformat()
