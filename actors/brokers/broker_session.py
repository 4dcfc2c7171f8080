"""Broker session: is this broker reached, is our key taken, is it proven a sandbox; and the day's
master.

Hears NodeRestarted, for a new life does not know the connection; announces BrokerConnectionChanged
and, as the writer of the listings, InstrumentsLoaded.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from actors.actor import Actor, Context
from adapters.catalogue import open_broker
from domain.clock import exchange_time, seconds
from domain.errors import BadMarketData, BrokerFailure, NotAuthenticated
from domain.instruments import Listing
from messages.books import BrokerConnectionChanged
from messages.lifecycle import NodeRestarted
from messages.market import InstrumentsLoaded
from persistence.database import open_engine
from persistence.instruments import InstrumentStore

PING_EVERY_S = 10.0
# An executor asks by itself, before an order, when the newest proof is 60 s old (`tomic.md` 8.9).
# Pings are at most 11 s apart, so by this the next proof comes earlier.
PROVE_EVERY_S = 45.0
LOAD_RETRY_S = (1.0, 60.0)  # first and longest
# A later broker of the feed sequence loads the master when those before it had this long each.
LOAD_TURN_S = 60.0


class BrokerSession(Actor):
    """State: the connection as last told, the last proof, and the day whose master is loaded."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        runtime = context.runtime
        self._endpoint = runtime.broker(context.instance)
        self._broker = open_broker(self._endpoint, runtime.keys.get(context.instance, ""))
        self._reader = open_broker(
            runtime.feed(context.instance), runtime.reading_key(context.instance)
        )
        self._state, self._reason = "", ""
        self._proven, self._proven_ns = False, 0
        self._prove_at_ns = 0
        self._asking = False
        self._store = InstrumentStore(open_engine(runtime.database_url))
        self._loaded_day: date | None = None
        self._load_retry_s = LOAD_RETRY_S[0]

    def start(self) -> None:
        self._ask()
        self.context.every(PING_EVERY_S, self._ask)
        if self.context.instance in self.context.runtime.feed_sequence:
            turn = self.context.runtime.feed_sequence.index(self.context.instance)
            self.context.after(turn * LOAD_TURN_S, self._load)
            self.context.every(LOAD_TURN_S, self._load_new_day)

    def stop(self) -> None:
        self._broker.close()
        self._reader.close()

    # -- the connection --

    def _ask(self) -> None:
        if self._asking:
            return
        self._asking = True
        is_due = self.context.monotonic_ns() >= self._prove_at_ns
        self.context.work(lambda: self._probe(is_due), self._asked)

    def _probe(self, prove: bool) -> bool | None:
        """On the worker: None when only pinged, else whether the host proves itself a sandbox."""
        self._broker.ping()
        return self._broker.is_sandbox() if prove else None

    def _asked(self, result: Any) -> None:
        self._asking = False
        if isinstance(result, BrokerFailure):
            state = "refused" if isinstance(result, NotAuthenticated) else "unreachable"
            # What answers next may be another host behind the same address.
            self._proven, self._prove_at_ns = False, 0
            self._become(state, str(result))
        elif isinstance(result, Exception):
            raise result
        elif result is None:
            self._become("connected", "")
        else:
            now_ns = self.context.now_ns()
            self._proven, self._proven_ns = result, now_ns
            self._prove_at_ns = self.context.monotonic_ns() + seconds(PROVE_EVERY_S)
            self._state, self._reason = "connected", ""
            self._tell()

    def _become(self, state: str, reason: str) -> None:
        if state == self._state:
            return
        self._state, self._reason = state, reason
        self._tell()

    def _tell(self) -> None:
        self.context.announce(self._connection())
        self.context.report({
            "state": self._state,
            "reason": self._reason,
            "sandbox_proven": self._proven,
            "proven_ns": self._proven_ns,
            "url": self._endpoint.rest_url,
        })  # fmt: skip

    def _connection(self) -> BrokerConnectionChanged:
        return BrokerConnectionChanged(
            broker=self.context.instance,
            state=self._state,
            reason=self._reason,
            sandbox_proven=self._proven,
            proven_ns=self._proven_ns,
        )

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if self._state:
            self.context.remind(message.name, self._connection())

    # -- the instrument master --

    def _load_new_day(self) -> None:
        if self._loaded_day is not None and self._loaded_day != self._today():
            self._loaded_day = None
            self._load()

    def _load(self) -> None:
        day = self._today()
        rows = self._store.rows_loaded(day)
        if rows == 0:
            self.context.work(self._reader.listings, lambda result: self._listed(result, day))
            return
        self._loaded_day = day
        self._tell_loaded(rows, day)

    def _listed(self, result: Any, day: date) -> None:
        if isinstance(result, BrokerFailure):
            return self._load_later(str(result))
        if isinstance(result, Exception):
            raise result
        listings: list[Listing] = result
        try:
            rows = self._store.load(listings, self.context.instance, day)
        except BadMarketData as fault:
            return self._load_later(str(fault))
        self._loaded_day, self._load_retry_s = day, LOAD_RETRY_S[0]
        return self._tell_loaded(rows, day)

    def _load_later(self, reason: str) -> None:
        self.context.log.warning("instrument master not loaded: {}", reason)
        self.context.after(self._load_retry_s, self._load)
        self._load_retry_s = min(self._load_retry_s * 2, LOAD_RETRY_S[1])

    def _tell_loaded(self, rows: int, day: date) -> None:
        self.context.announce(InstrumentsLoaded(broker=self.context.instance, rows=rows, day=day))

    def _today(self) -> date:
        return exchange_time(self.context.now_ns()).date()
