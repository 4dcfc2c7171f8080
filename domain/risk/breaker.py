"""The breakers above all strategy logic (`tomic.md` 10.1): a small state machine each, one class a
rule.

A rule is shown what happens (`see_...`), asked by the gate (`weigh`), and judged at its own pace
(`judge`), which returns what must be done. `state` is what it must not forget: the actor writes it
down and hands it to `restore` before the first question. All times are passed in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, ClassVar

from domain.positions import BookSnapshot, UnhedgedShort
from domain.readings import MarginState

CLEAR, DENY, DEFER, KILL = "clear", "deny", "defer", "kill"


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit a breaker has, with the default of `tomic.md` 10.1, 2.3 and 8.3; they may only be
    tightened."""

    loss_share_max: Decimal = Decimal("0.06")
    orders_max: int = 30
    orders_window_s: float = 60.0
    notional_x_max: Decimal = Decimal(5)
    underlying_share_max: Decimal = Decimal("0.30")
    underlying_capital_floor: Decimal = Decimal("0.20")
    unhedged_after_s: float = 5.0
    flatten_again_s: float = 1.0
    failures_to_open: int = 3
    cool_down_s: float = 30.0
    timeouts_to_kill: int = 5


LOOSEST = Limits()
TIGHTER_WHEN_GREATER = ("orders_window_s", "cool_down_s")


def loosened(limits: Limits) -> str:
    """The first limit that is looser than the specification allows, in a sentence; or none."""
    for row in fields(Limits):
        value, bound = getattr(limits, row.name), getattr(LOOSEST, row.name)
        if row.name in TIGHTER_WHEN_GREATER and value < bound:
            return f"{row.name} must be at least {bound}, not {value}"
        if row.name not in TIGHTER_WHEN_GREATER and value > bound:
            return f"{row.name} must be at most {bound}, not {value}"
    return ""


@dataclass(frozen=True, slots=True)
class Question:
    """The entry being weighed, rupees; `early` while it may still come to nothing."""

    broker: str = ""
    underlying: str = ""
    notional: Decimal = Decimal(0)
    margin: Decimal = Decimal(0)
    leg_orders: int = 0
    early: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """clear, deny, defer (with the seconds to wait) or kill."""

    action: str
    reason: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Kill:
    """The gate must latch the kill switch."""

    reason: str


@dataclass(frozen=True, slots=True)
class Flatten:
    """A naked short must be bought back now."""

    short: UnhedgedShort
    naked_s: float


@dataclass(frozen=True, slots=True)
class Tripped:
    """The breaker's state went from clear to tripped, or back; for an alert."""

    level: str
    text: str


Action = Kill | Flatten | Tripped


@dataclass
class Breaker(ABC):
    """What all rules share. `capital` is the trading capital, rupees: the user's cap, or less."""

    capital_cap: Decimal
    limits: Limits = field(default_factory=Limits)
    capital: Decimal = field(init=False)
    since_ns: int = field(default=0, init=False)

    NAME: ClassVar[str] = ""
    LEVEL: ClassVar[str] = "RISK"
    JUDGE_EVERY_S: ClassVar[float] = 5.0

    def __post_init__(self) -> None:
        self.capital = self.capital_cap

    # -- what a rule is shown; each overrides what it needs --

    def see_book(self, book: BookSnapshot, now_ns: int) -> None:
        """The position book at a new version or new prices."""

    def see_margin(self, margin: MarginState) -> None:
        """Funds of the execution broker: they may only lower the capital below the user's cap."""
        if margin.as_of_ns:
            self.capital = min(self.capital_cap, margin.capital)

    def see_sent(self, client_order_id: str, now_ns: int) -> None:
        """One order went to a broker."""

    def see_answer(self, failure: str, now_ns: int) -> None:
        """A broker answered an order ("" well), or not: `timeout`, `not_sent`."""

    def see_connection(self, connected: bool, reason: str, now_ns: int) -> None:
        """The broker session's state."""

    def see_structure(self, strategy_id: str, underlying: str, margin: Decimal) -> None:
        """A structure opened with this margin; 0 when it closed."""

    # -- what a rule answers --

    @abstractmethod
    def fault(self, now_ns: int) -> str:
        """Why the breaker is tripped at this moment; empty while it is not."""

    def weigh(self, question: Question, now_ns: int) -> Verdict:
        """May this entry go?"""
        if self.capital <= 0:
            return Verdict(DENY, "capital is not above 0, so no entry can be measured against it")
        fault = self.fault(now_ns)
        return Verdict(DENY, fault) if fault else Verdict(CLEAR)

    def judge(self, now_ns: int) -> list[Action]:
        """What must be done now; says once that it tripped and once that it is clear again."""
        fault = self.fault(now_ns)
        if fault and not self.since_ns:
            self.since_ns = now_ns
            return [Tripped(self.LEVEL, f"{self.NAME} tripped: {fault}")]
        if not fault and self.since_ns:
            self.since_ns = 0
            return [Tripped("INFO", f"{self.NAME} is clear again")]
        return []

    def status(self, now_ns: int) -> dict[str, Any]:
        """This breaker's part of the status object of `tomic.md` 10.1, and the rupees it measures
        against.
        """
        fault = self.fault(now_ns)
        return {
            "capital": float(self.capital),
            "tripped": bool(fault),
            **self.figures(now_ns),
            "message": fault,
            "since": self.since_ns,
        }

    def figures(self, now_ns: int) -> dict[str, Any]:
        """Threshold and live value."""
        return {}

    def state(self) -> dict[str, Any]:
        """JSON-ready memory; equal while nothing worth writing changed."""
        return {}

    def restore(self, body: dict[str, Any], now_ns: int) -> None:
        """Takes back what an earlier life wrote with `state`."""
