"""prompter: in the replay of a journaled run, asks again what people asked then, when they did.

Tells control_desk the same DeskRequest at its recorded time; the answer finds nobody who waits.
"""

from __future__ import annotations

from functools import partial

from actors.actor import Actor
from domain.clock import NS_PER_S
from domain.tape import TapedFact
from messages.codec import from_plain
from messages.control import DeskRequest

DESK = "control_desk"


class Prompter(Actor):
    """One appointment for each request."""

    def start(self) -> None:
        plan, now_ns = self.context.runtime.replay, self.context.now_ns()
        for fact in plan.taped.facts:
            if fact.kind == DeskRequest.__name__ and fact.at_ns >= now_ns:
                delay_s = (fact.at_ns - now_ns) / NS_PER_S
                self.context.after(delay_s, partial(self._ask, fact))

    def _ask(self, fact: TapedFact) -> None:
        self.context.tell(DESK, from_plain(DeskRequest, fact.body))
