"""Structures that were cut for a delta, on their way to be opened again further out.

Part of strategy_engine. A new life has forgotten them: to open again is an offer, no duty. Twin:
reopening.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from actors.actor import Context
from domain.intents import Refusal, Signal, SizedIntent
from domain.routing.reopening import FROM, reopened
from messages.codec import from_plain
from messages.trading import OrderProposed, ShortBreached, StructureClosed
from persistence.commands import CommandStore
from persistence.database import open_engine
from persistence.instruments import InstrumentStore

CUT = "delta_cut"
Found = tuple[SizedIntent, Mapping[date, Sequence[Decimal]]]


class ReopenDesk:
    """State: the breached shorts of structures that close, and the signals of those that closed."""

    def __init__(self, context: Context) -> None:
        engine = open_engine(context.runtime.database_url)
        self._context = context
        self._commands, self._instruments = CommandStore(engine), InstrumentStore(engine)
        self._breached: dict[str, tuple[str, ...]] = {}
        self._wanted: dict[str, Signal] = {}
        self._refused: dict[str, Refusal] = {}

    def breached(self, message: ShortBreached) -> None:
        """Its close is on the way."""
        self._breached[message.strategy_id] = message.symbols

    def closed(self, message: StructureClosed) -> None:
        """When it was flat for its delta, the wish to open it again is made."""
        symbols = self._breached.pop(message.strategy_id, ())
        if symbols and message.stood and message.reason == CUT:
            look = partial(self._look, message.strategy_id)
            self._context.work(look, partial(self._found, message.strategy_id, symbols))

    def proposed(self, message: OrderProposed) -> None:
        """Risk took it."""
        self._wanted.pop(message.intent.signal.extras.get(FROM, ""), None)

    def signals(self, now_ns: int) -> tuple[tuple[Signal, ...], tuple[Refusal, ...]]:
        """What is wanted now, and why others are not."""
        self._wanted = {
            key: row for key, row in self._wanted.items() if now_ns <= row.valid_until_ns
        }
        refused, self._refused = tuple(self._refused.values()), {}
        return tuple(self._wanted.values()), refused

    def _look(self, strategy_id: str) -> Found | None:
        """On the worker: what it was opened as, and the strikes its expiries list."""
        rows = self._commands.commands_of(strategy_id)
        entry = next((row for row in rows if not row.is_exit), None)
        if entry is None:
            return None
        intent: SizedIntent = from_plain(SizedIntent, json.loads(entry.payload))
        index = self._instruments.load_index()
        days = {leg.expiry for leg in intent.structure.legs}
        return intent, {day: index.strikes(intent.signal.instrument, day) for day in days}

    def _found(self, strategy_id: str, symbols: Sequence[str], found: Any) -> None:
        if isinstance(found, Exception):
            raise found
        if found is None:
            return
        intent, strikes = found
        wish = reopened(intent, symbols, strikes, self._context.now_ns())
        if isinstance(wish, Refusal):
            self._refused[strategy_id] = wish
        else:
            self._wanted[strategy_id] = wish
