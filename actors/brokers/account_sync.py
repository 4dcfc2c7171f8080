"""Account sync: what one broker's books say, read at a polite pace.

Hears ReadOrders, ReadPositions, QuoteMargin and NodeRestarted, for a new life has not heard the
margin; announces BrokerOrdersRead, BrokerPositionsRead and, for the broker that executes,
MarginRead; answers MarginQuoted. A read that failed is `ok=False`, never empty.
"""

from __future__ import annotations

from typing import Any

from actors.actor import Actor, Context, Timer
from adapters.catalogue import open_broker
from domain.brokers import BrokerOrder, Funds
from domain.clock import seconds
from domain.errors import BrokerFailure
from domain.readings import MarginState
from messages.books import (
    BrokerOrdersRead,
    BrokerPositionsRead,
    MarginQuoted,
    MarginRead,
    QuoteMargin,
    ReadOrders,
    ReadPositions,
)
from messages.lifecycle import NodeRestarted

IN_FLIGHT_EVERY_S = 0.5  # `config.md` 4
WORKING_EVERY_S = 5.0
IDLE_EVERY_S = 45.0
IN_FLIGHT_LASTS_S = 5.0
FUNDS_EVERY_S = 30.0
ORDERS = "orders"  # what tells of fills waits for no other question that hangs


class AccountSync(Actor):
    """State: whether the order book is being read, when it is read next, and what makes it
    urgent.
    """

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        key = context.runtime.keys.get(context.instance, "")
        self._broker = open_broker(context.runtime.broker(context.instance), key)
        self._reading = self._again = False
        self._working = 0
        self._in_flight_until_ns = 0
        self._next: Timer | None = None
        self._failures = 0
        self._margin: MarginState | None = None

    def start(self) -> None:
        self._read_orders()
        if self._executes():
            self._read_funds()
            self.context.every(FUNDS_EVERY_S, self._read_funds)

    def stop(self) -> None:
        self._broker.close()

    # -- orders --

    def on_read_orders(self, message: ReadOrders) -> None:
        if message.in_flight:
            now_ns = self.context.monotonic_ns()
            self._in_flight_until_ns = now_ns + seconds(IN_FLIGHT_LASTS_S)
        self._read_orders()

    def _read_orders(self) -> None:
        """One read at a time; who asks meanwhile gets a read that began after the question."""
        if self._reading:
            self._again = True
            return
        if self._next:
            self._next.cancel()
        self._reading, self._again = True, False
        started_ns = self.context.now_ns()
        self.context.work(
            self._broker.orders, lambda book: self._orders_read(book, started_ns), lane=ORDERS
        )

    def _orders_read(self, book: list[BrokerOrder] | Exception, started_ns: int) -> None:
        self._reading = False
        ok, reason = _outcome(book)
        rows = tuple(book) if isinstance(book, list) else ()
        if ok:
            self._working = sum(not row.is_final for row in rows)
        self._failures = 0 if ok else self._failures + 1
        self.context.announce(
            BrokerOrdersRead(
                broker=self.context.instance,
                ok=ok,
                orders=rows,
                reason=reason,
                started_ns=started_ns,
            )
        )
        self._report(reason)
        if self._again:
            self._read_orders()
        else:
            self._next = self.context.after(self._pause_s(), self._read_orders)

    def _pause_s(self) -> float:
        if self.context.monotonic_ns() < self._in_flight_until_ns:
            return IN_FLIGHT_EVERY_S
        return WORKING_EVERY_S if self._working or self._failures else IDLE_EVERY_S

    # -- positions and money --

    def on_read_positions(self, message: ReadPositions) -> None:
        started_ns = self.context.now_ns()

        def done(book: Any) -> None:
            ok, reason = _outcome(book)
            self.context.announce(
                BrokerPositionsRead(
                    broker=self.context.instance,
                    ok=ok,
                    positions=tuple(book) if ok else (),
                    reason=reason,
                    started_ns=started_ns,
                )
            )

        self.context.work(self._broker.positions, done)

    def on_quote_margin(self, message: QuoteMargin) -> None:
        def done(quote: Any) -> None:
            ok, reason = _outcome(quote)
            self.context.tell(
                message.reply_to,
                MarginQuoted(
                    request=message.request, total=quote.total if ok else None, reason=reason
                ),
            )

        self.context.work(lambda: self._broker.margin(message.orders), done)

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if self._margin:
            self.context.remind(message.name, MarginRead(margin=self._margin))

    def _read_funds(self) -> None:
        self.context.work(self._broker.funds, self._funds_read)

    def _funds_read(self, funds: Funds | Exception) -> None:
        ok, reason = _outcome(funds)
        if not ok or isinstance(funds, Exception):
            self.context.log.warning("funds not read: {}", reason)
            return
        self._margin = MarginState(
            broker=self.context.instance,
            # The setting is a cap (`tomic.md` 2.1): never more than the account holds.
            capital=min(self.context.runtime.settings.capital, funds.available + funds.used_margin),
            free=funds.available,
            used=funds.used_margin,
            as_of_ns=self.context.now_ns(),
        )
        self.context.announce(MarginRead(margin=self._margin))

    def _executes(self) -> bool:
        """True at the broker that the execution agent trades with."""
        node = self.context.runtime.tree.find("execution_agent")
        return node is not None and node.settings.get("broker") == self.context.instance

    def _report(self, reason: str) -> None:
        self.context.report({
            "working_orders": self._working,
            "failures_in_row": self._failures,
            "last_error": reason,
        })  # fmt: skip


def _outcome(result: Any) -> tuple[bool, str]:
    """(True, "") for an answer, (False, why) for a broker's failure; any other exception is a
    bug.
    """
    if isinstance(result, BrokerFailure):
        return False, str(result)
    if isinstance(result, Exception):
        raise result
    return True, ""
