"""The position book: the single writer of what we hold, folded from the rows of `fills`.

Hears FillsRecorded, NodeRestarted, ReconciliationDone, FeedSwitched, and prices from `chain.` and
`ticks.` on the bus; announces PositionChanged on a change, and at most once a second for prices.
A fill and the cursor that counts it are one transaction: a start folds what is left.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from adapters.tick_bus import Batch
from domain.brokers import BrokerPosition
from domain.charges import order_charges, rates_on
from domain.clock import exchange_time
from domain.errors import StorageFailure
from domain.instruments import Kind, parse_symbol, underlying_of
from domain.orders import Fill, OrderRow, Purpose
from domain.positions import GREEKS, BookSnapshot, Position, fold, net_greeks, untraded
from domain.prices import money
from messages.books import ReconciliationDone
from messages.lifecycle import NodeRestarted
from messages.market import FeedSwitched
from messages.trading import FillsRecorded, PositionChanged
from persistence.database import open_engine
from persistence.positions import KeptPosition, PositionStore

PRICES_EVERY_S = 1.0
FOLD_AGAIN_S = 1.0


class PositionBook(Actor):
    """State: the book as on disk, the newest price and greeks of what is held."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._rows: dict[str, KeptPosition] = {}
        self._prices: dict[int, float] = {}
        self._greeks: dict[int, dict[str, float]] = {}
        self._held = np.empty(0, dtype=np.uint32)
        self._unmanaged: dict[str, tuple[Position, ...]] = {}
        self._unexplained: dict[str, tuple[str, ...]] = {}
        self._canonical = next(iter(context.runtime.feed_sequence), "")
        self._prices_due = False

    def start(self) -> None:
        self._store = PositionStore(open_engine(self.context.runtime.database_url, durable=True))
        self._cursor, self._version = self._store.cursor()
        self._rows = {row.position.key: row for row in self._store.positions()}
        self._forget_closed()
        self.context.subscribe("chain.", self._take_chain)
        self.context.subscribe("ticks.", self._take_ticks)
        self._fold()
        self._hold()
        self._announce()

    def on_fills_recorded(self, message: FillsRecorded) -> None:
        self._fold()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        """Who died may have taken its last word about a fill along; the row stands. Its new life
        has not heard the book, and without ticks nothing else would tell it."""
        self._fold()
        self._announce()

    def on_feed_switched(self, message: FeedSwitched) -> None:
        self._canonical = message.to_broker

    def on_reconciliation_done(self, message: ReconciliationDone) -> None:
        unmanaged = tuple(_unmanaged(row, message.broker) for row in message.unmanaged)
        before = self._unmanaged.get(message.broker), self._unexplained.get(message.broker)
        if before != (unmanaged, message.unexplained):
            self._unmanaged[message.broker] = unmanaged
            self._unexplained[message.broker] = message.unexplained
            self._announce()

    # -- folding --

    def _fold(self) -> None:
        """All fills beyond the cursor; on a disk that takes nothing they wait."""
        unfolded = self._store.unfolded(self._cursor)
        if not unfolded:
            return
        changed: dict[str, KeptPosition] = {}
        for fill, order in unfolded:
            row = self._folded(fill, order, changed)
            changed[row.position.key] = row
        newest, version = unfolded[-1][0].fill_id, self._version + 1
        try:
            self._store.save(list(changed.values()), newest, version)
        except StorageFailure as failure:
            self.context.alert("CRITICAL", str(failure), "storage")
            self.context.after(FOLD_AGAIN_S, self._fold)
            return
        self._rows |= changed
        self._cursor, self._version = newest, version
        self._hold()
        self._announce()

    def _folded(
        self, fill: Fill, order: OrderRow, changed: dict[str, KeptPosition]
    ) -> KeptPosition:
        key = f"{fill.symbol}|{fill.strategy_id}|{fill.leg_no}"
        before = changed.get(key) or self._rows.get(key)
        before = before or KeptPosition(_empty(fill, order), order.listing_id)
        after = fold(before.position, fill)
        moment = exchange_time(fill.at_ns)
        day = moment.date().isoformat()
        same_day = before.day == day
        charges = Decimal(0)
        if order.purpose is not Purpose.CORRECTION:
            rates = rates_on(moment.date())
            if order.filled_quantity > fill.quantity:  # a later part of an order pays no second one
                rates = replace(rates, brokerage=Decimal(0))
            charges = order_charges(fill.action, fill.quantity, fill.price, rates).total
        return KeptPosition(
            position=after,
            listing_id=before.listing_id,
            realized_day=(before.realized_day if same_day else Decimal(0))
            + after.realized
            - before.position.realized,
            charges_day=(before.charges_day if same_day else Decimal(0)) + charges,
            day=day,
        )

    def _forget_closed(self) -> None:
        today = self._today()
        old = [k for k, row in self._rows.items() if not row.position.quantity and row.day != today]
        if old:
            try:
                self._store.forget_closed(old)
            except StorageFailure as failure:  # the next start does it
                self.context.log.warning("closed positions stay on disk: {}", failure)
            self._rows = {key: row for key, row in self._rows.items() if key not in old}

    def _hold(self) -> None:
        held = {row.listing_id for row in self._rows.values() if row.position.quantity}
        self._held = np.array(sorted(held), dtype=np.uint32)
        self._prices = {key: value for key, value in self._prices.items() if key in held}
        self._greeks = {key: value for key, value in self._greeks.items() if key in held}

    # -- prices --

    def _take_ticks(self, batch: Batch) -> None:
        if batch.topic == f"ticks.{self._canonical}":
            self._take(batch.columns)

    def _take_chain(self, batch: Batch) -> None:
        self._take(batch.columns, GREEKS)

    def _take(self, columns: np.ndarray, greeks: tuple[str, ...] = ()) -> None:
        mine = np.isin(columns["listing"], self._held) & (columns["ltp"] > 0)
        if not mine.any():
            return
        for at in np.flatnonzero(mine):
            listing = int(columns["listing"][at])
            self._prices[listing] = float(columns["ltp"][at])
            fresh = {name: float(columns[name][at]) for name in greeks}
            known = {name: value for name, value in fresh.items() if not np.isnan(value)}
            self._greeks[listing] = self._greeks.get(listing, {}) | known
        if not self._prices_due:
            self._prices_due = True
            self.context.after(PRICES_EVERY_S, self._announce)

    # -- telling --

    def _announce(self) -> None:
        self._prices_due = False
        today = self._today()
        positions = tuple(self._priced(row) for _, row in sorted(self._rows.items()))
        todays = [row for row in self._rows.values() if row.day == today]
        book = BookSnapshot(
            version=self._version,
            positions=positions,
            realized_today=money(sum((row.realized_day for row in todays), Decimal(0))),
            charges_today=money(sum((row.charges_day for row in todays), Decimal(0))),
            unmanaged=tuple(row for rows in self._unmanaged.values() for row in rows),
            unexplained=tuple(name for names in self._unexplained.values() for name in names),
            as_of_ns=self.context.now_ns(),
        )
        self.context.announce(PositionChanged(book=book))
        self.context.report(lambda: _body(book))

    def _priced(self, row: KeptPosition) -> Position:
        price = self._prices.get(row.listing_id, 0.0)
        if price <= 0:
            return row.position
        greeks: dict[str, Any] = dict(self._greeks.get(row.listing_id, {}))
        return replace(row.position, last_price=money(price), **greeks)

    def _today(self) -> str:
        return exchange_time(self.context.now_ns()).date().isoformat()


def _empty(fill: Fill, order: OrderRow) -> Position:
    """The position that a leg's first fill opens, with nothing in it yet."""
    return replace(
        untraded(fill),
        strategy_tag=order.strategy_tag,
        strategy=order.strategy,
        underlying=order.underlying,
        kind=Kind(order.kind),
        strike=order.strike,
        expiry=order.expiry,
        broker=order.broker_name,
        naked_approved=order.naked_approved,
    )


def _unmanaged(row: BrokerPosition, broker: str) -> Position:
    """A position at the broker that is nobody's here: seen, counted in risk, never closed."""
    parsed = parse_symbol(row.symbol)
    return Position(
        symbol=row.symbol,
        exchange=row.exchange,
        product=row.product,
        direction="BUY" if row.quantity > 0 else "SELL",
        quantity=abs(row.quantity),
        average_price=row.average_price,
        strategy_id="UNMANAGED",
        strategy_tag="UNMANAGED",
        strategy="",
        leg_no=0,
        underlying=underlying_of(row.symbol),
        kind=parsed.kind if parsed else Kind.EQUITY,
        strike=parsed.strike if parsed else Decimal(0),
        expiry=parsed.expiry if parsed else None,
        entry_ns=0,
        broker=broker,
        last_price=row.last_price,
    )


def _body(book: BookSnapshot) -> dict[str, Any]:
    net = net_greeks(book.open_positions)
    return {
        "version": book.version,
        "legs": len(book.open_positions),
        "strategies": len({row.strategy_id for row in book.open_positions}),
        "realized_today": float(book.realized_today),
        "charges_today": float(book.charges_today),
        "unrealized": float(book.unrealized),
        "gross_notional": float(book.gross_notional),
        **{f"net_{name}": round(value, 4) for name, value in net.items()},
        "prices": {row.symbol: float(row.last_price) for row in book.open_positions},
        "unmanaged": [
            {"symbol": row.symbol, "quantity": row.signed_quantity, "broker": row.broker}
            for row in book.unmanaged
        ],
        "unexplained": list(book.unexplained),
    }
