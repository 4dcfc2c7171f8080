"""The expiry specialist: in the last hours of an expiry day, one cheap call and put an underlying.

Hears chains on the bus, the session and OrderProposed; answers ScanRequested by ScanCompleted and
tells SignalRaised. Off unless its settings switch it on. An underlying is used up for the day when
risk accepts, which is a row of `latches`. Twin: expiry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.actor import Actor, Context
from adapters.tick_bus import Batch
from domain.clock import exchange_time
from domain.instruments import parse_expiry
from domain.intents import Refusal, Signal
from domain.signals.expiry import (
    SOURCE,
    ExpiringChain,
    ExpiryRules,
    gamma_legs,
    gamma_signal,
    window_hold,
)
from messages.market import SessionClosed, SessionOpened
from messages.trading import OrderProposed, ScanCompleted, ScanRequested, SignalRaised
from persistence.database import open_engine
from persistence.latches import Latch, read_latches, write_latch

LOOP = "signal_loop"
PREFIX = "gamma:"


@dataclass(frozen=True)
class ExpirySettings:
    """Minutes before the session's intraday exit, by the calendar; prices in rupees a unit
    (`tomic.md` 12.5)."""

    enabled: bool = False
    begins_before_exit_min: float = 60.0
    ends_before_exit_min: float = 0.0
    price_min: float = 0.5
    price_max: float = 10.0

    def __post_init__(self) -> None:
        begins, ends = self.begins_before_exit_min, self.ends_before_exit_min
        if not 300 > begins > ends >= 0:
            raise ValueError(
                f"begins_before_exit_min {begins} must be above ends_before_exit_min {ends}, "
                f"both 0 to 299"
            )
        if not 0 < self.price_min <= self.price_max:
            raise ValueError("price_min must be above 0 and at most price_max")


class ExpirySpecialist(Actor):
    """Keeps the chains that expire today, and which underlyings had their entry."""

    SETTINGS = ExpirySettings
    settings: ExpirySettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._rules = ExpiryRules(
            settings.begins_before_exit_min * 60,
            settings.ends_before_exit_min * 60,
            settings.price_min,
            settings.price_max,
        )
        self._chains: dict[str, ExpiringChain] = {}
        self._used: dict[str, str] = {}  # underlying -> day, ISO
        self._exit_ns = 0  # of the session that is open

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url)
        self._used = {
            row.name.removeprefix(PREFIX): row.day for row in read_latches(self._engine, PREFIX)
        }
        if self.settings.enabled:
            self.context.subscribe("chain.", self._on_chain)
        self._report()

    def on_session_opened(self, message: SessionOpened) -> None:
        # A session that never closes is left by nobody: its last hour ends with the day.
        self._exit_ns = message.closes_ns if message.always_open else message.intraday_exit_ns

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._exit_ns = 0

    def on_order_proposed(self, message: OrderProposed) -> None:
        signal = message.intent.signal
        if signal.source != SOURCE:
            return
        now_ns = self.context.now_ns()
        day = exchange_time(now_ns).date().isoformat()
        self._used[signal.instrument] = day
        reason = f"entered as {message.intent.strategy_id}"
        name = PREFIX + signal.instrument
        write_latch(self._engine, Latch(name, True, day, reason, now_ns, now_ns, {}))
        self._report()

    def on_scan_requested(self, message: ScanRequested) -> None:
        signals: list[Signal] = []
        notes: list[Refusal] = []
        for name in sorted(self._chains):
            found = self._consider(self._chains[name])
            if isinstance(found, Signal):
                signals.append(found)
            elif found:
                notes.append(found)
        completed = ScanCompleted(
            cycle=message.cycle,
            source=self.context.name,
            signals=tuple(signals),
            notes=tuple(notes),
            regime_version=message.regime.version,
            dry=message.dry,
        )
        if message.dry:
            self.context.tell(LOOP, completed)
            return
        self.context.announce(completed)
        for signal in signals:
            self.context.announce(SignalRaised(signal=signal))

    def _consider(self, chain: ExpiringChain) -> Signal | Refusal | None:
        now_ns, name = self.context.now_ns(), chain.underlying
        today = exchange_time(now_ns).date()
        if chain.expiry != today:
            return None
        if self._used.get(name) == today.isoformat():
            return Refusal("EXPIRY_USED", f"{name}: its expiry entry of today was made")
        hold = window_hold(self._rules, name, now_ns, self._exit_ns)
        if hold:
            return hold
        legs = gamma_legs(chain, now_ns, self._rules)
        if isinstance(legs, Refusal):
            return legs
        valid_s = self.context.runtime.settings.signal_loop_interval_s
        return gamma_signal(chain, legs, self._rules, now_ns=now_ns, valid_s=valid_s)

    def _on_chain(self, batch: Batch) -> None:
        _, underlying, word = batch.topic.split(".", 2)
        expiry, now_ns = parse_expiry(word), self.context.now_ns()
        if expiry != exchange_time(now_ns).date() or not len(batch.columns):
            return
        spot = float(batch.meta.get("spot", 0.0))
        rows = batch.columns.copy()
        self._chains[underlying] = ExpiringChain(underlying, expiry, spot, rows, now_ns)

    def _report(self) -> None:
        self.context.report({"enabled": self.settings.enabled, "used": dict(self._used)})
