"""tape: the run as it was lived, on disk, so that it can be run again and its decisions compared.

Hears FeedSwitched, InstrumentsLoaded, WarmStartReported and the canonical feed's ticks; takes the
decisions, and what people asked, from the journal's rows. Tells nobody. Ticks are written once a
second in one block; on a disk that takes nothing they wait, the oldest first, and what finds no
room is counted and told: a tape is worth less than an order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.runtime import fingerprint, is_always_open
from adapters.tick_bus import Batch
from domain.clock import exchange_time
from domain.errors import BrokenTape, StorageFailure
from domain.journal.comparison import TAPED_KINDS
from domain.prices import TICK_DTYPE
from domain.tape import (
    BARS,
    BEGIN,
    END,
    FACT,
    LISTINGS,
    LOST,
    SCHEMA,
    TICKS,
    VOLATILITIES,
    pack,
    pack_listings,
)
from messages.market import FeedSwitched, InstrumentsLoaded, WarmStartReported
from persistence.database import open_engine
from persistence.instruments import InstrumentStore
from persistence.journal import JournalStore
from persistence.market import HISTORY, MINUTES, TIMEFRAMES, MarketStore
from persistence.positions import PositionStore
from persistence.tape import TapeWriter, forget_days, newest_run, run_folder

FLUSH_EVERY_S = 1.0
FACTS_EVERY_NS = 5_000_000_000  # they are in the journal: without ticks none is lost by waiting
ROWS_WAITING_MAX = 500_000  # 45 MB: seconds of the busiest feed, half an hour of one chain
BARS_KEPT_MAX = 1_000  # of one listing and timeframe: no warm start asks for more
STOPPED, DAY_OVER = "stopped", "the day is over"


@dataclass(frozen=True)
class TapeSettings:
    """`days_kept` calendar days of tapes; below `free_mb_min` free on the disk none is written."""

    days_kept: int = 30
    free_mb_min: int = 500

    def __post_init__(self) -> None:
        if self.days_kept < 1 or self.free_mb_min < 0:
            raise ValueError("days_kept begins at 1 and free_mb_min at 0")


class Tape(Actor):
    """State: ticks that wait for the next block, and what else the run's tape still needs."""

    SETTINGS = TapeSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        runtime = context.runtime
        self._journal = JournalStore(open_engine(runtime.journal_url))
        self._main = open_engine(runtime.database_url)
        self._market = MarketStore(open_engine(runtime.market_url))
        self._writer: TapeWriter | None = None
        self._day: date | None = None
        self._after_fact = self._journal.last_fact()
        self._wanted: list[Callable[[TapeWriter, int], None]] = []
        self._ticks: list[np.ndarray] = []
        self._rows_waiting = 0
        self._broker = ""
        self._subscribed: set[str] = set()
        self._busy, self._trouble, self._flushed_ns = False, "", 0
        self._lost: Counter[str] = Counter()  # by why, not told yet
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        self._follow(self.context.runtime.feed_sequence[0])
        self._written(self._try(lambda: self._open(self.context.now_ns())))
        self.context.every(FLUSH_EVERY_S, self._flush)

    def drain(self) -> bool:
        return not self._busy

    def stop(self) -> None:
        now_ns = self.context.now_ns()
        if self._busy:
            return  # a disk that hangs: what waits is given up

        def last() -> None:
            writer = self._write(*self._taken(), now_ns)
            self._keep_bars(writer, now_ns)
            if self.context.runtime_ends:
                writer.append(END, now_ns, {"why": STOPPED})

        trouble = self._try(last)
        if trouble:
            self.context.log.error("the tape ends before its run: {}", trouble)

    # -- what it hears --

    def on_feed_switched(self, message: FeedSwitched) -> None:
        self._follow(message.to_broker)

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self._wanted.append(self._keep_listings)

    def on_warm_start_reported(self, _message: WarmStartReported) -> None:
        self._wanted.append(self._keep_bars)

    def _follow(self, broker: str) -> None:
        """The ticks that count; of other feeds none decides anything."""
        self._broker = broker
        if broker not in self._subscribed:
            self._subscribed.add(broker)
            self.context.subscribe(f"ticks.{broker}", self._take)

    def _take(self, batch: Batch) -> None:
        if batch.topic != f"ticks.{self._broker}" or batch.columns.dtype != TICK_DTYPE:
            return
        if batch.missed:
            self._lost["batches that the bus dropped"] += batch.missed
        if self._rows_waiting + len(batch.columns) > ROWS_WAITING_MAX:
            self._lost["ticks that found no room"] += len(batch.columns)
            return
        self._ticks.append(batch.columns)
        self._rows_waiting += len(batch.columns)

    # -- writing; one write at a time, on the worker --

    def _flush(self) -> None:
        monotonic_ns = self.context.monotonic_ns()
        waits = self._ticks or self._lost or self._wanted
        if self._busy or (not waits and monotonic_ns - self._flushed_ns < FACTS_EVERY_NS):
            return
        self._busy, self._flushed_ns = True, monotonic_ns
        (ticks, lost), now_ns = self._taken(), self.context.now_ns()

        def done(trouble: Any) -> None:
            self._busy = False
            if trouble:
                self._ticks[:0] = ticks
                self._rows_waiting += sum(map(len, ticks))
                self._lost.update(lost)
            self._written(trouble)

        self.context.work(lambda: self._try(lambda: self._write(ticks, lost, now_ns)), done)

    def _taken(self) -> tuple[list[np.ndarray], Counter[str]]:
        taken = self._ticks, self._lost
        self._ticks, self._lost, self._rows_waiting = [], Counter(), 0
        return taken

    @staticmethod
    def _try(call: Callable[[], Any]) -> str:
        """Why the tape could not be written; empty when it was."""
        try:
            call()
        except (StorageFailure, BrokenTape) as failure:
            return str(failure)
        return ""

    def _written(self, trouble: Any) -> None:
        if isinstance(trouble, Exception):
            # A crash that comes again and again would take the recorder's branch along.
            self.context.log.error("the tape was not written: {!r}", trouble)
            trouble = f"{type(trouble).__name__} on the way to its disk"
        if trouble and not self._trouble:
            self.context.alert("RISK", f"this run can not be replayed whole: {trouble}", "tape")
        self._trouble = trouble
        self.context.report({
            "writes": not trouble,
            "trouble": trouble,
            "day": self._day.isoformat() if self._day else "",
            "ticks": self._counts[TICKS],
            "facts": self._counts[FACT],
            "rows_waiting": self._rows_waiting,
            "lost": dict(self._lost),
        })  # fmt: skip

    def _write(self, ticks: list[np.ndarray], lost: Counter[str], now_ns: int) -> TapeWriter:
        """All that waits, the ticks last: a failure before them leaves nothing written twice."""
        writer = self._open(now_ns)
        while self._wanted:
            self._wanted[0](writer, now_ns)
            self._wanted.pop(0)
        self._keep_facts(writer)
        for why, count in sorted(lost.items()):
            writer.append(LOST, now_ns, {"text": f"{count} {why}"})
        if ticks:
            columns = np.concatenate(ticks)
            span = {"from_ns": int(columns["received_ns"].min()), "rows": len(columns)}
            writer.append(TICKS, int(columns["received_ns"].max()), span, pack(columns))
            self._counts[TICKS] += len(columns)
        return writer

    def _open(self, now_ns: int) -> TapeWriter:
        """The tape of today; on a new day the one before is ended first."""
        today, runtime = exchange_time(now_ns).date(), self.context.runtime
        if self._writer and self._day == today:
            return self._writer
        if self._writer:
            self._keep_bars(self._writer, now_ns)
            self._keep_facts(self._writer)
            self._writer.append(END, now_ns, {"why": DAY_OVER})
            self._writer = None
        continues = self._day is not None
        after = newest_run(runtime.data_dir)
        folder = run_folder(runtime.data_dir, today, runtime.launch)
        writer = TapeWriter(folder, self.settings.free_mb_min)
        if BEGIN not in writer.newest:
            writer.append(BEGIN, now_ns, self._head(after, continues=continues))
            self._keep_volatilities(writer, now_ns, today)
            if continues:
                self._wanted += [self._keep_listings, self._keep_bars]
        self._after_fact = writer.newest[BEGIN].body["after_fact"]
        if FACT in writer.newest:
            self._after_fact = writer.newest[FACT].body["id"]
        self._writer, self._day = writer, today
        forget_days(runtime.data_dir, today - timedelta(days=self.settings.days_kept))
        return writer

    def _head(self, after: tuple[str, str], *, continues: bool) -> dict[str, Any]:
        """What decides besides the market: who replays this says where it differs."""
        runtime = self.context.runtime
        return {
            "schema": SCHEMA,
            "after": list(after),
            "continues": continues,
            "after_fact": self._after_fact,
            "launch": runtime.launch,
            "stepped": runtime.replay is not None,
            "always_open": is_always_open(runtime),
            "fingerprint": fingerprint(runtime),
            "standing": {
                "open positions": sum(
                    1 for row in PositionStore(self._main).positions() if row.position.quantity
                ),
                "closed trades": len(self._journal.entries(closed_only=True)),
            },
        }

    # -- what a run needs besides its ticks --

    def _keep_facts(self, writer: TapeWriter) -> None:
        for fact in self._journal.facts(after=self._after_fact, kinds=TAPED_KINDS):
            body = {
                "id": fact.fact_id,
                "message_id": fact.message_id,
                "cause": fact.cause,
                "kind": fact.kind,
                "body": fact.body,
            }
            writer.append(FACT, fact.at_ns, body)
            self._after_fact = fact.fact_id
            self._counts[FACT] += 1

    def _keep_listings(self, writer: TapeWriter, now_ns: int) -> None:
        listings = list(InstrumentStore(self._main).load_index().by_id.values())
        writer.append(LISTINGS, now_ns, {"rows": len(listings)}, pack_listings(listings))

    def _keep_bars(self, writer: TapeWriter, now_ns: int) -> None:
        """The underlyings' bars, and the minutes of today that history told of others."""
        index = InstrumentStore(self._main).load_index()
        names = self.context.runtime.settings.feed_underlyings
        listings = [row for row in (index.find(*name) for name in names) if row]
        ids = {(row.exchange, row.symbol): row.listing_id for row in index.by_id.values()}
        begin_ns = writer.newest[BEGIN].at_ns
        for timeframe in TIMEFRAMES:
            pieces = [
                self._market.read_bars(listing, timeframe, count_max=BARS_KEPT_MAX)
                for listing in listings
            ]
            if timeframe == MINUTES:
                told = self._market.read_session(timeframe, begin_ns, ids, told_by=(HISTORY,))
                pieces.append(told)
            columns = np.concatenate(pieces) if pieces else np.zeros(0)
            if len(columns):
                body = {"timeframe": timeframe, "rows": len(columns)}
                writer.append(BARS, now_ns, body, pack(columns))

    def _keep_volatilities(self, writer: TapeWriter, now_ns: int, today: date) -> None:
        rows = [
            (name, day.isoformat(), iv)
            for _, name in self.context.runtime.settings.feed_underlyings
            for day, iv in self._market.iv_history(name)
            if day < today
        ]
        writer.append(VOLATILITIES, now_ns, {"rows": rows})
