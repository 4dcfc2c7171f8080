"""The signal cycle's own rules (`tomic.md` 6.5, 6.6): when to scan, when to enter, what is twice.

`Guards` says what holds the loop; `EnqueueTable` which signals went on before; `RejectStreaks` when
a person should hear of the same refusal again and again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from domain.clock import EXCHANGE_ZONE, NS_PER_S, exchange_time, seconds
from domain.intents import Refusal, Signal
from domain.settings import Settings

FORGET_AFTER_COOLDOWNS = 25


@dataclass(frozen=True, slots=True)
class SessionView:
    """What the session clock last said. `reason` says why it is closed."""

    is_open: bool = False
    always_open: bool = False
    opens_ns: int = 0
    closes_ns: int = 0
    reason: str = "the session clock has not spoken yet"


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Settings of the guards; seconds."""

    grace_s: float = 60.0
    opening_block_s: float = 900.0
    require_live_tick: bool = True
    enforce_hours: bool = True
    allow_offhours_scan: bool = False
    enabled: bool = True
    zone_name: str = EXCHANGE_ZONE.key

    @classmethod
    def of(cls, keys: Settings, opening_block_s: float) -> GuardLimits:
        """The limits that the environment asks for."""
        return cls(
            grace_s=keys.startup_enqueue_grace_s,
            opening_block_s=opening_block_s,
            require_live_tick=keys.require_live_tick_after_start,
            enforce_hours=keys.enforce_market_hours,
            allow_offhours_scan=keys.allow_offhours_scan,
            enabled=keys.signal_loop_enabled,
            zone_name=keys.market_tz,
        )


@dataclass(frozen=True, slots=True)
class Guards:
    """Everything that may hold the loop, as known at `now_ns`. Times 0 mean never."""

    now_ns: int
    limits: GuardLimits
    session: SessionView = field(default_factory=SessionView)
    started_ns: int = 0
    stop_reason: str = "nobody has started it"
    lease_held: bool = False
    lease_owner: str = ""
    mode: str = ""
    mode_reason: str = ""
    killed: bool = False
    live_tick_ns: int = 0

    @property
    def elapsed_s(self) -> float:
        """Since trading was started; 0 while it is stopped."""
        return (self.now_ns - self.started_ns) / NS_PER_S if self.started_ns else 0.0

    @property
    def has_live_tick(self) -> bool:
        """True when a tick came after trading was started."""
        return 0 < self.started_ns <= self.live_tick_ns

    @property
    def is_closed(self) -> bool:
        """True when market hours count and the market is shut."""
        return self.limits.enforce_hours and not self.session.is_open

    def scan_holds(self) -> tuple[Refusal, ...]:
        """Why no scan runs; empty when one may."""
        holds = [self._enabled(), self._started(), self._lease(), self._kill()]
        if not self.limits.allow_offhours_scan:
            holds.append(self._hours())
        return tuple(hold for hold in holds if hold)

    def entry_holds(self) -> tuple[Refusal, ...]:
        """Why no signal goes on to risk; empty when they may. Contains all `scan_holds`."""
        holds = [
            self._enabled(),
            self._started(),
            self._lease(),
            self._kill(),
            self._trading_mode(),
        ]
        holds += [self._hours(), self._opening(), self._grace(), self._live_tick()]
        return tuple(hold for hold in holds if hold)

    def _enabled(self) -> Refusal | None:
        if self.limits.enabled:
            return None
        text = "the signal loop is switched off on this instance (TOMIC_SIGNAL_LOOP_ENABLED)"
        return Refusal("LOOP_DISABLED", text)

    def _started(self) -> Refusal | None:
        if self.started_ns:
            return None
        return Refusal("STOPPED", f"trading is stopped: {self.stop_reason}")

    def _lease(self) -> Refusal | None:
        if self.lease_held or not self.limits.enabled:
            return None
        owner = self.lease_owner or "nobody yet"
        return Refusal("NOT_CONTROL_INSTANCE", f"the control lease is held by {owner}")

    def _kill(self) -> Refusal | None:
        return (
            Refusal("KILLED", f"the kill switch is set: {self.mode_reason}")
            if self.killed
            else None
        )

    def _trading_mode(self) -> Refusal | None:
        if self.mode == "active" or self.killed:
            return None
        if not self.mode:
            return Refusal("MODE_UNKNOWN", "the breaker gate has not told its mode yet; no entries")
        text = f"the gate is {self.mode}, no entries: {self.mode_reason}"
        return Refusal(f"MODE_{self.mode.upper()}", text)

    def _hours(self) -> Refusal | None:
        if not self.is_closed:
            return None
        return Refusal("MARKET_CLOSED", f"the market is closed: {self.session.reason}")

    def _opening(self) -> Refusal | None:
        session = self.session
        ends_ns = session.opens_ns + seconds(self.limits.opening_block_s)
        if self.is_closed or session.always_open or not self.limits.enforce_hours:
            return None
        if self.now_ns >= ends_ns:
            return None
        return Refusal("OPENING_BLOCK", f"no entries before {exchange_time(ends_ns):%H:%M}")

    def _grace(self) -> Refusal | None:
        if not self.started_ns or self.elapsed_s >= self.limits.grace_s:
            return None
        text = f"{self.elapsed_s:.0f} of {self.limits.grace_s:.0f} s since start; no entries yet"
        return Refusal("START_GRACE", text)

    def _live_tick(self) -> Refusal | None:
        if not self.limits.require_live_tick or self.has_live_tick or not self.started_ns:
            return None
        return Refusal("NO_LIVE_TICK", "no live tick has come since start; no entries yet")


def strategy_tag(signal: Signal) -> str:
    """`TOMIC_{strategy}_{instrument}`: what commands and positions of a kind are marked by."""
    return f"TOMIC_{signal.strategy}_{signal.instrument}"


def dedupe_key(signal: Signal) -> str:
    """`INSTRUMENT:STRATEGY:DIRECTION`, `NA` without a direction."""
    return f"{signal.instrument}:{signal.strategy}:{signal.direction or 'NA'}"


@dataclass(frozen=True, slots=True)
class _Sent:
    key: str
    tag: str
    at_ns: int


class EnqueueTable:
    """What is with risk, what risk accepted, and which commands are alive, by correlation id.

    The cool-down of a key starts when risk accepts: a refusal for size costs no five minutes.
    """

    def __init__(self, cooldown_s: float, answer_within_s: float) -> None:
        self._cooldown_ns = seconds(cooldown_s)
        self._answer_within_ns = seconds(answer_within_s)
        self._with_risk: dict[str, _Sent] = {}
        self._accepted_ns: dict[str, int] = {}
        self._commands: dict[str, str] = {}

    def hold(self, signal: Signal, now_ns: int, open_tags: Collection[str]) -> Refusal | None:
        """Why this signal is not sent on; None when it may be."""
        key, tag = dedupe_key(signal), strategy_tag(signal)
        if any(sent.key == key for sent in self._with_risk.values()):
            return Refusal("AWAITING_RISK", f"{key} is with risk already")
        if tag in self._commands.values():
            return Refusal("ENTRY_PENDING", f"an entry of {tag} is still on its way")
        if tag in open_tags:
            return Refusal("POSITION_OPEN", f"a position of {tag} is open")
        left_ns = self._accepted_ns.get(key, -self._cooldown_ns) + self._cooldown_ns - now_ns
        if key in self._accepted_ns and left_ns > 0:
            return Refusal(
                "COOLDOWN", f"{key} was accepted lately; {left_ns / NS_PER_S:.0f} s to wait"
            )
        return None

    def sent(self, signal: Signal, now_ns: int) -> None:
        """The signal went to risk."""
        sent = _Sent(dedupe_key(signal), strategy_tag(signal), now_ns)
        self._with_risk[signal.correlation_id] = sent

    def restore(
        self, alive: Iterable[tuple[str, str]], accepted: Iterable[tuple[Signal, int]]
    ) -> None:
        """What stands on disk after a restart: entries that live, (correlation id, strategy tag),
        and when risk accepted which signals of late, oldest first.
        """
        self._commands.update(alive)
        self._accepted_ns.update((dedupe_key(signal), at_ns) for signal, at_ns in accepted)

    def refused(self, correlation_id: str) -> None:
        """Risk or execution said no: nothing is on its way under this id."""
        self._with_risk.pop(correlation_id, None)
        self._commands.pop(correlation_id, None)

    def accepted(self, signal: Signal, now_ns: int) -> None:
        """Risk said yes: an entry is on its way and the cool-down begins."""
        self._with_risk.pop(signal.correlation_id, None)
        self._commands[signal.correlation_id] = strategy_tag(signal)
        self._accepted_ns[dedupe_key(signal)] = now_ns

    def ended(self, correlation_id: str) -> None:
        """The command is done, failed or a dead letter: it blocks no more (the cool-down does)."""
        self._commands.pop(correlation_id, None)

    def forget_pending(self) -> None:
        """Risk has a new life: what was with it is gone."""
        self._with_risk.clear()

    def prune(self, now_ns: int) -> None:
        """Forgets old cool-downs, and signals that risk never answered."""
        oldest_ns = now_ns - FORGET_AFTER_COOLDOWNS * self._cooldown_ns
        self._accepted_ns = {
            key: at_ns for key, at_ns in self._accepted_ns.items() if at_ns >= oldest_ns
        }
        self._with_risk = {
            name: sent
            for name, sent in self._with_risk.items()
            if now_ns - sent.at_ns < self._answer_within_ns
        }


class RejectStreaks:
    """Consecutive cycles in which an instrument was refused for the same reason."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._streaks: dict[tuple[str, str], int] = {}

    def count(self, rejects: Iterable[tuple[str, str]]) -> tuple[tuple[str, str, int], ...]:
        """One cycle's (instrument, code) pairs; gives those whose streak just reached N or 2N.

        An instrument without a refusal in this cycle starts from zero; so does each other reason.
        """
        unique = sorted(set(rejects))
        self._streaks = {pair: self._streaks.get(pair, 0) + 1 for pair in unique}
        marks = (self._threshold, 2 * self._threshold)
        return tuple(
            (*pair, self._streaks[pair]) for pair in unique if self._streaks[pair] in marks
        )
