"""The regime agent: one snapshot of the market from the benchmark's bars and the volatility index.

Hears bars of 15 minutes and a day, ticks of the volatility index, ChainSummarised (put/call ratio),
FreshnessMarked, the session and the feed's switches; wants the windows of before its life from the
bar builder and tells RegimeChanged.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.signals.instrument_index import benchmark_of, read_index
from actors.signals.warm_bars import WarmBars
from adapters.tick_bus import Batch
from domain.clock import NS_PER_S, seconds
from domain.instruments import InstrumentIndex
from domain.prices import BAR_DTYPE
from domain.readings import Regime
from domain.signals.indicators import merge_bars
from domain.signals.regime import (
    PARAMETERS,
    BarReading,
    PhaseMemory,
    Vix,
    choose_timeframe,
    is_stale,
    next_regime,
    raw_phase,
    read_bars,
    score_of,
)
from messages.codec import to_plain
from messages.lifecycle import NodeRestarted
from messages.market import (
    ChainSummarised,
    FeedSwitched,
    FreshnessMarked,
    InstrumentsLoaded,
    SessionClosed,
    SessionOpened,
)
from messages.trading import RegimeChanged

INTRADAY, DAILY = "15m", "1D"
EARLY_BATCHES_MAX = 64
FLAG_CHECK_S = 5.0
PCR_STALE_AFTER_S = 120.0
VERSIONS_A_LIFE = 1_000_000


class RegimeAgent(Actor):
    """Keeps a window a timeframe, and nothing that a restart could not read again from bars."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        # A new life counts on far above the old one, so that its versions are newer to everyone.
        self._regime = Regime(version=(context.life - 1) * VERSIONS_A_LIFE)
        self._windows = {name: np.empty(0, BAR_DTYPE) for name in (INTRADAY, DAILY)}
        self._readings: dict[str, BarReading | None] = {INTRADAY: None, DAILY: None}
        self._memories = {name: PhaseMemory() for name in (INTRADAY, DAILY)}
        self._vix = Vix()
        self._flags = self._vix.flags(0, False)
        self._pcr: dict[str, tuple[float, int]] = {}  # expiry -> (ratio, as of)
        self._in_session = False
        self._canonical = ""
        self._subscribed: set[str] = set()
        self._benchmark = ""
        self._benchmark_id = self._vix_id = -1
        self._early: deque[Batch] = deque(maxlen=EARLY_BATCHES_MAX)
        self._warm = WarmBars(context)

    def start(self) -> None:
        runtime = self.context.runtime
        names = [name for _, name in runtime.settings.underlyings]
        self._benchmark = benchmark_of(names)
        self._find_listings(read_index(self.context.runtime))
        self.context.subscribe("bars.", self._on_bars)
        self._warm.ask()
        if runtime.feed_sequence:
            self._follow(runtime.feed_sequence[0])
        self.context.every(FLAG_CHECK_S, self._check_flags)

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self.context.work(lambda: read_index(self.context.runtime), self._find_listings)

    def on_session_opened(self, _message: SessionOpened) -> None:
        self._in_session = True
        self._check_flags()

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._in_session = False
        self._check_flags()

    def on_feed_switched(self, message: FeedSwitched) -> None:
        self._follow(message.to_broker)

    def on_freshness_marked(self, message: FreshnessMarked) -> None:
        if self._vix.value > 0 and message.mark.vix_ns > self._vix.as_of_ns:
            self._vix = Vix(self._vix.value, message.mark.vix_ns)
            self._check_flags()

    def on_chain_summarised(self, message: ChainSummarised) -> None:
        summary = message.summary
        if summary.underlying == self._benchmark and summary.put_call_ratio > 0:
            self._pcr[summary.expiry.isoformat()] = (summary.put_call_ratio, summary.as_of_ns)

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if self._regime.as_of_ns:
            self.context.remind(message.name, RegimeChanged(regime=self._regime))

    # -- data plane --

    def _on_bars(self, batch: Batch) -> None:
        self._warm.note(batch)
        if self._benchmark_id < 0:
            self._early.append(batch)
            return
        timeframe = batch.topic.removeprefix("bars.")
        if timeframe == "1m":
            self._see_vix(batch.columns, "close", stamp="start_ns", after_ns=60 * NS_PER_S)
        elif timeframe in self._windows:
            rows = batch.columns[batch.columns["listing"] == self._benchmark_id]
            if len(rows):
                self._take_bars(timeframe, rows)

    def _on_ticks(self, batch: Batch) -> None:
        if batch.topic == f"ticks.{self._canonical}":
            self._see_vix(batch.columns, "ltp", stamp="received_ns", after_ns=0)

    def _see_vix(self, columns: np.ndarray, price: str, *, stamp: str, after_ns: int) -> None:
        rows = columns[(columns["listing"] == self._vix_id) & (columns[price] > 0)]
        if len(rows) and int(rows[stamp][-1]) + after_ns > self._vix.as_of_ns:
            self._vix = Vix(float(rows[price][-1]), int(rows[stamp][-1]) + after_ns)
            self._check_flags()

    def _take_bars(self, timeframe: str, rows: np.ndarray) -> None:
        window = merge_bars(self._windows[timeframe], rows, PARAMETERS.window_bars)
        self._windows[timeframe] = window
        first = int(np.searchsorted(window["start_ns"], rows["start_ns"].min()))
        for end in range(first + 1, len(window) + 1):
            if window["start_ns"][end - 1] < self._memories[timeframe].bar_ns:
                continue  # told again: the memory has gone past it
            reading = read_bars(window[:end], timeframe)
            if reading:
                self._readings[timeframe] = reading
                self._remember(reading)
        intraday = self._readings[INTRADAY]
        if timeframe == DAILY and intraday:
            self._remember(intraday)
        self._publish()

    # -- the snapshot --

    def _remember(self, reading: BarReading) -> None:
        raw = raw_phase(reading, self._score(reading), self._tide(reading))
        memory = self._memories[reading.timeframe]
        self._memories[reading.timeframe] = memory.with_bar(reading.start_ns, raw)

    def _score(self, reading: BarReading) -> int:
        fresh_ns = self.context.now_ns() - seconds(PCR_STALE_AFTER_S)
        ratios = [ratio for _, (ratio, at) in sorted(self._pcr.items()) if at >= fresh_ns]
        return score_of(reading, self._vix.value, ratios[0] if ratios else None)

    def _tide(self, reading: BarReading) -> str:
        daily = self._readings[DAILY]
        return daily.ichimoku if daily and reading.timeframe != DAILY else "NEUTRAL"

    def _publish(self) -> None:
        now_ns, intraday = self.context.now_ns(), self._readings[INTRADAY]
        is_old = intraday is not None and is_stale(intraday.end_ns, now_ns)
        is_history = len(self._windows[INTRADAY]) > 0 and bool(
            self._windows[INTRADAY]["history"][-1]
        )
        # A dead feed's last live bar stays and grows stale; only old history counts as missing.
        reading = choose_timeframe(
            intraday, self._readings[DAILY], is_intraday_missing=is_old and is_history
        )
        if reading is None:
            return
        regime, is_news = next_regime(
            self._regime,
            reading,
            phase=self._memories[reading.timeframe].ruling or self._regime.phase,
            score=self._score(reading),
            vix=self._vix,
            flags=self._flags,
            now_ns=now_ns,
        )
        if is_news:
            self._regime = regime
            self.context.announce(RegimeChanged(regime=regime))
            self.context.report(to_plain(regime) | {"benchmark": self._benchmark})

    def _check_flags(self) -> None:
        flags = self._vix.flags(self.context.now_ns(), self._in_session)
        if flags == self._flags:
            return
        self._flags = flags
        for reading in self._readings.values():
            if reading:
                self._remember(reading)
        self._publish()

    # -- who is who --

    def _follow(self, broker: str) -> None:
        self._canonical = broker
        if broker not in self._subscribed:
            self._subscribed.add(broker)
            self.context.subscribe(f"ticks.{broker}", self._on_ticks)

    def _find_listings(self, index: InstrumentIndex | Exception) -> None:
        if isinstance(index, Exception):
            raise index
        benchmark = index.underlying(self._benchmark)
        vix = index.find(*self.context.runtime.settings.feed_vix_symbol)
        self._vix_id = vix.listing_id if vix else self._vix_id
        if benchmark:
            self._benchmark_id = benchmark.listing_id
            while self._early:
                self._on_bars(self._early.popleft())
