"""What an entry is asked each time it is about to be sent: may it go, must it wait, or never."""

from __future__ import annotations

import json

from actors.execution.book_reader import BookReader
from actors.execution.conditions import Conditions
from domain.execution.closing import is_flat
from domain.execution.commands import active_of, counts_beside
from domain.execution.guarding import REFUSALS_MAX, check_stops
from domain.execution.planning import has_naked_leg
from domain.gates import ActiveStrategy, held_strategies
from domain.intents import Refusal, SizedIntent
from domain.orders import CommandRow, CommandStatus
from messages.codec import from_plain
from persistence.orders import OrderStore


class EntryChecks:
    """Holds no state: the conditions, the books and the rows say it."""

    def __init__(self, store: OrderStore, conditions: Conditions, books: BookReader) -> None:
        self._store, self._conditions, self._books = store, conditions, books

    def refused(self, command: CommandRow, intent: SizedIntent, now_ns: int) -> Refusal | None:
        """Why it is never to be sent; None while it may be."""
        return self._conditions.refuses(
            intent, self._active_beside(command), now_ns
        ) or self._stops_refused(command, intent)

    def held(self, command: CommandRow, intent: SizedIntent, now_ns: int) -> Refusal | None:
        """Why it must wait; None when it may go."""
        return self._conditions.holds_back(intent, now_ns) or self._books.holds(command)

    def _stops_refused(self, command: CommandRow, intent: SizedIntent) -> Refusal | None:
        if not has_naked_leg(intent):
            return None
        since_ns = self._conditions.resumed_ns
        stops = self._store.answered_stops(command.broker_name, since_ns, REFUSALS_MAX)
        return check_stops(stops)

    def _active_beside(self, command: CommandRow) -> list[ActiveStrategy]:
        opened = self._store.standing_entries()
        entries = [row for row in self._store.open_commands() if not row.is_exit]
        active = [
            active_of(intent_of(row), pending=row.status is not CommandStatus.DONE)
            for row in (*entries, *filter(self._stands, opened))
            if counts_beside(command, row)
        ]
        # The rows know of a close before the book does.
        known = {row.strategy_id for row in (command, *entries, *opened)}
        held = held_strategies(self._conditions.book)
        return active + [row for key, row in held.items() if key not in known]

    def _stands(self, entry: CommandRow) -> bool:
        """A structure that was closed keeps its row for a moment, until that was told."""
        return not is_flat(self._store.orders_of_strategy(entry.strategy_id))


def intent_of(command: CommandRow) -> SizedIntent:
    """The intent that an entry command carries."""
    intent: SizedIntent = from_plain(SizedIntent, json.loads(command.payload))
    return intent
