"""Stepping: a host's part in a replay. Mail, timers and market data wait for their round, so that
the order of events never depends on how fast a process ran; see docs/architecture.md.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from actors.hosting.context import STATUS_BOARD
from actors.hosting.timers import HeapTimer
from actors.hosting.wire import Address, Known, Posted, Round, RoundDone, RoundWanted
from adapters.tick_bus import Batch
from domain.clock import seconds

if TYPE_CHECKING:
    from actors.hosting.engine import Engine

STEPPER = "stepper"
PATIENCE_S = 10.0  # for mail or data that a death took along; then the round goes on without it


class Stepping:
    """Rounds of one host. `start()` is the first thing in a life's first round."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stepper: tuple[int, Address] | None = None
        self._kept: list[tuple[str, Posted]] = []
        self._round: Round | None = None
        self._next: Round | None = None
        self._patient_until_ns = 0
        self._patience: HeapTimer | None = None
        self._started = self._ran = self._wanted = False

    @property
    def takes_data(self) -> bool:
        """False while data that waits has been told of and no round has come for it."""
        return self._round is not None or not self._wanted

    @property
    def is_in_round(self) -> bool:
        """True from the stepper's word until this host has told what it did."""
        return self._round is not None

    def learn(self, known: Known) -> None:
        """A stepper, or its new life, is asked for a round."""
        for entry in known.entries:
            if entry.name == STEPPER and (self._stepper is None or entry.life > self._stepper[0]):
                self._stepper, self._wanted = (entry.life, entry.address), False
                self._want()

    def keep(self, sender: str, letter: Posted) -> None:
        """Mail waits; what comes from outside of the recorded clock asks for a round."""
        self._kept.append((sender, letter))
        if letter.round == 0 and self._round is None:
            self._want()

    def data_waits(self, descriptor: int) -> None:
        """A watched descriptor is readable."""
        if self._round is None:
            self._want()
        else:
            engine = self._engine
            engine.handle("descriptor", engine.context.watched[descriptor])

    def _want(self) -> None:
        if self._stepper is not None and not self._wanted:
            self._wanted = True
            engine = self._engine
            wanted = RoundWanted(engine.name, engine.context.life, self._started)
            engine.transport.send(self._stepper[1], wanted)

    def on_round(self, frame: Round, sender: Address) -> None:
        """The stepper lets this host handle what was told before."""
        if self._round is not None:  # of a stepper that died meanwhile
            self._next = frame
            return
        context = self._engine.context
        context.clock_ns, context.round, context.sent = frame.now_ns, frame.number, {}
        if frame.prefixes is not None:
            context.prefixes = frame.prefixes
        self._round, self._ran, self._wanted = frame, False, False
        self._patient_until_ns = time.monotonic_ns() + seconds(PATIENCE_S)
        self._patience = self._engine.wake_by(self._patient_until_ns)

    def advance(self) -> None:
        """Goes as far in the round as mail and data allow."""
        frame = self._round
        if frame is None or not self._complete(frame):
            return
        if not self._ran:
            self._ran = True
            self._run(frame)
            if not self._complete(frame):
                return  # what was handled asked for data that must come before the round ends
        self._finish(frame)

    def _complete(self, frame: Round) -> bool:
        if time.monotonic_ns() >= self._patient_until_ns:
            self._engine.context.log.error("round {} went on without all its data", frame.number)
            return True
        held = sum(1 for _, letter in self._kept if 0 < letter.round < frame.number)
        enough = self._ran or held >= frame.expected
        actor = self._engine.actor if self._started else None
        settled = actor is None or actor.has_market_step(frame.market_step)
        if frame.last and self._ran:
            settled = not self._engine.postman.waiting_for(STATUS_BOARD)
        return enough and settled

    def _run(self, frame: Round) -> None:
        engine = self._engine
        if not self._started:
            self._started = True
            engine.context.rouse()
            engine.start_actor()
        watched = engine.context.watched
        for descriptor in select.select(list(watched), [], [], 0)[0]:
            engine.handle("descriptor", watched[descriptor])
        due = [item for item in self._kept if item[1].round < frame.number]
        self._kept = [item for item in self._kept if item[1].round >= frame.number]
        for sender, letter in sorted(due, key=_order):
            engine.handle_letter(sender, letter)
        while callback := engine.context.timers.take_due(frame.now_ns):
            engine.handle("timer", callback)
        if frame.last:
            engine.context.report_now()

    def _finish(self, frame: Round) -> None:
        engine = self._engine
        engine.context.flush_batches()
        done = RoundDone(
            name=engine.name,
            life=engine.context.life,
            number=frame.number,
            sent=engine.context.sent,
            next_due_ns=engine.context.timers.next_due_ns(),
            prefixes=tuple(prefix for prefix, _ in engine.context.subscriptions),
        )
        self._round = None
        if self._patience is not None:
            self._patience.cancel()
        if self._stepper is not None:
            engine.transport.send(self._stepper[1], done)
        if self._next is not None:
            frame, self._next = self._next, None
            self.on_round(frame, None)
            self.advance()
        elif any(letter.round == 0 for _, letter in self._kept):
            self._want()


def _order(item: tuple[str, Posted]) -> tuple[bool, str, int]:
    """Batches first, then by sender and the sender's count."""
    sender, letter = item
    return not isinstance(letter.data, Batch), sender, letter.count
