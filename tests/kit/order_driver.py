"""Stands where risk stands in the small tree of the kill matrix: proposes and closes what it finds
in its inbox, and tells execution what the market's own actors would.

The inbox is a folder of JSON files, so that nothing asked for is lost with this actor's life: each
life tells each file once, a close again and again as the position manager does, and the keys in it
make it one order.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from actors.actor import Actor, Context
from domain.clock import exchange_time, seconds
from domain.intents import SizedIntent
from domain.readings import FreshnessMark, Regime
from domain.stamps import Stamps
from messages.codec import from_plain
from messages.control import PauseTrading
from messages.lifecycle import NodeRestarted
from messages.market import FreshnessMarked, SessionOpened
from messages.trading import CloseStructure, OrderProposed, ProposalRecorded, RegimeChanged

INBOX = "inbox"
LOOK_EVERY_S = 0.05
MARK_EVERY_S = 0.5
MARK_LASTS_S = 5.0
CLOSE_AGAIN_S = 10.0
UNDERLYING = "NIFTY"


class OrderDriver(Actor):
    """State: the files of the inbox that this life has told, and when each is due again."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._again_ns: dict[str, int] = {}  # by the name of the file
        self._symbols: set[str] = set()
        self._inbox = context.runtime.data_dir / INBOX

    def start(self) -> None:
        self._inbox.mkdir(exist_ok=True)
        self._open()
        self.context.every(LOOK_EVERY_S, self._look)
        self.context.every(MARK_EVERY_S, self._mark)

    def on_node_restarted(self, _message: NodeRestarted) -> None:
        self._open()
        self._mark()

    def on_proposal_recorded(self, message: ProposalRecorded) -> None:
        """A refusal is an answer too; the matrix reads it from here."""
        refusal = message.refusal
        text = f"{refusal.code}: {refusal.text}" if refusal else ""
        (self._inbox / f"{message.strategy_id}.answer").write_text(text)

    def _open(self) -> None:
        now_ns = self.context.now_ns()
        hour_ns = seconds(3600.0)
        self.context.announce(
            SessionOpened(
                day=exchange_time(now_ns).date(),
                opens_ns=now_ns - hour_ns,
                closes_ns=now_ns + 24 * hour_ns,
                intraday_exit_ns=now_ns + 24 * hour_ns,
                square_off_ns=now_ns + 24 * hour_ns,
                always_open=True,
            )
        )
        regime = Regime(version=1, vix=15.0, vix_flags=(), as_of_ns=now_ns, stale_after_s=86_400.0)
        self.context.announce(RegimeChanged(regime=regime))

    def _look(self) -> None:
        now_ns = self.context.monotonic_ns()
        for path in sorted(self._inbox.glob("*.json")):
            if now_ns < self._again_ns.get(path.name, 0):
                continue
            wish = json.loads(path.read_text())
            again_ns = now_ns + seconds(CLOSE_AGAIN_S) if "close" in wish else sys.maxsize
            self._again_ns[path.name] = again_ns
            if "intent" in wish:
                intent: SizedIntent = from_plain(SizedIntent, wish["intent"])
                self._symbols = {leg.symbol for leg in intent.structure.legs}
                self._mark()
                self.context.tell("execution_agent", OrderProposed(intent=intent))
            elif "pause" in wish:
                self.context.announce(PauseTrading(**wish["pause"]))
            else:
                self.context.tell("execution_agent", CloseStructure(**wish["close"]))

    def _mark(self) -> None:
        now_ns = self.context.now_ns()
        mark = FreshnessMark(
            as_of_ns=now_ns,
            expires_ns=now_ns + seconds(MARK_LASTS_S),
            quotes_ns=Stamps.of(dict.fromkeys((UNDERLYING, *self._symbols), now_ns)),
            iv_ns={UNDERLYING: now_ns},
            vix_ns=now_ns,
            switched_ns=0,
            gate_open=True,
        )
        self.context.announce(FreshnessMarked(mark=mark))
