"""The freshness keeper: ages of all data an entry depends on, the entry gate, and the heartbeat.

Hears the canonical feed's ticks, closed bars and chains on the bus; FeedSwitched, FeedStateChanged,
the session, WarmStartReported, PositionChanged, InstrumentsLoaded, UniverseChanged; announces
FreshnessMarked each second, which expires by itself. Twin: freshness.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.market.following import CanonicalTicks, read_index
from adapters.tick_bus import Batch
from domain.clock import NS_PER_S, seconds
from domain.freshness import AHEAD_MAX_S, last_true_ns
from domain.instruments import InstrumentIndex
from domain.market.freshness import EntryGate, LastSeen, measure_coverage, next_gate, why_cold
from domain.prices import MODE_DEPTH
from domain.readings import FreshnessMark
from messages.market import (
    ChainSummarised,
    FeedStateChanged,
    FeedSwitched,
    FreshnessMarked,
    InstrumentsLoaded,
    SessionClosed,
    SessionOpened,
    UniverseChanged,
    WarmStartReported,
)
from messages.trading import PositionChanged

MARK_EVERY_S = 1.0
MARKS_LAST = 3  # a mark expires when the third after it is due
CLOSED_MARK_EVERY_S = 10.0  # nothing is entered outside a session
HEARTBEAT_EVERY_S = 60.0
ENTRY_GATE = "entry_gate"
DISCONNECTED = ("down", "refused")


class FreshnessKeeper(Actor):
    """State: when each thing was last seen, and the entry gate; begins anew with each life."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        plan = context.runtime.replay
        self._stands_ns = plan.interval_ns if plan else 0
        self._seen = LastSeen()
        self._depth = LastSeen()
        self._gate = EntryGate()
        self._cold = why_cold("", "")
        self._index = InstrumentIndex(())
        self._names: dict[int, str] = {}  # listing -> the name its age goes by
        self._by_topic: dict[str, np.ndarray] = {}
        self._readings: dict[str, dict[str, int]] = {"iv": {}, "pcr": {}, "gex": {}, "max_pain": {}}
        self._ticks = CanonicalTicks(context, self._on_ticks)
        self._session: SessionOpened | None = None
        self._since_ns = self._bar_ns = self._switched_ns = self._next_mark_ns = 0
        self._positions = 0
        self._hot: tuple[tuple[str, str], ...] = ()
        self._connected = True
        self._is_closed = False

    def start(self) -> None:
        self._since_ns = self.context.now_ns()
        self._ticks.follow(self.context.runtime.feed_sequence[0])
        self.context.subscribe("chain.", self._on_chain)
        self.context.subscribe("bars.1m", self._on_bars)
        self._read_index()
        self.context.every(MARK_EVERY_S, self._mark)
        self.context.every(HEARTBEAT_EVERY_S, self._heartbeat)

    # -- what it hears --

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self._read_index()

    def on_universe_changed(self, message: UniverseChanged) -> None:
        gone = [self._index.find(*name) for name in set(self._hot) - set(message.hot)]
        self._hot = message.hot
        ids = [row.listing_id for row in gone if row]
        self._seen.drop(np.array(ids, np.int64))
        for id_ in ids:
            self._names.pop(id_, None)
        self._want_underlyings()

    def on_feed_switched(self, message: FeedSwitched) -> None:
        if message.to_broker not in (self._ticks.broker, message.from_broker):
            self._switched_ns = self.context.now_ns()
        self._ticks.follow(message.to_broker)

    def on_feed_state_changed(self, message: FeedStateChanged) -> None:
        if message.broker == self._ticks.broker:
            self._connected = message.state not in DISCONNECTED

    def on_warm_start_reported(self, message: WarmStartReported) -> None:
        self._cold = why_cold(message.status, message.message)

    def on_session_opened(self, message: SessionOpened) -> None:
        if self._session is None or self._session.day != message.day:
            self._seen.clear()
            # A session's silence counts from its open, or from when this life began to listen.
            self._since_ns = max(message.opens_ns, self._since_ns)
        self._session, self._is_closed = message, False
        self._next_mark_ns = 0

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._session, self._is_closed = None, True

    def on_position_changed(self, message: PositionChanged) -> None:
        book = message.book
        self._positions = len(book.open_positions) + sum(
            1 for row in book.unmanaged if row.quantity
        )

    def on_chain_summarised(self, message: ChainSummarised) -> None:
        summary = message.summary
        told = {
            "iv": summary.atm_iv,
            "pcr": summary.put_call_ratio,
            "gex": summary.gamma_exposure,
            "max_pain": summary.max_pain,
        }
        for name, value in told.items():
            if value == value:  # NaN is not known
                readings = self._readings[name]
                before_ns = readings.get(summary.underlying, 0)
                # Of several expiries the freshest counts; a stale leg has a gate of its own.
                readings[summary.underlying] = max(before_ns, summary.as_of_ns)

    def _on_ticks(self, batch: Batch) -> None:
        self._seen.hear(batch.columns)
        self._depth.hear(batch.columns[batch.columns["mode"] == MODE_DEPTH])

    def _on_bars(self, batch: Batch) -> None:
        if not batch.meta.get("warm"):
            self._bar_ns = self.context.now_ns()

    def _on_chain(self, batch: Batch) -> None:
        """A chain's rows are what is subscribed of it, ticked or not."""
        fresh = batch.columns["listing"]
        gone = np.setdiff1d(self._by_topic.get(batch.topic, fresh[:0]), fresh)
        self._by_topic[batch.topic] = fresh
        self._seen.drop(gone)
        for id_ in gone.tolist():
            self._names.pop(id_, None)
        self._want(fresh)

    # -- what it tells --

    def _mark(self) -> None:
        now_ns, beat_ns = self.context.now_ns(), self.context.monotonic_ns()
        if beat_ns < self._next_mark_ns:
            return
        pause_s = CLOSED_MARK_EVERY_S if self._is_closed else MARK_EVERY_S
        # The beat has jitter: a mark that is nearly due is not left to the next beat.
        self._next_mark_ns = beat_ns + seconds(pause_s - MARK_EVERY_S / 2)
        for seen in (self._seen, self._depth):
            seen.forget_ahead(now_ns)
        limit_ns = now_ns + seconds(AHEAD_MAX_S)  # a clock set back: as good as never seen
        for readings in self._readings.values():
            for name in [name for name, at_ns in readings.items() if at_ns > limit_ns]:
                del readings[name]
        if self._session:
            coverage = measure_coverage(self._seen, now_ns)
            self._gate = next_gate(
                self._gate,
                percent=coverage.percent,
                tick_ns=last_true_ns(
                    max(self._seen.newest_ns, self._since_ns), now_ns, self._stands_ns
                ),
                bar_ns=max(self._bar_ns, self._since_ns),
                now_ns=now_ns,
            )
        quotes, depth = self._seen.named(self._names), self._depth.named(self._names)
        vix = self._index.find(*self.context.runtime.settings.feed_vix_symbol)
        mark = FreshnessMark(
            as_of_ns=now_ns,
            expires_ns=now_ns + seconds(MARKS_LAST * pause_s) + self._stands_ns,
            quotes_ns=quotes,
            iv_ns=dict(self._readings["iv"]),
            vix_ns=self._seen.true_ns(vix.listing_id) if vix else 0,
            switched_ns=self._switched_ns,
            gate_open=self._gate.is_open and not self._cold,
            gate_reason=self._cold or self._gate.reason,
            depth_ns=depth,
            pcr_ns=dict(self._readings["pcr"]),
            gex_ns=dict(self._readings["gex"]),
            max_pain_ns=dict(self._readings["max_pain"]),
            stands_ns=self._stands_ns,
        )
        self.context.announce(FreshnessMarked(mark=mark))
        self.context.report(lambda: self._ages(mark))

    def _heartbeat(self) -> None:
        if self._session is None:
            return
        coverage = measure_coverage(self._seen, self.context.now_ns())
        level = coverage.level(self._connected)
        self.context.log.log(level, "{}", coverage.line(self._positions))

    def _ages(self, mark: FreshnessMark) -> dict[str, Any]:
        """Ages in seconds under the names of `tomic.md` 13.3, -1 is never; and why the entry gate
        is closed, empty while it is open."""
        now_ns = mark.as_of_ns
        ages = {
            name: _age_s(max(by.values(), default=0), now_ns) for name, by in self._readings.items()
        }
        keys = self.context.runtime.settings
        own = {name for _, name in (*keys.feed_underlyings, *self._hot)}
        names = list(self._names.values())
        at_ns = np.array([mark.quotes_ns.get(name, 0) for name in names], np.int64)
        ages_s = np.where(at_ns > 0, np.round((now_ns - at_ns) / NS_PER_S, 1), -1.0).tolist()
        keyed = [f"quote:{name}" if name in own else f"option:{name}" for name in names]
        quoted = dict(zip(keyed, ages_s, strict=True))
        closed = "" if mark.gate_open else mark.gate_reason or "the entry gate is closed"
        told = {ENTRY_GATE: closed, "vix": _age_s(mark.vix_ns, now_ns)}
        return ages | told | quoted

    # -- who is who --

    def _want(self, listing_ids: np.ndarray) -> None:
        self._seen.want(listing_ids, self.context.now_ns())
        for id_ in listing_ids.tolist():
            if id_ not in self._names and id_ in self._index.by_id:
                self._names[id_] = self._index.by_id[id_].symbol

    def _want_underlyings(self) -> None:
        keys = self.context.runtime.settings
        found = [self._index.find(*name) for name in (*keys.feed_underlyings, *self._hot)]
        self._want(np.array([row.listing_id for row in found if row], np.int64))

    def _read_index(self) -> None:
        self.context.work(lambda: read_index(self.context.runtime), self._indexed)

    def _indexed(self, index: Any) -> None:
        if isinstance(index, Exception):
            raise index
        self._index = index
        self._want_underlyings()
        for listings in self._by_topic.values():
            self._want(listings)


def _age_s(at_ns: int, now_ns: int) -> float:
    return round((now_ns - at_ns) / NS_PER_S, 1) if at_ns else -1.0
