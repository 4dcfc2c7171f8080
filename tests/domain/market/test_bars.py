"""The nine rules and the bars of `data_pipeline.md` 2-3, by hand and against a reference."""

from __future__ import annotations

import math
from datetime import date, datetime, time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.machine_bars import walker
from domain.calendar import TradingSession
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, epoch_ns, seconds
from domain.market.bars import COUNTED, MinuteBars
from domain.market.closed_bars import is_thin
from domain.prices import BAR_DTYPE, TICK_DTYPE

DAY = date(2026, 2, 10)


WALKERS = [None]


@pytest.fixture(scope="module", autouse=True, params=[None, walker], ids=["columns", "walked"])
def _fold(request):
    """Every test here is of both folds."""
    WALKERS.append(request.param)
    yield
    WALKERS.pop()


def at(hour: int, minute: int, second: float = 0.0, day: date = DAY) -> int:
    return epoch_ns(datetime.combine(day, time(hour, minute), EXCHANGE_ZONE)) + seconds(second)


SESSION = TradingSession(DAY, at(9, 15), at(15, 30), at(15, 0), at(15, 15))
NOON = at(12, 0)


def ticks(*rows):
    """Rows of (listing, ts, ltp, cum[, received]); received is ts if absent."""
    batch = np.zeros(len(rows), TICK_DTYPE)
    for index, row in enumerate(rows):
        listing, ts, ltp, cum = row[:4]
        batch[index]["listing"], batch[index]["ts_ns"] = listing, ts
        batch[index]["received_ns"] = row[4] if len(row) > 4 else ts
        batch[index]["ltp"] = ltp
        batch[index]["volume"] = -1 if cum is None else cum
    return batch


def bars_since(now_ns: int, listings=(1, 2)) -> MinuteBars:
    fold = MinuteBars(WALKERS[-1])
    fold.begin(SESSION, now_ns)
    fold.add(np.array(listings), now_ns)
    return fold


def history(*rows) -> np.ndarray:
    """Rows of (listing, start, open, high, low, close, volume), as a broker told them."""
    bars = np.zeros(len(rows), BAR_DTYPE)
    bars["history"] = True
    for index, row in enumerate(rows):
        for name, value in zip(
            ("listing", "start_ns", "open", "high", "low", "close", "volume"), row, strict=True
        ):
            bars[index][name] = value
    return bars


def columns(bar) -> tuple:
    return tuple(
        bar[name].item() for name in ("open", "high", "low", "close", "volume", "tick_count")
    )


def test_the_first_bar_counts_volume_from_the_first_cumulative_seen():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON, 100, 1000), (1, NOON + seconds(20), 102, 1120)))
    fold.fold(ticks((1, NOON + seconds(65), 101, 1300)))
    closed = fold.close(NOON + seconds(65)).bars
    assert len(closed) == 1
    assert columns(closed[0]) == (100, 102, 100, 102, 120, 2)
    assert fold.close(NOON + seconds(122)).bars["volume"].tolist() == [180]


def test_an_unknown_symbol_is_counted_and_nothing_else():
    fold = bars_since(NOON)
    fold.fold(ticks((7, NOON, 100, 10), (900_000, NOON, 100, 10)))
    assert fold.counters["unknown_symbol"] == 2
    assert not len(fold.close(NOON + seconds(62)).bars)


@pytest.mark.parametrize("price", [math.nan, 0.0, -1.0])
def test_a_bad_price_is_no_sign_of_life(price):
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON, price, 10)))
    assert fold.counters == dict.fromkeys(COUNTED, 0) | {"bad_price": 1}


def test_a_time_more_than_five_seconds_ahead_of_its_arrival_is_dropped():
    fold = bars_since(NOON)
    ahead = NOON + seconds(5)
    fold.fold(ticks((1, ahead + 1, 100, 10, NOON), (1, ahead, 100, 10, NOON)))
    assert fold.counters["future"] == 1
    assert fold.counters["accepted"] == 1


def test_a_tick_of_a_minute_long_closed_is_late_and_makes_no_bar():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON - seconds(3600), 100, 10, NOON + seconds(1))))
    assert fold.counters["late_dropped"] == 1
    assert not len(fold.close(NOON + seconds(62)).bars)


def test_a_tick_equal_to_the_one_before_it_is_a_duplicate_within_and_across_batches():
    fold = bars_since(NOON)
    same = (1, NOON, 100, 10, NOON)
    again = (1, NOON, 100, 10, NOON + 5)
    fold.fold(ticks(same, again))
    fold.fold(ticks(again, (1, NOON, 101, 10, NOON + 6), same))
    assert fold.counters["duplicates"] == 2
    assert fold.counters["accepted"] == 3


def test_the_session_begins_with_its_open_and_ends_before_its_close():
    fold = bars_since(at(9, 0))
    open_ns, close_ns = SESSION.opens_ns, SESSION.closes_ns
    fold.fold(ticks((1, open_ns - 1, 100, 5), (1, open_ns, 100, 6)))
    fold.fold(ticks((1, close_ns - 1, 100, 7), (1, close_ns, 100, 8)))
    assert fold.counters["out_of_session"] == 2
    assert fold.counters["accepted"] == 2


def test_auction_volume_stays_out_of_the_first_bar():
    fold = bars_since(at(9, 0))
    fold.fold(ticks((1, at(9, 8), 100, 500), (1, at(9, 15, 1), 101, 530)))
    assert fold.close(at(9, 16, 2)).bars["volume"].tolist() == [30]


def test_without_an_auction_the_first_bar_of_an_early_subscription_starts_from_zero():
    fold = bars_since(at(9, 0))
    fold.fold(ticks((1, at(9, 15, 1), 101, 530)))
    assert fold.close(at(9, 16, 2)).bars["volume"].tolist() == [530]


def test_yesterdays_volume_never_becomes_the_baseline():
    fold = bars_since(at(9, 0))
    yesterday = at(15, 29, day=date(2026, 2, 9))
    fold.fold(ticks((1, yesterday, 100, 90_000, at(9, 1)), (1, at(9, 15, 1), 100, 40)))
    assert fold.close(at(9, 16, 2)).bars["volume"].tolist() == [40]


def test_a_snapshot_on_subscribing_sets_the_baseline_but_makes_no_bar():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON - seconds(900), 100, 7000, NOON), (1, NOON + 1, 101, 7025)))
    closed = fold.close(NOON + seconds(62)).bars
    assert [columns(bar) for bar in closed] == [(101, 101, 101, 101, 25, 1)]


def test_a_late_ticks_volume_arrives_with_the_next_accepted_tick():
    fold = bars_since(NOON)
    later = NOON + seconds(63)
    fold.fold(ticks((1, NOON, 100, 1000)))
    fold.fold(ticks((1, NOON + seconds(30), 105, 1040, later), (1, later, 101, 1100)))
    assert fold.counters["late_dropped"] == 1
    first = fold.close(later).bars
    assert columns(first[0]) == (100, 100, 100, 100, 0, 1)
    assert fold.close(NOON + seconds(122)).bars["volume"].tolist() == [100]


def test_two_bars_are_open_during_the_grace():
    fold = bars_since(NOON)
    early = NOON + seconds(61.9)
    fold.fold(ticks((1, NOON + 1, 100, 10), (1, NOON + seconds(61), 103, 30)))
    fold.fold(ticks((1, NOON + seconds(59), 99, 20, early)))
    assert not len(fold.close(early).bars)
    closed = fold.close(NOON + seconds(62)).bars
    assert columns(closed[0]) == (100, 100, 99, 99, 0, 2)


def test_a_count_that_falls_with_newer_time_restarts_the_baseline():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON, 100, 1000), (1, NOON + 1, 100, 50), (1, NOON + 2, 100, 80)))
    assert fold.counters["volume_resets"] == 1
    assert fold.close(NOON + seconds(62)).bars["volume"].tolist() == [30]


def test_a_count_that_falls_with_older_time_changes_nothing():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON + 9, 100, 1000), (1, NOON + 1, 100, 990), (1, NOON + 12, 100, 1010)))
    assert fold.counters["volume_resets"] == 0
    assert fold.close(NOON + seconds(62)).bars["volume"].tolist() == [10]


def test_open_and_close_follow_exchange_time_and_ties_follow_arrival():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON + 10, 101, None), (1, NOON + 5, 102, None), (1, NOON + 10, 103, None)))
    fold.fold(ticks((1, NOON + 5, 104, None, NOON + 20), (1, NOON + 10, 99, None, NOON + 21)))
    bar = fold.close(NOON + seconds(62)).bars[0]
    assert columns(bar) == (102, 104, 99, 99, 0, 5)


def test_an_index_without_volume_has_no_vwap():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON, 24_000, None), (1, NOON + 1, 24_010, None)))
    bar = fold.close(NOON + seconds(62)).bars[0]
    assert math.isnan(bar["vwap"])
    assert fold.live_vwap(1) is None


def test_vwap_weighs_the_typical_price_of_each_bar_and_lives_with_the_open_one():
    fold = bars_since(at(9, 0))
    fold.fold(
        ticks((1, at(9, 15, 1), 100, 0), (1, at(9, 15, 2), 106, 10), (1, at(9, 15, 3), 103, 20))
    )
    fold.fold(ticks((1, at(9, 16, 1), 110, 60)))
    # minute 1: (106+100+103)/3 = 103 x 20; minute 2: 110 x 40
    assert fold.live_vwap(1) == pytest.approx((103 * 20 + 110 * 40) / 60)
    bars = fold.close(at(9, 17, 2)).bars
    assert bars["vwap"].tolist() == pytest.approx([103.0, (103 * 20 + 110 * 40) / 60])


def test_quality_needs_five_ticks_and_volume():
    fold = bars_since(at(9, 0), (1, 2, 3))
    rows = [(1, at(9, 15, s), 100 + s, s) for s in range(1, 6)]
    rows += [(2, at(9, 15, s), 100 + s, s) for s in range(1, 5)]
    rows += [(3, at(9, 15, s), 100 + s, None) for s in range(1, 6)]
    fold.fold(ticks(*rows))
    assert is_thin(fold.close(at(9, 16, 2)).bars).tolist() == [False, True, True]


def test_a_minute_without_ticks_gives_no_bar_is_told_and_becomes_a_gap():
    fold = bars_since(at(9, 0), (1,))
    fold.fold(ticks((1, at(9, 15, 1), 100, 1)))
    told = fold.close(at(9, 17, 2))
    assert told.silent == ((at(9, 16), (1,)),)
    assert fold.closed.gaps(1) == []
    fold.fold(ticks((1, at(9, 17, 3), 100, 2)))
    fold.close(at(9, 18, 2))
    assert fold.closed.gaps(1) == [at(9, 16)]


def test_the_quality_of_a_session_counts_what_was_thin_partial_missing_and_told_by_history():
    fold = bars_since(at(9, 0), (1, 2))
    fold.fold(ticks(*[(1, at(9, 15, s), 100, s) for s in range(1, 7)]))
    fold.fold(ticks((1, at(9, 16, 1), 100, 7), (1, at(9, 19, 1), 100, 8)))
    fold.close(at(9, 20, 2))
    fold.mark_outage(at(9, 16, 5), at(9, 16, 9))
    fold.backfill(history((1, at(9, 17), 130, 130, 130, 130, 8)), at(9, 20, 12))
    quality = fold.closed.quality(1)
    assert str(quality) == ("bars 4 | thin 2 | partial 1 | history 1 | gaps 1 | VWAP 115.0000")
    assert fold.closed.quality(2).vwap is None


def test_a_tick_that_comes_just_as_its_bar_falls_due_is_late():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON + seconds(5), 100, 1)))
    fold.fold(ticks((1, NOON + seconds(59), 100, 2, NOON + seconds(62))))
    assert fold.counters["late_dropped"] == 1


def test_a_closed_bar_is_told_once():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON, 100, 1)))
    assert len(fold.close(NOON + seconds(62)).bars) == 1
    assert len(fold.close(NOON + seconds(62)).bars) == 0


def test_the_last_bar_closes_two_seconds_after_the_close():
    fold = bars_since(at(15, 29))
    fold.fold(ticks((1, at(15, 29, 59), 100, 1)))
    assert not len(fold.close(at(15, 30, 1.9)).bars)
    assert fold.close(at(15, 30, 2)).bars["start_ns"].tolist() == [at(15, 29)]


def test_a_new_session_forgets_bars_and_sums_but_keeps_listings():
    fold = bars_since(NOON)
    fold.fold(ticks((1, NOON, 100, 1000)))
    fold.close(NOON + seconds(62))
    tomorrow = date(2026, 2, 11)
    session = TradingSession(tomorrow, at(9, 15, day=tomorrow), at(15, 30, day=tomorrow), 0, 0)
    fold.begin(session, at(9, 0, day=tomorrow))
    assert not len(fold.closed.window(1))
    fold.fold(ticks((1, at(9, 15, 1, day=tomorrow), 50, 70)))
    bars = fold.close(at(9, 16, 2, day=tomorrow)).bars
    assert columns(bars[0]) == (50, 50, 50, 50, 70, 1)
    assert fold.counters["accepted"] == 1


def test_a_start_in_mid_session_takes_history_and_leaves_the_running_minute_out():
    fold = bars_since(at(10, 2, 30), (1,))
    put = fold.backfill(
        history(
            (1, at(10, 1), 10, 13, 10, 13, 10),
            (1, at(10, 0), 10, 10, 10, 10, 20),
            (1, at(10, 1), 10, 13, 10, 13, 10),
            (1, at(10, 2), 99, 99, 99, 99, 99),
            (1, at(9, 14), 99, 99, 99, 99, 99),
            (1, at(10, 0, day=date(2026, 2, 9)), 99, 99, 99, 99, 99),
        ),
        at(10, 2, 30),
    )
    assert put["start_ns"].tolist() == [at(10, 0), at(10, 1)]
    assert put["history"].all()
    # 10 x 20, then (13+10+13)/3 = 12 x 10
    assert put["vwap"].tolist() == pytest.approx([10.0, (200 + 120) / 30])
    fold.fold(ticks((1, at(10, 2, 31), 14, 5000), (1, at(10, 2, 40), 14, 5030)))
    live = fold.close(at(10, 3, 2)).bars[0]
    assert live["volume"] == 30
    assert live["vwap"] == pytest.approx((200 + 120 + 14 * 30) / 60)


def test_backfill_replaces_partial_minutes_only_and_never_adds_to_the_sums():
    fold = bars_since(at(9, 0), (1,))
    fold.fold(
        ticks((1, at(9, 15, 1), 100, 10), (1, at(9, 16, 1), 100, 30), (1, at(9, 17, 1), 100, 60))
    )
    fold.close(at(9, 18, 2))
    fold.mark_outage(at(9, 16, 20), at(9, 16, 40))
    full = history(*[(1, at(9, minute), 200, 200, 200, 200, 100) for minute in (15, 16, 17)])
    for _ in range(2):
        fold.backfill(full, at(9, 18, 12))
    window = fold.closed.window(1)
    assert window["close"].tolist() == [100, 200, 100]
    assert window["vwap"][-1] == pytest.approx((1000 + 20_000 + 3000) / 140)
    assert not window["partial"].any()


def test_an_outage_marks_the_open_bar_partial_when_it_closes():
    fold = bars_since(at(9, 0), (1,))
    fold.fold(ticks((1, at(9, 15, 1), 100, 10)))
    fold.mark_outage(at(9, 15, 50), at(9, 16, 10))
    fold.fold(ticks((1, at(9, 16, 30), 100, 30), (1, at(9, 17, 1), 100, 40)))
    assert fold.close(at(9, 18, 2)).bars["partial"].tolist() == [True, True, False]


def test_an_outage_of_some_listings_leaves_the_bars_of_the_others_whole():
    fold = bars_since(at(9, 0))

    def hear(minute):
        for second in (3, 40):
            at_ns = at(9, minute, second)
            fold.fold(ticks((1, at_ns, 100, second), (2, at_ns, 100, second)))

    hear(15)
    fold.close(at(9, 16, 2))
    assert fold.set_uncarried({2: at(9, 15, 50)}, at(9, 16, 2)) == ()
    assert fold.closed.window(2)["partial"].tolist() == [True]
    hear(16)
    bars = fold.close(at(9, 17, 2)).bars
    assert bars[["listing", "partial"]].tolist() == [(1, False), (2, True)]
    assert fold.set_uncarried({}, at(9, 17, 2)) == (2,)
    hear(17)
    hear(18)
    assert fold.close(at(9, 19, 2)).bars["partial"].tolist() == [False, True, False, False]


def test_history_is_asked_only_for_what_ticked_in_this_session():
    fold = bars_since(at(9, 20), (1, 2))
    fold.fold(ticks((1, at(9, 20, 1), 100, 1)))
    lost = dict.fromkeys((1, 2, 9), at(9, 20, 30))
    assert fold.set_uncarried(lost, at(9, 21)) == ()
    assert fold.set_uncarried({}, at(9, 22)) == (1,)


def test_a_closed_market_has_no_minutes_to_ask_for():
    fold = MinuteBars(WALKERS[-1])
    fold.begin(None, at(20, 0))
    fold.add(np.array([1, 2]), at(20, 0))
    fold.set_uncarried({1: at(20, 0), 2: at(20, 0)}, at(20, 0))
    assert fold.set_uncarried({}, at(20, 1)) == ()


def test_a_listing_that_stays_uncarried_keeps_the_beginning_of_its_outage():
    fold = bars_since(at(9, 0), (1,))
    fold.fold(
        ticks((1, at(9, 15, 1), 100, 1), (1, at(9, 16, 1), 100, 2), (1, at(9, 17, 1), 100, 3))
    )
    fold.close(at(9, 18, 2))
    fold.set_uncarried({1: at(9, 16, 30)}, at(9, 18, 2))
    fold.set_uncarried({1: at(9, 18, 1)}, at(9, 18, 3))
    fold.set_uncarried({}, at(9, 18, 4))
    assert fold.closed.window(1)["partial"].tolist() == [False, True, True]


def test_a_stored_bar_comes_back_as_it_was_and_a_partial_one_still_gives_way_to_the_broker():
    fold = bars_since(at(9, 20), (1,))
    stored = history(*[(1, at(9, minute), 100, 100, 100, 100, 10) for minute in (15, 16)])
    stored["history"], stored["partial"] = False, [False, True]
    put = fold.backfill(stored, at(9, 20))
    assert put[["partial", "history"]].tolist() == [(False, False), (True, False)]
    told = history(*[(1, at(9, minute), 200, 200, 200, 200, 20) for minute in (15, 16)])
    fold.backfill(told, at(9, 20))
    window = fold.closed.window(1)
    assert window[["close", "partial", "history"]].tolist() == [
        (100, False, False), (200, False, True)
    ]  # fmt: skip


def test_a_partial_bar_of_the_store_never_replaces_one_that_stands():
    fold = bars_since(at(9, 0), (1,))
    fold.fold(ticks((1, at(9, 15, 1), 100, 1)))
    fold.close(at(9, 16, 2))
    fold.mark_outage(at(9, 15, 10), at(9, 15, 20))
    stored = history((1, at(9, 15), 7, 7, 7, 7, 7))
    stored["partial"] = True
    assert not len(fold.backfill(stored, at(9, 16, 2)))
    assert fold.closed.window(1)["close"].tolist() == [100]


def test_a_killed_socket_and_backfill_give_the_same_bars_as_no_outage():
    rows = [
        (1, at(9, 15 + m, s), 100 + m + s / 10, 10 * (60 * m + s))
        for m in range(4)
        for s in (1, 20, 50)
    ]
    whole, broken = bars_since(at(9, 0), (1,)), bars_since(at(9, 0), (1,))
    whole.fold(ticks(*rows))
    whole.close(at(9, 19, 2))
    broken.fold(ticks(*[row for row in rows if not at(9, 16, 10) < row[1] < at(9, 17, 40)]))
    broken.close(at(9, 19, 2))
    broken.mark_outage(at(9, 16, 10), at(9, 17, 40))
    broken.backfill(whole.closed.window(1).copy(), at(9, 19, 12))
    for name in ("start_ns", "open", "high", "low", "close", "vwap"):
        expected = whole.closed.window(1)[name]
        # The volume of the first bar after the outage is its own, so all bars agree.
        assert broken.closed.window(1)[name].tolist() == pytest.approx(expected.tolist())


def test_four_hundred_bars_are_kept_and_the_vwap_still_counts_the_pruned_ones():
    long = TradingSession(DAY, at(9, 15), at(9, 15) + 600 * NS_PER_MINUTE, 0, 0)
    fold = MinuteBars(WALKERS[-1])
    fold.begin(long, at(9, 0))
    fold.add(np.array([1]), at(9, 0))
    fold.fold(ticks(*[(1, at(9, 15) + m * NS_PER_MINUTE, 100 + m, m + 1) for m in range(460)]))
    fold.close(at(9, 15) + seconds(460 * 60 + 2))
    window = fold.closed.window(1)
    assert 400 <= len(window) <= 450
    assert window["vwap"][-1] == pytest.approx(sum(100 + m for m in range(460)) / 460)


# -- the columnar fold against one tick at a time --


class Reference:
    """The rules, one tick at a time, as the specification words them."""

    def __init__(self, listings, now_ns):
        opened = now_ns >= SESSION.opens_ns
        self.base = dict.fromkeys(listings, None if opened else 0)
        self.prior = dict.fromkeys(listings)
        self.newest = dict.fromkeys(listings, 0)
        self.bars, self.counters = {}, {}
        self.clock = max(now_ns, 0)

    def count(self, name):
        self.counters[name] = self.counters.get(name, 0) + 1

    def tick(self, listing, ts, ltp, cum, recv):
        self.clock = max(self.clock, recv)
        if listing not in self.base:
            return self.count("unknown_symbol")
        if math.isnan(ltp) or ltp <= 0:
            return self.count("bad_price")
        if ts > recv + seconds(5):
            return self.count("future")
        if self.prior[listing] == (ts, ltp, cum):
            return self.count("duplicates")
        self.prior[listing] = (ts, ltp, cum)
        base = self.base[listing]
        if not SESSION.opens_ns <= ts < SESSION.closes_ns:
            same_day = at(0, 0) <= ts < SESSION.opens_ns
            if same_day and cum is not None and (base is None or cum > base):
                self.base[listing] = cum
            return self.count("out_of_session")
        minute = ts // NS_PER_MINUTE * NS_PER_MINUTE
        if self.clock >= minute + seconds(62):
            if base is None:
                self.base[listing] = cum
            return self.count("late_dropped")
        delta = 0
        if cum is not None:
            if base is None:
                self.base[listing] = cum
            elif cum >= base:
                delta, self.base[listing] = cum - base, cum
            elif ts >= self.newest[listing]:
                self.base[listing] = cum
                self.count("volume_resets")
        self.newest[listing] = max(self.newest[listing], ts)
        self.bars.setdefault((minute, listing), []).append((ts, ltp, delta))
        return self.count("accepted")

    def table(self):
        made = []
        for (minute, listing), rows in sorted(self.bars.items()):
            first = min(rows, key=lambda row: row[0])
            last = max(enumerate(rows), key=lambda pair: (pair[1][0], pair[0]))[1]
            prices = [row[1] for row in rows]
            volume = sum(row[2] for row in rows)
            made.append(
                (minute, listing, first[1], max(prices), min(prices), last[1], volume, len(rows))
            )
        return made


@st.composite
def tick_rows(draw):
    """Ticks of three minutes: late, repeated, bad, before the open, restarting their count."""
    start = draw(st.sampled_from([at(9, 14, 30), at(9, 15), NOON]))
    received, rows = start, []
    for _ in range(draw(st.integers(1, 60))):
        received += seconds(draw(st.sampled_from([0, 0, 0.2, 1, 5, 30])))
        ts = received - seconds(draw(st.sampled_from([0, 0, 0.1, 2, 3, 61, 400, -4, -6, -90])))
        cum = draw(st.sampled_from([None, 0, 10, 20, 30, 40, 50, 60, 70, 80]))
        if draw(st.booleans()):
            cum = len(rows) * 10 + 100
        ltp = draw(st.sampled_from([100.0, 101.0, 99.5, 102.0, 0.0, math.nan]))
        rows.append((draw(st.sampled_from([1, 1, 2, 3])), ts, ltp, cum, received))
        if draw(st.integers(0, 5)) == 0:
            rows.append(rows[-1])
    return start, rows


@settings(max_examples=400, deadline=None)
@given(tick_rows(), st.lists(st.integers(1, 20), min_size=1, max_size=40))
def test_the_columnar_fold_equals_the_rules_applied_tick_by_tick(generated, sizes):
    start, rows = generated
    fold, reference = bars_since(start), Reference((1, 2), start)
    made, index = [], 0
    for size in [*sizes, len(rows)]:
        part = rows[index : index + size]
        index += size
        if part:
            fold.fold(ticks(*part))
            made.append(fold.close(part[-1][4]).bars)
    for row in rows:
        reference.tick(*row)
    made.append(fold.close(rows[-1][4] + seconds(400)).bars)
    bars = np.concatenate(made)
    got = [
        (bar["start_ns"].item(), bar["listing"].item(), *columns(bar))
        for bar in bars[np.lexsort((bars["listing"], bars["start_ns"]))]
    ]
    assert got == reference.table()
    assert {k: v for k, v in fold.counters.items() if v} == reference.counters


@pytest.mark.parametrize("size", [3, 500, 4_096])
@pytest.mark.parametrize("odd_share", [0.0, 0.02, 0.3])
def test_a_busy_market_in_batches_of_any_size_equals_the_rules(size, odd_share):
    rng = np.random.default_rng(size)
    ids, total = np.arange(3, 603, 3), 8_000
    batch = np.zeros(total, TICK_DTYPE)
    batch["listing"] = rng.choice(ids, total)
    batch["received_ns"] = NOON + np.arange(total) * (3 * NS_PER_MINUTE // total)
    batch["ts_ns"] = batch["received_ns"] - seconds(0.1)
    batch["ltp"] = 100 + rng.integers(0, 50, total) / 20
    batch["volume"] = np.where(batch["listing"] % 5 == 0, -1, np.arange(total))
    odd = rng.random(total) < odd_share
    batch["ts_ns"][odd] -= seconds(1) * rng.choice([1, 2, 70, 400, 40_000, -4, -6], odd.sum())
    batch["volume"][odd] -= rng.choice([0, 0, 500], odd.sum())
    batch["volume"][odd & (rng.random(total) < 0.1)] = -1
    batch["volume"] = np.maximum(batch["volume"], -1)
    batch["listing"][odd] += rng.choice([0, 0, 0, 1], odd.sum()).astype(np.uint32)
    batch["ltp"][odd] *= rng.choice([1, 1, 1, 0, math.nan], odd.sum())
    again = np.flatnonzero(odd)[1::2]
    batch[again] = batch[again - 1]

    fold, reference = bars_since(NOON, ids), Reference(ids.tolist(), NOON)
    for part in np.split(batch, range(size, total, size)):
        fold.fold(part)
    for row in batch[["listing", "ts_ns", "ltp", "volume", "received_ns"]].tolist():
        listing, ts, ltp, cum, received = row
        reference.tick(listing, ts, ltp, None if cum < 0 else cum, received)
    bars = fold.close(NOON + seconds(400)).bars
    got = [
        (bar["start_ns"].item(), bar["listing"].item(), *columns(bar))
        for bar in bars[np.lexsort((bars["listing"], bars["start_ns"]))]
    ]
    assert got == reference.table()
    assert {k: v for k, v in fold.counters.items() if v} == reference.counters
