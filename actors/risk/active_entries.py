"""What counts as a position for risk: open structures, and entries on their way (`tomic.md` 7.5).

The numbers of entries are rows (`persistence.latches`), so that the same signal has the same
strategy_id in every life, and a restart forgets no entry that is still on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from domain.clock import exchange_time, seconds
from domain.gates import ActiveStrategy, held_strategies
from domain.intents import STRATEGY_TRAITS, Signal, StrategyType
from domain.orders import CommandStatus
from domain.positions import BookSnapshot
from persistence.database import open_engine
from persistence.latches import EntryNumber, end_entry, number_entry, open_entries
from persistence.views import CommandViews

# An entry is recorded within seconds; one that is in neither book nor queue by then came to
# nothing.
SETTLED_AFTER_S = 120.0
OVER = (CommandStatus.DONE, CommandStatus.FAILED, CommandStatus.DEAD_LETTER)


class ActiveEntries:
    """The entry rows that are not ended, read once and kept in step."""

    def __init__(self, database_url: str) -> None:
        self._engine = open_engine(database_url)
        self._commands = CommandViews(self._engine)
        self._rows = {row.strategy_id: row for row in open_entries(self._engine)}

    def number(self, signal: Signal, tag: str, margin: Decimal, now_ns: int) -> str:
        """The strategy_id of this signal's entry; from here it counts as a position."""
        body = {
            "underlying": signal.instrument,
            "strategy": signal.strategy.value,
            "direction": signal.direction,
            "margin": str(margin),
        }
        day = f"{exchange_time(now_ns):%Y%m%d}"
        row = number_entry(
            self._engine, signal.correlation_id, tag, day=day, body=body, at_ns=now_ns
        )
        self._rows[row.strategy_id] = row
        return row.strategy_id

    def end(self, strategy_id: str) -> None:
        """It failed, or it is flat."""
        if self._rows.pop(strategy_id, None):
            end_entry(self._engine, strategy_id)

    def active(
        self, book: BookSnapshot, evaluating: Iterable[Signal], *, but: str
    ) -> tuple[ActiveStrategy, ...]:
        """All that counts, without the entry of correlation id `but`."""
        held = held_strategies(book)
        own = {row.strategy_id for row in self._rows.values() if row.correlation_id == but}
        rows = [
            _from_row(row, pending=key not in held)
            for key, row in self._rows.items()
            if key not in own
        ]
        strangers = [row for key, row in held.items() if key not in self._rows]
        return (*rows, *strangers, *(_from_signal(signal) for signal in evaluating))

    def count(self, book: BookSnapshot) -> int:
        """Strategies open or on their way."""
        return len(set(self._rows) | set(held_strategies(book)))

    def sweep(self, book: BookSnapshot, now_ns: int) -> None:
        """Ends entries that are over although nobody told this life of it."""
        held, old_ns = held_strategies(book), now_ns - seconds(SETTLED_AFTER_S)
        for key, row in list(self._rows.items()):
            if key in held or row.at_ns > old_ns:
                continue
            command = self._commands.by_correlation(row.correlation_id)
            if command is None or command["status"] in OVER:
                self.end(key)


def _from_row(row: EntryNumber, *, pending: bool) -> ActiveStrategy:
    strategy = StrategyType(row.body["strategy"])
    return ActiveStrategy(
        strategy_id=row.strategy_id,
        underlying=row.body["underlying"],
        strategy=strategy,
        direction=row.body["direction"],
        bias=STRATEGY_TRAITS[strategy].bias,
        margin=Decimal(row.body["margin"]),
        pending=pending,
    )


def _from_signal(signal: Signal) -> ActiveStrategy:
    return ActiveStrategy(
        "", signal.instrument, signal.strategy, signal.direction, signal.bias, pending=True
    )
