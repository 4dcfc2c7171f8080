"""The bar builder: ticks into bars of a minute, a quarter of an hour, a day.

Hears the canonical feed's ticks, InstrumentsLoaded, FeedSwitched, CarriageChanged, WantWindows,
UniverseChanged and restarts; publishes `bars.1m`, `bars.15m` and `bars.1D` (warm windows first),
announces WarmStartReported and wants the underlyings' listings. Twins: bars, closed_bars, outages,
aggregation, warm_start, sessions.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.market.backfill import Backfill
from actors.market.following import CanonicalTicks, current_session, read_index
from actors.market.history_reader import HistoryReader
from actors.market.warm_windows import WarmWindows
from adapters.machine_bars import walker
from adapters.tick_bus import Batch
from domain.calendar import TradingSession
from domain.clock import NS_PER_MINUTE, NS_PER_S, exchange_time, iso_utc, seconds
from domain.instruments import InstrumentIndex, Listing
from domain.market.aggregation import QUARTER_NS, combine, day_ended, quarters_ended
from domain.market.bars import GRACE_NS, ClosedMinutes, MinuteBars
from domain.market.sessions import DAY_NS, midnight_ns
from domain.market.warm_start import DAYS, MINUTES, QUARTERS, no_finer_than, windows_of
from domain.prices import MODE_QUOTE
from messages.lifecycle import NodeRestarted
from messages.market import (
    CarriageChanged,
    FeedSwitched,
    InstrumentsLoaded,
    UniverseChanged,
    WantListings,
    WantWindows,
)
from persistence.database import open_engine
from persistence.market import MarketStore

RESET_LEAD_NS = seconds(15 * 60)  # a session's reset comes this long before its open
MINUTES_KEPT_NS = 7 * DAY_NS  # on disk; a restart and a look back need no more
REPORT_EVERY_S = 1.0


class BarBuilder(Actor):
    """State: the session's bars; a restart reads them back from the store and from history."""

    PUBLISHES = ("bars",)

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        runtime = context.runtime
        keys = runtime.settings
        self._bars = MinuteBars(walker)
        self._session: TradingSession | None = None
        self._told_from_ns = self._told_before_ns = 0
        self._index = InstrumentIndex(())
        self._underlyings: list[Listing] = []
        self._hot: tuple[tuple[str, str], ...] = ()
        self._store = MarketStore(open_engine(runtime.market_url))
        self._ticks = CanonicalTicks(context, self._on_ticks)
        self._history = HistoryReader(runtime, self._store)
        windows = windows_of(keys.warm_start_max_bars, keys.warm_start_lookback_days)
        asked = no_finer_than(windows, keys.warm_start_interval)
        self._warm = WarmWindows(context, self._history, asked, self._put)
        self._backfill = Backfill(context, self._history, windows[0], self._repair)
        self._uncarried: dict[str, dict[int, int]] = {}  # by broker
        self._quality: dict[int, dict[str, Any]] = {}  # of the underlyings, minute by minute
        self._last_tick_ns = 0
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        self._begin_session(is_event=False)
        self._ticks.follow(self.context.runtime.feed_sequence[0])
        self._read_index()
        oldest_ns = self.context.now_ns() - MINUTES_KEPT_NS
        self.context.work(lambda: self._store.delete_bars(MINUTES, oldest_ns), _must_succeed)
        self._plan_close()
        self.context.every(REPORT_EVERY_S, lambda: self.context.report(self._body))

    def stop(self) -> None:
        self._history.close()

    # -- what it hears --

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self._read_index()

    def on_feed_switched(self, message: FeedSwitched) -> None:
        self._history.canonical = message.to_broker
        if message.to_broker != self._ticks.broker:
            self._ticks.follow(message.to_broker)
            self._miss_all()
            self._note_carriage()

    def on_carriage_changed(self, message: CarriageChanged) -> None:
        rows = zip(message.listing_ids, message.since_ns, strict=True)
        self._uncarried[message.broker] = dict(rows)
        if message.broker == self._ticks.broker:
            self._note_carriage()

    def on_universe_changed(self, message: UniverseChanged) -> None:
        self._hot = message.hot
        self._follow()

    def on_want_windows(self, _message: WantWindows) -> None:
        self._warm.publish()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name == "subscription_desk":
            self._want()
        elif (
            message.name == "freshness_keeper"
        ):  # it holds entries until it hears of the warm start
            self._warm.tell_again()

    def _on_ticks(self, batch: Batch) -> None:
        ticks, now_ns = batch.columns, self.context.now_ns()
        if batch.missed:
            self._miss_all()
        if not len(ticks):
            return
        if self._session is None or int(ticks["ts_ns"].max()) >= self._session.closes_ns:
            self._begin_session(is_event=True)
        strangers = self._bars.strangers(ticks["listing"])
        if len(strangers):
            listed = [id_ in self._index.by_id for id_ in strangers.tolist()]
            self._bars.add(strangers[listed], now_ns)
        self._bars.fold(ticks)
        self._last_tick_ns = now_ns
        own = int(np.isin(ticks["listing"], self._own_ids()).sum())
        self._counts.update(ticks_total=len(ticks), underlying_ticks=own)

    # -- the session --

    def _begin_session(self, *, is_event: bool) -> None:
        """Today's session, when its reset is due or its first tick came; the last one is closed."""
        now_ns, last = self.context.now_ns(), self._session
        session = current_session(self.context.runtime, now_ns)
        if session is None or (last and session.day == last.day):
            return
        if last and not is_event and now_ns < session.opens_ns - RESET_LEAD_NS:
            return
        if last:
            self._take_closed(self._bars.close(now_ns + NS_PER_MINUTE + GRACE_NS))
        self._session = session
        self._bars.begin(session, now_ns)
        self._told_from_ns = self._told_before_ns = self._bars.close(now_ns).before_ns
        if session.contains(now_ns):
            # What this minute had before now was not heard; history will tell it.
            self._bars.mark_outage(now_ns - now_ns % NS_PER_MINUTE, now_ns)
            self._backfill.plan(self._underlyings)

    def _plan_close(self) -> None:
        now_ns = self.context.now_ns()
        passed_ns = (now_ns - GRACE_NS) % NS_PER_MINUTE
        self.context.after((NS_PER_MINUTE - passed_ns) / NS_PER_S, self._close_due)

    def _close_due(self) -> None:
        self._take_closed(self._bars.close(self.context.now_ns()))
        for id_ in self._own_ids():
            self._quality[id_] = dataclasses.asdict(self._bars.closed.quality(id_))
        self._begin_session(is_event=False)
        self._plan_close()

    def _take_closed(self, closed: ClosedMinutes) -> None:
        session = self._session
        if session is None:
            return
        since_ns, self._told_before_ns = self._told_before_ns, closed.before_ns
        if len(closed.bars):
            self._tell_bars(MINUTES, closed.bars)
            self._log_bars(closed.bars)
        self._warn_silent(closed)
        for start in quarters_ended(since_ns, closed.before_ns, session):
            self._tell_combined(QUARTERS, start, start + QUARTER_NS, start)
        if day_ended(since_ns, closed.before_ns, session):
            day_ns = midnight_ns(session.day)
            self._tell_combined(DAYS, session.opens_ns, session.closes_ns, day_ns)
            self._sum_up()

    def _tell_combined(
        self, timeframe: str, first_ns: int, last_ns: int, start_ns: int, *, again: bool = False
    ) -> None:
        minutes = self._bars.closed.between(first_ns, last_ns)
        own = minutes[np.isin(minutes["listing"], self._own_ids())]
        if len(own):
            self._tell_bars(timeframe, combine(own, start_ns), again=again)

    def _tell_bars(self, timeframe: str, bars: np.ndarray, *, again: bool = False) -> None:
        """Bars that closed; told `again` like warm ones when history repaired them."""
        self.context.publish(f"bars.{timeframe}", bars, {"warm": again})
        self._counts[timeframe] += 0 if again else len(bars)
        self._keep(timeframe, bars)
        self._warm.keep(timeframe, bars)

    def _keep(self, timeframe: str, bars: np.ndarray) -> None:
        listings = self._index.by_id
        known = bars[[id_ in listings for id_ in bars["listing"].tolist()]]
        self.context.work(lambda: self._store.write_bars(timeframe, known, listings), _must_succeed)

    # -- history --

    def _read_index(self) -> None:
        self.context.work(lambda: read_index(self.context.runtime), self._indexed)

    def _indexed(self, index: Any) -> None:
        if isinstance(index, Exception):
            raise index
        is_first, self._index = not self._underlyings, index
        own = self._follow()
        if not own:
            return
        if self._session and is_first:
            if self._session.contains(self.context.now_ns()):
                self._backfill.plan(self._underlyings)
            since_ns = self._session.opens_ns
            ids = {(row.exchange, row.symbol): row.listing_id for row in index.by_id.values()}
            self.context.work(
                lambda: self._store.read_session(MINUTES, since_ns, ids), self._restore
            )
        self._warm.begin(own)

    def _follow(self) -> list[Listing]:
        """The operator's own list, which it gives back, and the shares that are hot besides."""
        keys, find = self.context.runtime.settings, self._index.find
        own = [row for name in keys.feed_underlyings if (row := find(*name))]
        hot = [row for name in self._hot if (row := find(*name)) and row not in own]
        if own:
            self._underlyings = [*own, *hot]
            self._bars.add(np.array(self._own_ids()), self.context.now_ns())
            self._want()
            self._warm.follow(hot)
        return own

    def _restore(self, bars: Any) -> None:
        if isinstance(bars, Exception):
            raise bars
        self._bars.backfill(bars, self.context.now_ns())

    def _miss_all(self) -> None:
        """Of what came since the last tick nothing is sure: that minute is partial until history
        tells it."""
        if self._last_tick_ns and self._session:
            self._bars.mark_outage(self._last_tick_ns, self.context.now_ns())
            self._ask_for(self._bars.listings.tolist())

    def _note_carriage(self) -> None:
        """A feed with a new life counts from its birth; the last tick came before it."""
        last_ns = self._last_tick_ns
        since_ns = {
            row: min(at_ns, last_ns or at_ns)
            for row, at_ns in self._uncarried.get(self._ticks.broker, {}).items()
        }
        self._ask_for(self._bars.set_uncarried(since_ns, self.context.now_ns()))

    def _ask_for(self, listing_ids: Iterable[int]) -> None:
        wanted = set(listing_ids)
        first = [row for row in self._underlyings if row.listing_id in wanted]
        rest = sorted(wanted.intersection(self._index.by_id) - set(self._own_ids()))
        self._backfill.plan([*first, *(self._index.by_id[row] for row in rest)])

    def _put(self, bars: np.ndarray) -> np.ndarray:
        put = self._bars.backfill(bars, self.context.now_ns())
        if len(put):
            self._keep(MINUTES, put)
            self._warm.keep(MINUTES, put)
        return put

    def _repair(self, bars: np.ndarray) -> None:
        """Puts history's minutes in, and tells anew what was told of them."""
        put, session = self._put(bars), self._session
        own = put[np.isin(put["listing"], self._own_ids())]
        if not len(own) or session is None:
            return
        self.context.publish(f"bars.{MINUTES}", own, {"warm": True})
        told = (self._told_from_ns, self._told_before_ns)
        touched = set((own["start_ns"] - own["start_ns"] % QUARTER_NS).tolist())
        for start in sorted(touched.intersection(quarters_ended(*told, session))):
            self._tell_combined(QUARTERS, start, start + QUARTER_NS, start, again=True)
        if day_ended(*told, session):
            day_ns = midnight_ns(session.day)
            self._tell_combined(DAYS, session.opens_ns, session.closes_ns, day_ns, again=True)

    # -- what it says --

    def _own_ids(self) -> list[int]:
        return [row.listing_id for row in self._underlyings]

    def _want(self) -> None:
        ids = tuple(self._own_ids())
        wish = WantListings(owner="bar_builder", listing_ids=ids, mode=MODE_QUOTE)
        self.context.tell("subscription_desk", wish)

    def _log_bars(self, bars: np.ndarray) -> None:
        for bar in bars[np.isin(bars["listing"], self._own_ids())]:
            self.context.log.info(
                "[BAR] {} | O:{:g} H:{:g} L:{:g} C:{:g} V:{} VWAP:{:.4f}",
                self._index.by_id[int(bar["listing"])].symbol,
                *(bar[name] for name in ("open", "high", "low", "close", "volume", "vwap")),
            )

    def _sum_up(self) -> None:
        """After the last bar: how well the session was heard."""
        for row in self._underlyings:
            quality = self._bars.closed.quality(row.listing_id)
            self.context.log.info("[SESSION] {} | {}", row.symbol, quality)
        counters = {name: n for name, n in sorted(self._bars.counters.items()) if n}
        self.context.log.info("[SESSION] ticks {}", counters)

    def _warn_silent(self, closed: ClosedMinutes) -> None:
        """A line for each silent underlying, one for all silent options together."""
        own = set(self._own_ids())
        for minute_ns, silent in closed.silent:
            told = f"{exchange_time(minute_ns):%H:%M}"
            for listing_id in own.intersection(silent):
                symbol = self._index.by_id[listing_id].symbol
                self.context.log.warning("[DATA] No ticks for {} in {}", symbol, told)
            others = len(own.symmetric_difference(silent) - own)
            if others:
                self.context.log.info("[DATA] No ticks for {} options in {}", others, told)

    def _body(self) -> dict[str, Any]:
        counts, last_ns = self._counts, self._last_tick_ns
        age_s = round((self.context.now_ns() - last_ns) / NS_PER_S, 1) if last_ns else -1.0
        symbols = [row.symbol for row in self._underlyings]
        errors = self._warm.status["errors"]
        return {
            "ticks_total": counts["ticks_total"],
            "underlying_ticks": counts["underlying_ticks"],
            "option_ticks": counts["ticks_total"] - counts["underlying_ticks"],
            "candles_built_regime": counts[QUARTERS],
            "candles_built_sniper": counts[MINUTES],
            "ticks_refused": {
                name: n for name, n in self._bars.counters.items() if n and name != "accepted"
            },
            "last_tick_wall": iso_utc(last_ns) if last_ns else "",
            "last_tick_age_s": age_s,
            "last_error": next(iter(errors.values()), ""),
            "subscriptions": len(self._bars.listings),
            "uncarried": len(self._uncarried.get(self._ticks.broker, {})),
            "backfill_waiting": len(self._backfill),
            "quality": {
                row.symbol: self._quality.get(row.listing_id, {})
                | {"vwap": self._bars.live_vwap(row.listing_id)}
                for row in self._underlyings
            },
            "underlyings": symbols,
            "sniper_symbols": [name for _, name in self.context.runtime.settings.sniper_listings],
            "benchmark": next(iter(symbols), ""),
            "warm_start": self._warm.status,
        }  # fmt: skip


def _must_succeed(result: Any) -> None:
    if isinstance(result, Exception):
        raise result
