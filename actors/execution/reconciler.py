"""The reconciler: our book against each broker's, at start, after every restart, and each minute.

Tells ReadPositions to account_sync and CorrectBook to execution; hears BrokerPositionsRead;
announces ReconciliationDone. The broker is the authority for quantity, we for whose it is. A read
that failed changes nothing and says nothing (`tomic.md` 8.11, `data_pipeline.md` 10).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from actors.actor import Actor, Context, Timer
from domain.clock import ForwardClock, seconds
from domain.execution.reconciliation import (
    CONFIRM_AFTER_S,
    QUIET_S,
    Difference,
    DifferenceKind,
    Sighting,
    Symbol,
    compare,
    corrections,
    is_confirmed,
    sightings,
)
from domain.orders import OrderStatus
from domain.positions import Position, keeps_books
from messages.books import (
    BrokerConnectionChanged,
    BrokerPositionsRead,
    ReadPositions,
    ReconciliationDone,
)
from messages.lifecycle import NodeRestarted
from messages.trading import CorrectBook
from persistence.database import open_engine
from persistence.orders import OrderStore
from persistence.positions import PositionStore

GATE = "breaker_gate"  # its new life does not know that the books were compared
EVERY_S = 60.0
ANSWERED_WITHIN_S = 10.0  # a read that nobody answers (a life ended) is asked again


class Reconciler(Actor):
    """State: differences by broker since when they look as they do, and brokers not read since."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._brokers = tuple(row.name for row in context.runtime.brokers if row.executes)
        self._seen: dict[str, dict[Symbol, Sighting]] = {}
        self._clock = ForwardClock(context.now_ns(), context.monotonic_ns())
        self._asked: dict[str, Timer] = {}
        self._again: dict[str, str] = {}
        self._failures: dict[str, int] = {}

    def start(self) -> None:
        url = self.context.runtime.database_url
        self._orders = OrderStore(open_engine(url))
        self._book = PositionStore(open_engine(url))
        self._ask_all("start")
        self.context.every(EVERY_S, lambda: self._ask_all("each minute"))

    def on_node_restarted(self, message: NodeRestarted) -> None:
        reader, _, broker = message.name.partition(".")
        if reader == "account_sync" and broker in self._asked:
            self._asked.pop(broker).cancel()  # the question died with the life it was asked
            self._ask(broker, f"{message.name} has a new life")
        elif keeps_books(message.name) or message.name == GATE:
            self._ask_all(f"{message.name} has a new life")

    def on_broker_connection_changed(self, message: BrokerConnectionChanged) -> None:
        if message.state == "connected" and message.broker in self._brokers:
            self._ask(message.broker, "the broker is connected")

    def on_broker_positions_read(self, message: BrokerPositionsRead) -> None:
        broker, now_ns = message.broker, self.context.now_ns()
        asked = self._asked.pop(broker, None)
        if asked:
            asked.cancel()
        if message.started_ns > now_ns:
            self._again[broker] = "the clock was set back while the broker was read"
        elif message.ok:
            self._failures[broker] = 0
            self._judge(message, now_ns)
        else:
            self._failures[broker] = self._failures.get(broker, 0) + 1
            self._report(broker, f"unknown: {message.reason}")
        if broker in self._again:
            self._ask(broker, self._again[broker])

    def _judge(self, message: BrokerPositionsRead, now_ns: int) -> None:
        broker = message.broker
        ours = [row.position for row in self._book.positions() if row.position.broker == broker]
        moving = self._moving(broker, message.started_ns)
        found = compare(ours, message.positions, moving)
        at_ns = self._clock.at(now_ns, self.context.monotonic_ns())
        seen = sightings(self._seen.get(broker, {}), found, at_ns)
        self._explain(broker, seen)
        self._seen[broker] = seen
        confirmed = [s.difference for s in seen.values() if is_confirmed(s, at_ns)]
        for difference in confirmed:
            self._act(broker, seen[difference.symbol], ours)
        self._conclude(message, seen, confirmed)

    # -- asking --

    def _ask_all(self, why: str) -> None:
        for broker in self._brokers:
            self._ask(broker, why)

    def _ask(self, broker: str, why: str) -> None:
        """One read at a time; who asks meanwhile gets a read that began after the question."""
        if broker in self._asked:
            self._again[broker] = why
            return
        self._again.pop(broker, None)
        self._asked[broker] = self.context.after(
            ANSWERED_WITHIN_S, lambda: self._unanswered(broker)
        )
        self.context.tell(f"account_sync.{broker}", ReadPositions(reason=why))

    def _unanswered(self, broker: str) -> None:
        del self._asked[broker]
        self._ask(broker, "nobody answered")

    # -- judging --

    def _moving(self, broker: str, started_ns: int) -> set[str]:
        """Symbols whose orders may have changed what the broker showed, or are of unknown fate."""
        recent = self._orders.changed_since(broker, started_ns - seconds(QUIET_S))
        live = self._orders.unfinished(broker)
        unsure = [row for row in live if row.needs_reconcile or row.status is OrderStatus.SENDING]
        return {row.symbol for row in (*recent, *unsure)}

    def _explain(self, broker: str, seen: dict[Symbol, Sighting]) -> None:
        gone = [key[1] for key in self._seen.get(broker, {}) if key not in seen]
        if gone:
            self._book.resolve_differences(broker, gone, self.context.now_ns())

    def _act(self, broker: str, sighting: Sighting, ours: list[Position]) -> None:
        """Says it once; asks for the correction until the books agree (its key makes it one)."""
        difference = sighting.difference
        if self._note(broker, sighting):
            self._say(broker, difference)
        for correction in corrections(difference, ours):
            self.context.tell(
                "execution_agent",
                CorrectBook(
                    position_key=correction.position_key,
                    units=correction.units,
                    price=_price(correction.position_key, ours),
                    reason=f"{correction.kind} at {broker}",
                    key=f"{correction.position_key}:correction:{sighting.first_ns}",
                ),
            )

    def _say(self, broker: str, difference: Difference) -> None:
        exchange, symbol, product = difference.symbol
        self.context.log.warning(
            "[RECONCILE] {} local={} broker={} kind={}",
            symbol, difference.ours, difference.theirs, difference.kind,
        )  # fmt: skip
        text = f"{broker}: {exchange}:{symbol} {product} we hold {difference.ours}, "
        text += f"the broker shows {difference.theirs} ({difference.kind})"
        self.context.alert("RISK", text, f"reconcile:{broker}:{symbol}:{product}")

    def _note(self, broker: str, sighting: Sighting) -> bool:
        """On disk once a sighting; False when it stands there already."""
        difference = sighting.difference
        exchange, symbol, product = difference.symbol
        same = (symbol, product, difference.ours, difference.theirs)
        known = self._book.open_differences(broker)
        if any((r["symbol"], r["product"], r["ours"], r["theirs"]) == same for r in known):
            return False
        self._book.resolve_differences(broker, [symbol], self.context.now_ns())
        row = {
            "exchange": exchange,
            "symbol": symbol,
            "product": product,
            "ours": difference.ours,
            "theirs": difference.theirs,
            "kind": difference.kind.value,
        }
        self._book.note_difference(broker, row, self.context.now_ns())
        return True

    def _conclude(
        self,
        message: BrokerPositionsRead,
        seen: dict[Symbol, Sighting],
        confirmed: list[Difference],
    ) -> None:
        """What is left to explain blocks entries; a manual position that is only seen does not."""
        managed_by_hand = {d.symbol for d in confirmed if d.kind is DifferenceKind.UNTRACKED}
        unexplained = tuple(f"{k[0]}:{k[1]}" for k in sorted(seen) if k not in managed_by_hand)
        if unexplained:
            reason = f"{len(unexplained)} symbol(s) differ from {message.broker}'s book"
            self.context.after(CONFIRM_AFTER_S, lambda: self._ask(message.broker, "a second look"))
        else:
            reason = "the books agree"
        self.context.announce(
            ReconciliationDone(
                broker=message.broker,
                clean=not unexplained,
                reason=reason,
                unexplained=unexplained,
                started_ns=message.started_ns,
                unmanaged=tuple(
                    row
                    for row in message.positions
                    if (row.exchange, row.symbol, row.product) in managed_by_hand
                ),
            )
        )
        self._report(message.broker, reason)

    def _report(self, broker: str, reason: str) -> None:
        self.context.report({
            "broker": broker,
            "reason": reason,
            "failed_reads": dict(self._failures),
            "differences": [
                {"symbol": key[1], "ours": s.difference.ours, "theirs": s.difference.theirs,
                 "kind": s.difference.kind.value}
                for rows in self._seen.values()
                for key, s in sorted(rows.items())
            ],
        })  # fmt: skip


def _price(key: str, ours: list[Position]) -> Decimal:
    """The best guess at what it was closed for: the last price, else what was paid."""
    row = next(row for row in ours if row.key == key)
    return row.last_price or row.average_price
