"""The order store: commands, orders, their attempts, their fills, and the guards of naked shorts.

A row here is the state: an actor that dies loses nothing that is not read back from it. Every
change of a status is guarded by the status it was decided on, so that of two writers only one wins.
A write that cannot be made durable raises StorageFailure, and then nothing may be sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import Connection

from domain.order_changes import BookChange, RecordedFill, SendingAnswer
from domain.orders import (
    CLOCK_SET_BACK,
    TERMINAL,
    Fill,
    OrderRow,
    OrderStatus,
    Purpose,
    check_transition,
)
from persistence.commands import CommandStore
from persistence.order_tables import ATTEMPTS, COMMANDS, FILLS, GUARDS, ORDERS
from persistence.readings import (
    Reading,
    columns_of,
    in_slots,
    insertion,
    one_of,
    one_of_some,
    values_of,
)
from persistence.statement import Change, Statement

_LIVE = [
    status for status in OrderStatus if status is not OrderStatus.WAITING and status not in TERMINAL
]
_HAPPENED = (
    COMMANDS.c.cleared_ns, COMMANDS.c.processed_ns, ORDERS.c.sent_ns, ORDERS.c.cancel_ns,
    ORDERS.c.updated_ns, FILLS.c.at_ns, GUARDS.c.armed_ns,
)  # fmt: skip
_DUE = (COMMANDS.c.valid_until_ns, COMMANDS.c.lease_expires_ns, COMMANDS.c.next_retry_ns)
_REFUSED = (OrderStatus.REJECTED, OrderStatus.FAILED)
_C = ORDERS.c


def _reading(condition: Any, *order: Any, limit: Any = None) -> Reading[OrderRow]:
    return Reading(ORDERS, OrderRow, condition, *order, limit=limit)


_OF_BROKER = _C.broker_name == bindparam("broker_name")
_IS_LIVE = one_of(_C.status, _LIVE)
_HAS_KEY = one_of_some(_C.client_order_id)
_KEYED = Statement(select(_C.id, *columns_of(ORDERS, OrderRow)).where(_HAS_KEY))
_OF_COMMAND = _reading(_C.command_id == bindparam("command_id"))
_OF_STRATEGY = _reading(_C.strategy_id == bindparam("strategy_id"))
_UNFINISHED, _UNFINISHED_THERE = _reading(_IS_LIVE), _reading(_IS_LIVE & _OF_BROKER)
_AT_BROKER = _reading(_OF_BROKER & one_of_some(_C.broker_order_id))
_CHANGED = _reading(_OF_BROKER & (_C.updated_ns >= bindparam("since_ns")))
_ANSWERED_STOPS = _reading(
    (one_of(_C.status, _REFUSED) | (_C.broker_order_id != ""))
    & (_C.purpose == Purpose.STOP)
    & (_C.created_ns > bindparam("since_ns"))
    & _OF_BROKER,
    _C.id.desc(),
    limit=bindparam("limit"),
)

_IS_ORDER = _C.client_order_id == bindparam("of_key")
_IS_AS_READ = (_IS_ORDER, _C.status == bindparam("from_status"))
_CHANGE = Change(update(ORDERS).where(*_IS_AS_READ))
_FILL_UP = Change(
    update(ORDERS).where(*_IS_AS_READ, _C.filled_quantity == bindparam("from_filled"))
)
_BEGIN = Statement(
    update(ORDERS)
    .where(_HAS_KEY, _C.status == OrderStatus.WAITING)
    .values(
        status=OrderStatus.SENDING,
        sends=_C.sends + 1,
        sent_ns=bindparam("now_ns"),
        updated_ns=bindparam("now_ns"),
    )
    .returning(_C.id, *columns_of(ORDERS, OrderRow))
)
_NEW, _NEW_ATTEMPT = Statement(insertion(ORDERS)), Statement(insertion(ATTEMPTS))
_NEW_FILL = Statement(insertion(FILLS).returning(FILLS.c.fill_id))
_UNTOLD_FILLS = select(FILLS).where(FILLS.c.told.is_(False)).order_by(FILLS.c.fill_id)
_TOLD = update(FILLS).where(FILLS.c.fill_id.in_(bindparam("ids", expanding=True)))
_FILLS_OF = Reading(FILLS, Fill, FILLS.c.strategy_id == bindparam("strategy_id"))


class OrderStore(CommandStore):
    """All that reads or writes the order tables. One instance a process."""

    # -- orders --

    def add_orders(self, orders: Sequence[OrderRow]) -> None:
        """New rows, WAITING. A key that stands already is left as it is: it is the same order."""
        with self._writing() as connection:
            known = {row.client_order_id for row in self.orders_named(_keys(orders))}
            fresh = [values_of(row) for row in orders if row.client_order_id not in known]
            _NEW.run_each(connection, fresh)

    def order(self, client_order_id: str) -> OrderRow | None:
        """One order by its key, or None."""
        return next(iter(self.orders_named([client_order_id])), None)

    def orders_named(self, client_order_ids: Sequence[str]) -> list[OrderRow]:
        """Orders by their keys, in the order they were made."""
        with self._reading() as connection:
            return _in_order(
                row
                for keys in in_slots(client_order_ids)
                for row in _KEYED.rows(connection, **keys)
            )

    def orders_of(self, command_id: int) -> list[OrderRow]:
        """Orders of one command, in the order they were made."""
        return self._rows(_OF_COMMAND, command_id=command_id)

    def orders_of_strategy(self, strategy_id: str) -> list[OrderRow]:
        """All orders of one strategy, corrections too."""
        return self._rows(_OF_STRATEGY, strategy_id=strategy_id)

    def unfinished(self, broker_name: str = "") -> list[OrderRow]:
        """Orders that are SENDING or at the broker and not final; of all brokers without a name."""
        if broker_name:
            return self._rows(_UNFINISHED_THERE, broker_name=broker_name)
        return self._rows(_UNFINISHED)

    def by_broker_ids(self, broker_name: str, order_ids: Sequence[str]) -> list[OrderRow]:
        """Orders of ours that a broker's book names."""
        with self._reading() as connection:
            return [
                row
                for ids in in_slots(order_ids)
                for row in _AT_BROKER.rows(connection, broker_name=broker_name, **ids)
            ]

    def changed_since(self, broker_name: str, since_ns: int) -> list[OrderRow]:
        """Orders of a broker that moved at or after a moment."""
        return self._rows(_CHANGED, broker_name=broker_name, since_ns=since_ns)

    def answered_stops(self, broker_name: str, since_ns: int, limit: int) -> list[OrderRow]:
        """Stops made after a moment that a broker took or refused, newest first."""
        return self._rows(_ANSWERED_STOPS, broker_name=broker_name, since_ns=since_ns, limit=limit)

    def change_waiting(self, client_order_id: str, **changes: Any) -> bool:
        """Changes an order that has not left; False when an executor has it already."""
        return self._change(client_order_id, OrderStatus.WAITING, changes)

    def change_order(self, row: OrderRow, **changes: Any) -> bool:
        """Changes an order that still stands as in `row`; False when it moved on."""
        return self._change(row.client_order_id, row.status, changes)

    def _change(self, key: str, status: OrderStatus, changes: Mapping[str, Any]) -> bool:
        check_transition(status, changes.get("status", status))
        with self._writing() as connection:
            return bool(_CHANGE.run(connection, changes, of_key=key, from_status=status))

    def begin_sending(self, client_order_ids: Sequence[str], now_ns: int) -> list[OrderRow]:
        """WAITING -> SENDING, on disk before the first byte; those that may be sent, in the order
        they were made."""
        with self._writing() as connection:
            return _in_order(
                row
                for keys in in_slots(client_order_ids)
                for row in _BEGIN.rows(connection, now_ns=now_ns, **keys)
            )

    def record_answers(self, answers: Sequence[SendingAnswer], now_ns: int) -> None:
        """The broker's answers and the attempts, together. Only rows that are SENDING change.

        An id that another order of ours has proves nothing: such a row stays SENDING, unknown.
        """
        with self._writing() as connection:
            for answer in answers:
                taken = answer.broker_order_id and self._is_taken(connection, answer)
                values: dict[str, Any] = {
                    "status": answer.status,
                    "broker_order_id": answer.broker_order_id,
                    "needs_reconcile": answer.needs_reconcile,
                    "error_kind": answer.error_kind,
                    "error_message": answer.error_message,
                    "updated_ns": now_ns,
                }
                if answer.status is OrderStatus.WAITING:
                    values["sent_ns"] = 0  # nothing left: for every clock it was never sent
                if taken:
                    values |= {
                        "status": OrderStatus.SENDING,
                        "broker_order_id": "",
                        "needs_reconcile": True,
                        "error_message": f"id {answer.broker_order_id} belongs to another order",
                    }
                check_transition(OrderStatus.SENDING, values["status"])
                key = answer.client_order_id
                _CHANGE.run(connection, values, of_key=key, from_status=OrderStatus.SENDING)
                _NEW_ATTEMPT.run(connection, **_attempt(answer, now_ns))

    def record_book(self, changes: Sequence[BookChange], now_ns: int) -> int:
        """What a broker's book said, with the fills it brings, in one transaction.

        Returns the newest fill's id, 0 when there was no fill. A row that moved on is left alone,
        and one (order, filled quantity) is one fill.
        """
        newest = 0
        with self._writing() as connection:
            for change in changes:
                row = change.row
                values = {
                    "status": change.status,
                    "filled_quantity": change.filled_quantity,
                    "average_price": change.average_price,
                    "broker_order_id": change.broker_order_id or row.broker_order_id,
                    "needs_reconcile": False,
                    "error_message": change.error_message or row.error_message,
                    "updated_ns": now_ns,
                }
                if not _FILL_UP.run(
                    connection,
                    values,
                    of_key=row.client_order_id,
                    from_status=row.status,
                    from_filled=row.filled_quantity,
                ):
                    continue
                if change.increase > 0:
                    row_id = _NEW_FILL.rows(connection, **_fill(change, now_ns))[0][0]
                    newest = max(newest, int(row_id))
        return newest

    # -- a clock that was set back --

    def newest_ns(self) -> int:
        """The newest moment at which something happened to an order or a command, 0 for none."""
        moments = (
            ORDERS.c.updated_ns,
            ORDERS.c.sent_ns,
            ORDERS.c.created_ns,
            COMMANDS.c.created_ns,
        )
        with self._engine.connect() as connection:
            found = [connection.execute(select(func.max(column))).scalar() for column in moments]
        return max(at_ns or 0 for at_ns in found)

    def set_back(self, by_ns: int, now_ns: int, *, is_exact: bool) -> None:
        """Times of the future become what they are on a clock that was set back by `by_ns`: a
        beginning becomes now, all else keeps its distance. Where the step is not known exactly,
        no time of the broker's proves an order to be ours any more."""
        unproven = ORDERS.c.status == OrderStatus.SENDING, ORDERS.c.sent_ns > now_ns
        with self._writing() as connection:
            if not is_exact:
                query = update(ORDERS).where(*unproven).values(error_kind=CLOCK_SET_BACK)
                connection.execute(query)
            for column in (COMMANDS.c.created_ns, ORDERS.c.created_ns):
                query = update(column.table).where(column > now_ns)
                connection.execute(query.values({column.name: now_ns}))
            for column, horizon_ns in [(column, now_ns) for column in _HAPPENED] + [
                (column, now_ns + by_ns) for column in _DUE
            ]:
                query = update(column.table).where(column > horizon_ns)
                connection.execute(query.values({column.name: column - by_ns}))

    # -- fills --

    def untold_fills(self) -> list[RecordedFill]:
        """Fills on disk that have not been announced, oldest first."""
        with self._reading() as connection:
            return [_recorded(row) for row in connection.execute(_UNTOLD_FILLS).mappings()]

    def mark_told(self, fill_ids: Iterable[int]) -> None:
        """These fills have been announced."""
        with self._writing() as connection:
            connection.execute(_TOLD, {"ids": list(fill_ids), "told": True})

    def fills_of_strategy(self, strategy_id: str) -> list[Fill]:
        """All fills of a strategy, oldest first."""
        return self._rows(_FILLS_OF, strategy_id=strategy_id)

    # -- guards --

    def arm_guard(self, row: OrderRow, state: Mapping[str, Any], now_ns: int) -> None:
        """A guard of a short that is about to be sent; it says where the stop will live."""
        of_leg = (GUARDS.c.strategy_id == row.strategy_id) & (GUARDS.c.leg_no == row.leg_no)
        with self._writing() as connection:
            if connection.execute(select(GUARDS.c.id).where(of_leg)).first() is None:
                connection.execute(
                    insert(GUARDS).values(
                        strategy_id=row.strategy_id,
                        leg_no=row.leg_no,
                        symbol=row.symbol,
                        lives_at=row.broker_name,
                        state=dict(state),
                        armed_ns=now_ns,
                        dropped_ns=0,
                    )
                )

    def armed_guards(self, strategy_id: str) -> set[int]:
        """Leg numbers of a strategy whose guard stands."""
        standing = (GUARDS.c.strategy_id == strategy_id) & (GUARDS.c.dropped_ns == 0)
        with self._reading() as connection:
            return set(connection.execute(select(GUARDS.c.leg_no).where(standing)).scalars())

    def drop_guards(self, strategy_id: str, now_ns: int) -> None:
        """The strategy is flat: nothing is left to guard."""
        standing = (GUARDS.c.strategy_id == strategy_id) & (GUARDS.c.dropped_ns == 0)
        with self._writing() as connection:
            connection.execute(update(GUARDS).where(standing).values(dropped_ns=now_ns))

    # -- helpers --

    @staticmethod
    def _is_taken(connection: Connection, answer: SendingAnswer) -> bool:
        own = select(ORDERS.c.broker_name).where(ORDERS.c.client_order_id == answer.client_order_id)
        other = select(ORDERS.c.id).where(
            (ORDERS.c.broker_order_id == answer.broker_order_id)
            & (ORDERS.c.client_order_id != answer.client_order_id)
            & (ORDERS.c.broker_name == own.scalar_subquery())
        )
        return connection.execute(other).first() is not None


def _in_order(rows: Iterable[tuple[Any, ...]]) -> list[OrderRow]:
    """Of rows that begin with their id: as they were made."""
    return [OrderRow(*row[1:]) for row in sorted(rows, key=lambda row: int(row[0]))]


def _keys(orders: Iterable[OrderRow]) -> list[str]:
    return [row.client_order_id for row in orders]


def _attempt(answer: SendingAnswer, now_ns: int) -> dict[str, Any]:
    return {
        "client_order_id": answer.client_order_id,
        "at_ns": now_ns,
        "request": answer.request,
        "answer": answer.answer or answer.error_message,
    }


def _fill(change: BookChange, now_ns: int) -> dict[str, Any]:
    row = change.row
    return {
        "client_order_id": row.client_order_id,
        "strategy_id": row.strategy_id,
        "leg_no": row.leg_no,
        "exchange": row.exchange,
        "symbol": row.symbol,
        "product": row.product,
        "action": row.action,
        "quantity": change.increase,
        "price": change.price,
        "at_ns": now_ns,
        "broker_name": row.broker_name,
        "command_id": row.command_id,
        "cumulative": change.filled_quantity,
        "latency_ms": change.latency_ms,
        "slippage_ticks": change.slippage_ticks,
        "told": False,
    }


def _recorded(row: Any) -> RecordedFill:
    return RecordedFill(
        fill=Fill(**{column.name: row[column.name] for column in columns_of(FILLS, Fill)}),
        broker_name=row["broker_name"],
        command_id=row["command_id"],
        latency_ms=row["latency_ms"],
        slippage_ticks=row["slippage_ticks"],
    )
