"""The wish for bars of before this life: said until they came, for the bus forgets who is late.

Part of regime_agent, sniper_agent and volatility_agent.
"""

from __future__ import annotations

from actors.actor import Context
from adapters.tick_bus import Batch
from messages.market import WantWindows

BAR_BUILDER = "bar_builder"
ASK_EVERY_S = 2.0


class WarmBars:
    """State: the repeated question, while it is open."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def ask(self) -> None:
        """To be called when the bars are subscribed."""
        self._timer = self._context.every(ASK_EVERY_S, self._say)
        self._say()

    def note(self, batch: Batch) -> None:
        """A batch of bars came; one of a window answers the question."""
        if batch.meta.get("warm"):
            self._timer.cancel()

    def _say(self) -> None:
        self._context.tell(BAR_BUILDER, WantWindows(owner=self._context.name))
