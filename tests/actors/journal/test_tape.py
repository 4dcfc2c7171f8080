"""The tape holds what the run heard, knew and decided, and harms nobody when it cannot."""

from __future__ import annotations

from collections import namedtuple
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.journal.tape import ROWS_WAITING_MAX, Tape, TapeSettings
from domain.clock import exchange_time, seconds
from domain.instruments import Kind, Listing
from domain.prices import BAR_DTYPE, TICK_DTYPE
from domain.tape import TapedRun
from messages.market import FeedSwitched, InstrumentsLoaded, WarmStartReported
from persistence import tape as tapes
from persistence.database import JournalBase, MainBase, MarketBase, open_engine
from persistence.instruments import InstrumentStore
from persistence.journal import JournalStore
from persistence.market import MarketStore
from persistence.tape import prove_tapes, read_run, runs_of
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

INDEX = Listing(0, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)
DAY = date(2026, 11, 20)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    runtime = make_runtime(tmp_path)
    for url, base in (
        (runtime.database_url, MainBase), (runtime.journal_url, JournalBase),
        (runtime.market_url, MarketBase),
    ):  # fmt: skip
        base.metadata.create_all(open_engine(url))
    return RecordingContext("tape", runtime)


def begun(context: RecordingContext, **settings: Any) -> Tape:
    actor = Tape(context, TapeSettings(**{"free_mb_min": 0} | settings))
    actor.start()
    return actor


def ended(context: RecordingContext, actor: Tape) -> None:
    context.runtime_ends = True
    assert actor.drain()
    actor.stop()


def ticks(*prices: float, at_ns: int = START_NS) -> np.ndarray:
    found = np.zeros(len(prices), TICK_DTYPE)
    found["ltp"], found["received_ns"] = prices, at_ns
    return found


def journal(context: RecordingContext) -> JournalStore:
    return JournalStore(open_engine(context.runtime.journal_url))


def decide(context: RecordingContext, number: int, kind: str = "RegimeChanged") -> None:
    journal(context).append_fact(f"m{number}", "", kind, at_ns=START_NS, body={"n": number})


def run(context: RecordingContext) -> TapedRun:
    """The newest run, after the proof that all are whole."""
    whole, lines = prove_tapes(context.runtime.data_dir)
    assert whole, lines
    return read_run(runs_of(context.runtime.data_dir)[-1])


def test_ticks_of_the_canonical_feed_are_on_disk_within_a_second(
    context: RecordingContext,
) -> None:
    actor = begun(context)
    context.feed("ticks.alpha", ticks(1.0, 2.0))
    context.feed("ticks.beta", ticks(7.0))
    context.advance(1.1)
    assert run(context).ticks["ltp"].tolist() == [1.0, 2.0]
    context.deliver(
        actor, FeedSwitched(from_broker="alpha", to_broker="beta", reason="", using_fallback=True)
    )
    context.feed("ticks.alpha", ticks(3.0))
    context.feed("ticks.beta", ticks(8.0))
    ended(context, actor)
    found = run(context)
    assert found.ticks["ltp"].tolist() == [1.0, 2.0, 8.0]
    assert found.ended


def test_decisions_of_this_run_are_taken_from_the_journal_once_and_in_order(
    context: RecordingContext,
) -> None:
    decide(context, 1)  # of an earlier launch
    actor = begun(context)
    decide(context, 2)
    decide(context, 3, "BookRead")  # no decision
    context.advance(1.1)
    decide(context, 4, "DeskRequest")
    context.runtime_ends = False  # a restart of this actor alone
    actor.stop()
    decide(context, 5)
    ended(context, begun(context))
    found = run(context)
    assert [fact.body["n"] for fact in found.facts] == [2, 4, 5]
    assert found.ended


def test_without_ticks_the_journal_is_read_every_five_seconds(context: RecordingContext) -> None:
    begun(context)
    context.advance(1.1)
    reads = len(context.reports)  # one a read
    context.advance(4.5)
    assert len(context.reports) == reads
    decide(context, 1)
    context.advance(1.0)
    assert len(context.reports) == reads + 1
    assert context.reports[-1]["facts"] == 1


def test_a_clock_that_is_set_back_an_hour_does_not_stop_the_tape(
    context: RecordingContext,
) -> None:
    begun(context)
    context.advance(1.1)
    context.set_back(3_600.0)
    decide(context, 1)
    context.advance(5.5)
    assert context.reports[-1]["facts"] == 1


def test_the_master_and_the_warm_start_are_kept(context: RecordingContext) -> None:
    actor = begun(context)
    main, market = open_engine(context.runtime.database_url), context.runtime.market_url
    InstrumentStore(main).load([INDEX], "alpha", DAY)
    bars = np.zeros(1, BAR_DTYPE)
    bars["listing"], bars["start_ns"], bars["close"] = 1, START_NS, 5.0
    (listing,) = InstrumentStore(main).load_index().by_id.values()
    MarketStore(open_engine(market)).write_bars("1D", bars, {1: listing})
    context.deliver(actor, InstrumentsLoaded(broker="alpha", rows=1, day=DAY))
    context.deliver(actor, WarmStartReported(consumer="bars", status="ok", message="", bars=1))
    context.advance(1.1)
    found = run(context)
    assert found.listings == (listing,)
    assert found.bars["1D"]["close"].tolist() == [5.0]


def test_what_decided_and_what_stood_is_in_the_head(context: RecordingContext) -> None:
    MarketStore(open_engine(context.runtime.market_url)).write_iv("NIFTY", date(2026, 11, 19), 0.2)
    ended(context, begun(context))
    found = run(context)
    assert found.head["launch"] == 1
    assert found.head["fingerprint"]["settings"]["capital"] == "1000000"
    assert "database_url" not in found.head["fingerprint"]["settings"]
    assert found.head["standing"] == {"open positions": 0, "closed trades": 0}
    assert found.volatilities == (("NIFTY", date(2026, 11, 19), 0.2),)


def test_a_full_disk_is_told_once_and_what_waited_is_written_when_there_is_room(
    context: RecordingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = begun(context, free_mb_min=10)
    with monkeypatch.context() as full:
        full.setattr(tapes.shutil, "disk_usage", lambda _: Usage(1, 1, 0))
        context.feed("ticks.alpha", ticks(1.0))
        context.advance(1.1)
        context.feed("ticks.alpha", ticks(2.0))
        context.advance(2.0)
    assert [alert.level for alert in context.alerts] == ["RISK"]
    assert "0 MB are free on its disk" in context.alerts[0].text
    context.advance(1.1)
    assert context.reports[-1]["writes"]
    ended(context, actor)
    assert run(context).ticks["ltp"].tolist() == [1.0, 2.0]


def test_ticks_beyond_the_bound_are_lost_and_the_tape_says_how_many(
    context: RecordingContext,
) -> None:
    actor = begun(context)
    context.hold_work = True
    context.feed("ticks.alpha", np.zeros(ROWS_WAITING_MAX, TICK_DTYPE))
    context.feed("ticks.alpha", ticks(1.0, 2.0))
    context.hold_work = False
    context.advance(1.1)
    ended(context, actor)
    found = run(context)
    assert len(found.ticks) == ROWS_WAITING_MAX
    assert found.lost == ("2 ticks that found no room",)


def test_batches_that_the_bus_dropped_are_told_also_when_the_disk_was_full_meanwhile(
    context: RecordingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = begun(context, free_mb_min=10)
    with monkeypatch.context() as full:
        full.setattr(tapes.shutil, "disk_usage", lambda _: Usage(1, 1, 0))
        context.feed("ticks.alpha", ticks(1.0), missed=3)
        context.advance(1.1)
    context.feed("ticks.alpha", ticks(2.0), missed=1)
    ended(context, actor)
    found = run(context)
    assert found.lost == ("4 batches that the bus dropped",)
    assert found.ticks["ltp"].tolist() == [1.0, 2.0]


def test_what_was_decided_just_before_midnight_is_on_the_tape_of_its_own_day(
    context: RecordingContext,
) -> None:
    context = RecordingContext("tape", context.runtime, now_ns=START_NS + seconds(49_499.9))
    actor = begun(context)
    decide(context, 1)  # the next write comes after midnight
    context.advance(1.2)
    decide(context, 2)
    ended(context, actor)
    first, second = (read_run(folder) for folder in runs_of(context.runtime.data_dir))
    assert [fact.body["n"] for fact in first.facts] == [1]
    assert [fact.body["n"] for fact in second.facts] == [2]


def test_a_disk_that_is_full_at_the_start_does_not_end_the_actor(
    context: RecordingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(tapes.shutil, "disk_usage", lambda _: Usage(1, 1, 0))
        actor = begun(context, free_mb_min=10)
        ended(context, actor)
    assert context.alerts
    assert not context.reports[-1]["writes"]


def test_a_tape_that_is_broken_is_told_and_left_as_it_is(context: RecordingContext) -> None:
    ended(context, begun(context))
    log = runs_of(context.runtime.data_dir)[-1] / tapes.LOG
    log.write_bytes(log.read_bytes().replace(b"launch", b"lunch?"))
    spoiled = log.read_bytes()
    ended(context, begun(context))
    assert "not what was written" in context.alerts[0].text
    assert log.read_bytes() == spoiled


def test_a_new_day_has_a_tape_of_its_own_that_follows_the_last(
    context: RecordingContext,
) -> None:
    context = RecordingContext("tape", context.runtime, now_ns=START_NS + seconds(49_498))
    actor = begun(context)  # two seconds before midnight at the exchange
    decide(context, 1)
    context.advance(3.0)
    decide(context, 2)
    ended(context, actor)
    first, second = (read_run(folder) for folder in runs_of(context.runtime.data_dir))
    assert (first.name, second.name) == ("2026-11-20/0001", "2026-11-21/0001")
    assert first.ended
    assert [fact.body["n"] for fact in (*first.facts, *second.facts)] == [1, 2]
    assert second.head["continues"]
    assert exchange_time(second.begin_ns).date() == date(2026, 11, 21)
    assert second.head["after"][0] == "2026-11-20/0001"
    assert prove_tapes(context.runtime.data_dir)[0]


def test_a_journal_that_cannot_be_read_is_told_and_the_tape_lives_on(
    context: RecordingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = begun(context)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("disk I/O error")

    with monkeypatch.context() as spoiled:
        spoiled.setattr(JournalStore, "facts", broken)
        context.feed("ticks.alpha", ticks(1.0))
        context.advance(1.1)
    assert context.alerts[0].text.endswith("OSError on the way to its disk")
    ended(context, actor)
    assert run(context).ticks["ltp"].tolist() == [1.0]
