"""The universe of the day: built before each session, scored again through it, kept on disk.

Part of sniper_agent. Reads daily candles from the brokers of the feed (it blocks, so through work),
live prices from the bus; tells UniverseChanged when the hot list is another, and wants the members'
listings. Twin: universe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np

from actors.actor import Context
from adapters.catalogue import open_broker
from adapters.ports import BrokerPort
from adapters.tick_bus import Batch
from domain.clock import NS_PER_S, exchange_time, iso_utc, seconds
from domain.errors import BrokerFailure
from domain.instruments import OPTION_KINDS, InstrumentIndex, Kind, Listing
from domain.intents import Refusal
from domain.prices import MODE_LTP
from domain.readings import Universe
from domain.signals.universe import (
    NO_HISTORY,
    Days,
    Share,
    UniverseRules,
    always_row,
    build_universe,
    rescore,
)
from messages.market import UniverseChanged, WantListings
from persistence.database import open_engine
from persistence.market import MarketStore

OWNER, DESK = "universe", "subscription_desk"
BUILD_LEAD_S = 900.0  # before the open (`tomic.md` 12.6)
RESCORE_EVERY_S = 900.0
RETRY_S = 120.0
HISTORY_DAYS = 120  # of the calendar, so that 51 sessions are in it whatever the holidays


class UniverseDesk:
    """State: the universe, and the newest price of each of its underlyings."""

    def __init__(
        self,
        context: Context,
        benchmark: str,
        always: Sequence[tuple[str, str]],
        on_hot: Callable[[], None],
    ) -> None:
        self._context, self._benchmark = context, benchmark
        self._always, self._on_hot = tuple(always), on_hot
        self._rules = UniverseRules()
        self._store = MarketStore(open_engine(context.runtime.market_url))
        self._index = InstrumentIndex(())
        self._universe: Universe | None = None
        self._due: date | None = None
        self._building: date | None = None
        self._fault = ""
        self._names: dict[int, str] = {}
        self._ids = np.zeros(0, np.int64)
        self._broker = next(iter(context.runtime.feed_sequence), "")
        self._hears_ticks = self._in_session = False
        self._prices: dict[str, float] = {}
        self._told: tuple[tuple[str, str], ...] = ()

    def start(self) -> None:
        """Takes up what an earlier life built."""
        self._universe = self._store.read_universe()
        self._context.every(RESCORE_EVERY_S, self._rescore)

    @property
    def hot(self) -> tuple[tuple[str, str], ...]:
        """(exchange, name) of the shares to look at closely; none before the first build."""
        return self._universe.hot if self._universe else ()

    def notes(self) -> list[Refusal]:
        """Why an older universe than today's stands; each share's own reason is on its page."""
        return [Refusal("UNIVERSE_OLD", self._fault)] if self._fault else []

    def body(self) -> dict[str, Any]:
        """For the status page, JSON-ready."""
        universe = self._universe
        return {
            "day": universe.day.isoformat() if universe else "",
            "scored_at": iso_utc(universe.scored_ns) if universe else "",
            "hot": [name for _, name in self.hot],
            "fault": self._fault,
        }

    # -- when --

    def take_index(self, index: InstrumentIndex) -> None:
        """The master of the day; what waited for it begins."""
        self._index = index
        self._follow(again=True)
        if self._due:
            self.want(self._due)

    def session_opened(self, day: date) -> None:
        """The universe of a session that is open is made at once where it is missing."""
        self._in_session = True
        self._prices = {}
        self.want(day)

    def session_closed(self, next_opens_ns: int) -> None:
        """The next one is made a quarter of an hour before the open."""
        self._in_session = False
        day = exchange_time(next_opens_ns).date()
        wait_ns = next_opens_ns - seconds(BUILD_LEAD_S) - self._context.now_ns()
        self._context.after(max(0.0, wait_ns / NS_PER_S), lambda: self.want(day))

    def feed_switched(self, broker: str) -> None:
        """From now on this broker's prices count."""
        self._broker = broker

    def want(self, day: date) -> None:
        """Builds that day's universe unless it stands or is on its way."""
        self._due = day
        stands = self._universe is not None and self._universe.day >= day
        if stands or self._building == day or not len(self._index):
            return
        self._building = day
        self._context.work(partial(self._read, day, self._context.now_ns()), self._built)

    def remind(self, name: str) -> None:
        """A new life of who follows the hot list, or of the desk, has not heard it."""
        if name == DESK:
            self._want_listings()
        elif self._universe and self._told:
            self._context.remind(name, UniverseChanged(day=self._universe.day, hot=self._told))

    # -- on the worker --

    def _read(self, day: date, now_ns: int) -> Universe:
        brokers: dict[str, BrokerPort] = {}
        try:
            listings = self._index.by_id.values()
            optioned = {row.name for row in listings if row.kind in OPTION_KINDS and row.expiry}
            mine = {name for _, name in self._always}
            shares = [row for row in listings if _is_share(row) and row.name not in mine]
            read = partial(self._days, brokers, day)
            own: dict[str, Days | None] = {}
            if optioned.intersection(row.name for row in shares):
                found = [self._index.find(*name) for name in self._always]
                own = {row.name: read(row)[0] for row in found if row}
            candidates = [
                Share(row.exchange, row.name, True, *read(row))
                if row.name in optioned
                else Share(row.exchange, row.name, has_options=False)
                for row in shares
            ]
            return build_universe(
                day,
                now_ns,
                always=[always_row(*name, own.get(name[1])) for name in self._always],
                benchmark=own.get(self._benchmark),
                shares=candidates,
                rules=self._rules,
            )
        finally:
            for broker in brokers.values():
                broker.close()

    def _days(
        self, brokers: dict[str, BrokerPort], day: date, listing: Listing
    ) -> tuple[Days | None, str]:
        """Completed days before `day`, asked of each broker of the feed in turn; or why none."""
        runtime, fault = self._context.runtime, "no broker was asked"
        for name in runtime.feed_sequence:
            if name not in brokers:
                brokers[name] = open_broker(runtime.feed(name), runtime.reading_key(name))
            try:
                first, last = day - timedelta(days=HISTORY_DAYS), day - timedelta(days=1)
                rows = brokers[name].history(listing, "D", first, last)
            except BrokerFailure as failure:
                fault = str(failure)
                continue
            bars = ((exchange_time(row.start_ns).date(), row) for row in rows)
            days = {at: (row.close, float(row.volume)) for at, row in bars if row.close > 0}
            return {at: row for at, row in days.items() if at < day}, ""
        return None, fault

    # -- what came of it --

    def _built(self, universe: Universe | Exception) -> None:
        self._building = None
        if isinstance(universe, Exception):
            raise universe
        untold = next((row.text for row in universe.rows if row.code == NO_HISTORY), "")
        if untold and not any(row.rank for row in universe.rows):
            self._fault = f"the universe of {universe.day} has no member: {untold}"
            self._context.alert("RISK", self._fault, "universe")
            self._context.after(RETRY_S, lambda: self.want(universe.day))
            return
        self._fault = ""
        self._take(universe)

    def _rescore(self) -> None:
        if self._universe and self._in_session and self._members:
            now_ns = self._context.now_ns()
            prices, rules = self._prices, self._rules
            self._take(rescore(self._universe, prices, self._benchmark, now_ns=now_ns, rules=rules))

    def _take(self, universe: Universe) -> None:
        self._universe = universe
        self._context.work(partial(self._store.write_universe, universe), _must_succeed)
        self._follow(again=False)

    def _follow(self, *, again: bool) -> None:
        universe = self._universe
        if universe is None or not len(self._index):
            return
        found = [self._index.find(row.exchange, row.name) for row in universe.watched]
        names = {row.listing_id: row.name for row in found if row}
        if names != self._names or again:
            self._names = names
            self._ids = np.array(list(names), np.int64)
            self._want_listings()
        if universe.hot != self._told:
            self._told = universe.hot
            self._on_hot()
            self._context.announce(UniverseChanged(day=universe.day, hot=self._told))

    @property
    def _members(self) -> bool:
        return self._universe is not None and any(row.rank for row in self._universe.rows)

    def _want_listings(self) -> None:
        ids = tuple(self._names) if self._members else ()
        if not ids and not self._hears_ticks:
            return  # there was never a member
        if not self._hears_ticks:
            self._hears_ticks = True
            self._context.subscribe("ticks.", self._on_ticks)
        wish = WantListings(owner=OWNER, listing_ids=ids, mode=MODE_LTP)
        self._context.tell(DESK, wish)

    def _on_ticks(self, batch: Batch) -> None:
        if batch.topic != f"ticks.{self._broker}":
            return
        ticks = batch.columns[np.isin(batch.columns["listing"], self._ids)]
        for row in ticks[ticks["ltp"] > 0]:
            self._prices[self._names[int(row["listing"])]] = float(row["ltp"])


def _is_share(row: Listing) -> bool:
    return row.kind is Kind.EQUITY and row.exchange == "NSE"


def _must_succeed(result: Any) -> None:
    if isinstance(result, Exception):
        raise result
