"""What execution last heard of the world: whether an entry may begin now, later or never."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domain.clock import seconds
from domain.freshness import check_freshness
from domain.gates import (
    NOT_READ,
    ActiveStrategy,
    NakedPolicy,
    check_positions,
    check_regime,
)
from domain.intents import STRATEGY_TRAITS, Refusal, SizedIntent
from domain.positions import BookSnapshot
from domain.readings import FreshnessMark, Regime
from messages.market import SessionOpened

FIRST_MINUTES_S = 900.0  # the opening's prices settle first (`tomic.md` 8.2)


@dataclass
class Conditions:
    """The newest of each. No mark and no regime block; a mode not heard yet is left to the gate."""

    policy: NakedPolicy
    allow_pyramiding: bool = False
    mark: FreshnessMark | None = None
    regime: Regime = Regime()
    book: BookSnapshot = BookSnapshot()
    mode: str = ""
    mode_reason: str = ""
    killed: bool = False
    stopped: str = ""
    resumed_ns: int = 0
    draining: bool = False
    session: SessionOpened | None = None

    def holds_back(self, intent: SizedIntent, now_ns: int) -> Refusal | None:
        """Why this entry must wait (`tomic.md` 8.2, steps 3 and 5); None when it may go."""
        if self.draining:
            return Refusal("STOPPING", "the runtime is being stopped")
        if self.mode not in ("", "active"):
            return Refusal("NOT_ACTIVE", f"trading is {self.mode}: {self.mode_reason}")
        untimely = self._outside_entry_hours(intent, now_ns)
        if untimely:
            return untimely
        symbols = tuple(leg.symbol for leg in intent.structure.legs)
        report = check_freshness(
            self.mark,
            intent.structure.underlying,
            symbols,
            premium_selling=STRATEGY_TRAITS[intent.signal.strategy].premium_selling,
            needs_depth=False,
            now_ns=now_ns,
        )
        if not report.passed:
            code = report.blocking[0]
            return Refusal(code, report.details[code])
        regime = check_regime(intent.signal, self.regime, now_ns, self.policy)
        if regime and regime.code in NOT_READ:
            return regime
        blocked = {f"{leg.exchange}:{leg.symbol}" for leg in intent.structure.legs}
        if blocked & set(self.book.unexplained):
            return Refusal("UNRECONCILED", "the broker's book differs from ours on one of its legs")
        return None

    def refuses(
        self, intent: SizedIntent, active: Iterable[ActiveStrategy], now_ns: int
    ) -> Refusal | None:
        """Why this entry is not to be sent any more: what risk allowed may have changed since
        (`tomic.md` 8.2, step 5)."""
        if self.stopped:
            return Refusal("TRADING_STOPPED", self.stopped)
        regime = check_regime(intent.signal, self.regime, now_ns, self.policy)
        if regime and regime.code not in NOT_READ:
            return regime
        return check_positions(intent.signal, active, self.allow_pyramiding)

    def _outside_entry_hours(self, intent: SizedIntent, now_ns: int) -> Refusal | None:
        """A session that never closes has no such hours."""
        session = self.session
        if session is None or session.always_open:
            return None
        if now_ns < session.opens_ns + seconds(FIRST_MINUTES_S):
            return Refusal("FIRST_MINUTES", "no entry in the first 15 minutes of a session")
        leaves_ns = session.intraday_exit_ns
        if intent.product == "MIS" and leaves_ns and now_ns >= leaves_ns:
            return Refusal("TOO_LATE_FOR_INTRADAY", "intraday structures are being closed already")
        return None
