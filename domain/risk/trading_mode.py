"""The gate's mode: active, reducing (exits only) or halted, from what is known; unknown means
halted.

Kill latch, a missing breaker, a start and an open reconciliation halt; a closed session or a broker
that is away or not proven a sandbox only reduces: exits pass in every mode (`style.md` 2, 14;
`tomic.md` 10.3, 8.9).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.clock import NS_PER_S
from domain.intents import Refusal
from domain.positions import keeps_books
from domain.safety import StandingBreaker, missing_breakers

ACTIVE, REDUCING, HALTED = "active", "reducing", "halted"
# The proof is renewed every 60 s (`tomic.md` 8.9); one missed renewal is forgiven, two are not.
PROOF_MAX_AGE_S = 130


@dataclass
class BrokerView:
    """What the gate knows of one execution broker."""

    connected: bool = False
    reason: str = "not heard of yet"
    sandbox_proven: bool = False
    proven_ns: int = 0
    reconciled: bool = False
    unreconciled_because: str = "the books have not been compared since the start"
    reopened_ns: int = 0  # a comparison of what was read before that proves nothing


@dataclass
class TradingState:
    """All the gate decides its mode by. `needs_sandbox` in sandbox mode."""

    needs_sandbox: bool
    breakers: frozenset[StandingBreaker] = frozenset()
    killed: bool = False
    kill_reason: str = ""
    killed_ns: int = 0
    session_open: bool = False
    session_reason: str = "the session has not been told yet"
    brokers: dict[str, BrokerView] = field(default_factory=dict)

    def broker(self, name: str) -> BrokerView:
        """The view of that broker; a stranger is not connected and not reconciled."""
        return self.brokers.setdefault(name, BrokerView())

    def refusal(self, broker: str, now_ns: int) -> Refusal | None:
        """Why no entry may go to that broker now; None while the mode is active."""
        view = self.broker(broker)
        if self.killed:
            return Refusal("KILLED", f"trading is stopped: {self.kill_reason}")
        missing = self.missing(broker)
        if missing:
            return Refusal("BREAKER_MISSING", missing)
        if not view.reconciled:
            return Refusal("NOT_RECONCILED", f"{broker}: {view.unreconciled_because}")
        if not self.session_open:
            return Refusal("SESSION_CLOSED", f"the market does not trade: {self.session_reason}")
        if not view.connected:
            return Refusal("BROKER_AWAY", f"{broker} is not connected: {view.reason}")
        return self._proof(broker, view, now_ns)

    def missing(self, broker: str) -> str:
        """The breakers an entry at that broker would have to do without, in a sentence; or none."""
        names = [f"{row.name} (rule {row.rule})" for row in missing_breakers(self.breakers, broker)]
        return f"the topology runs without {', '.join(names)}" if names else ""

    def mode(self, broker: str, now_ns: int) -> tuple[str, str]:
        """(mode, why) as the system's execution broker makes it."""
        refusal = self.refusal(broker, now_ns)
        if refusal is None:
            return ACTIVE, ""
        halts = refusal.code in ("KILLED", "BREAKER_MISSING", "NOT_RECONCILED")
        return (HALTED if halts else REDUCING), refusal.text

    def reopen(self, node: str, reason: str, at_ns: int) -> bool:
        """A node has a new life: True when the books must be compared again before the next
        entry."""
        if not keeps_books(node):
            return False
        _, _, instance = node.partition(".")
        views = [self.broker(instance)] if instance else list(self.brokers.values())
        for view in views:
            view.reconciled, view.reopened_ns = False, at_ns
            view.unreconciled_because = f"{node} restarted ({reason}); the books are being compared"
        return True

    def compared(
        self, broker: str, *, clean: bool, reason: str, started_ns: int, now_ns: int
    ) -> None:
        """Our book was held against what the broker showed from `started_ns` on.

        A later pass that finds a difference holds its symbols (risk), not the whole system. After
        the clock was set back the first pass proves nothing, the next one does.
        """
        view = self.broker(broker)
        if max(view.reopened_ns, started_ns) > now_ns:
            view.reopened_ns = now_ns
            return
        if clean and started_ns >= view.reopened_ns:
            view.reconciled = True
        elif not view.reconciled and not clean:
            view.unreconciled_because = reason or "the books differ"

    def _proof(self, broker: str, view: BrokerView, now_ns: int) -> Refusal | None:
        if not self.needs_sandbox:
            return None
        age_s = (now_ns - view.proven_ns) / NS_PER_S
        if view.sandbox_proven and age_s <= PROOF_MAX_AGE_S:
            return None
        why = f"its proof is {age_s:.0f} s old" if view.sandbox_proven else "it gave no proof"
        return Refusal(
            "SANDBOX_NOT_ACTIVE", f"{broker} is not proven to be a sandbox: {why}; orders stay here"
        )
