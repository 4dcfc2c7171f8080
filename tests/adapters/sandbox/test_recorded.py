"""The recorded market: what it lets out, what it makes up, and what it does with bad files."""

import gzip
import os
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.sandbox.recorded import RecordedMarket
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, NS_PER_S, epoch_ns
from domain.errors import BadMarketData
from domain.prices import TICK_DTYPE
from tests.kit.recorded_session import (
    EXPIRIES,
    HEADER,
    START,
    session_rows,
    write_daily,
    write_rows,
    write_session,
)

START_NS = epoch_ns(START)
FRONT, BACK = EXPIRIES
OPTIONS = 2 * 2 * 20  # expiries, call and put, strikes


@pytest.fixture
def market(tmp_path):
    return RecordedMarket(write_session(tmp_path / "nifty.csv", minutes=3))


def one_option(market, strike=24_000, kind="CE"):
    chain = market.index.chain("NIFTY", FRONT)
    return next(row for row in chain if row.strike == strike and row.kind == kind)


def rows_with(**cells):
    """A minute of good rows, and one like its last but for these cells."""
    rows = session_rows(minutes=1)
    bad = dict(zip(HEADER, rows[-1], strict=True)) | cells
    return [*rows, list(bad.values())]


def test_nothing_is_known_before_the_first_row_is_due(market):
    assert market.next_ns() == START_NS
    assert len(market.advance(START_NS - 1)) == 0
    assert market.quote(one_option(market).listing_id) is None
    assert market.depth(one_option(market).listing_id) == ([], [])


def test_each_minute_lets_out_the_index_the_volatility_index_and_every_option(market):
    first = market.advance(START_NS)
    assert first.dtype == TICK_DTYPE
    assert len(first) == OPTIONS + 2
    assert set(first["ts_ns"]) == {START_NS}
    assert market.next_ns() == START_NS + NS_PER_MINUTE
    rest = market.advance(START_NS + 10 * NS_PER_MINUTE)
    assert len(rest) == 2 * (OPTIONS + 2)
    assert np.all(np.diff(rest["ts_ns"]) >= 0)
    assert market.ended
    assert market.next_ns() is None


def test_the_underlying_is_told_before_its_options(market):
    underlying = market.index.get("NSE_INDEX", "NIFTY")
    assert market.advance(START_NS)["listing"][0] == underlying.listing_id


def test_going_back_in_time_lets_nothing_out_twice(market):
    market.advance(START_NS + NS_PER_MINUTE)
    assert len(market.advance(START_NS)) == 0
    assert len(market.advance(START_NS + NS_PER_MINUTE)) == 0


def test_a_tick_carries_the_row_in_units_and_decimals(market):
    option = one_option(market)
    ticks = market.advance(START_NS)
    row = next(
        row for row in session_rows(minutes=1) if row[1:4] == [FRONT.isoformat(), "24000", "CE"]
    )
    tick = ticks[ticks["listing"] == option.listing_id][0]
    assert tick["ltp"] == float(row[5])
    assert tick["volume"] == 1_000 * 65  # contracts of 65
    assert tick["open_interest"] == 5_000 * 65
    assert tick["iv"] == pytest.approx(0.16)


@pytest.mark.parametrize("absent", ["0", "0.1", ""])
def test_an_iv_the_exchange_did_not_publish_is_absent(tmp_path, absent):
    rows = session_rows(minutes=1)
    rows[0][8] = absent
    ticks = RecordedMarket(write_rows(tmp_path / "nifty.csv", rows)).advance(START_NS)
    assert np.isnan(ticks["iv"][ticks["listing"] >= 3]).sum() == 1


def test_the_book_stands_around_the_recorded_price_on_the_tick_grid(market):
    market.advance(START_NS)
    for option in market.index.chain("NIFTY", FRONT):
        quote = market.quote(option.listing_id)
        assert quote.bid <= quote.ltp <= quote.ask
        assert quote.ask - quote.bid >= 0.05 - 1e-9
        assert round(quote.ask * 20) == pytest.approx(quote.ask * 20)


def test_far_strikes_quote_a_wider_book_for_their_price_than_near_ones(market):
    market.advance(START_NS)
    near = market.quote(one_option(market, 24_050).listing_id)
    far = market.quote(one_option(market, 23_600, "PE").listing_id)
    assert (far.ask - far.bid) / far.ltp > (near.ask - near.bid) / near.ltp


def test_depth_has_five_levels_best_first(market):
    option = one_option(market)
    market.advance(START_NS)
    quote = market.quote(option.listing_id)
    bids, asks = market.depth(option.listing_id)
    assert len(bids) == len(asks) == 5
    assert (bids[0][0], asks[0][0]) == (quote.bid, quote.ask)
    assert [level[0] for level in bids] == sorted((level[0] for level in bids), reverse=True)
    assert all(level[1] % 65 == 0 and level[1] > 0 for level in bids + asks)


def test_the_volatility_index_of_a_flat_smile_is_near_that_volatility(market):
    """Twenty strikes cut the wings of the monthly chain off, so the index lies a little below."""
    market.advance(START_NS)
    points = market.quote(market.index.get("NSE_INDEX", "INDIAVIX").listing_id)
    assert 10.0 < points.ltp <= 16.1


def test_what_the_file_does_not_say_is_labelled(market):
    assert set(market.derived) == {"spread", "depth", "volatility_index"}


def test_the_days_range_is_that_of_the_rows_so_far(tmp_path):
    spots = [24_050.0, 24_100.0, 24_000.0]
    market = RecordedMarket(write_session(tmp_path / "nifty.csv", minutes=3, spots=spots))
    index = market.index.get("NSE_INDEX", "NIFTY").listing_id
    market.advance(START_NS + NS_PER_MINUTE)
    quote = market.quote(index)
    assert (quote.open, quote.high, quote.low, quote.ltp) == (24_050, 24_100, 24_050, 24_100)
    market.advance(START_NS + 2 * NS_PER_MINUTE)
    assert market.quote(index).low == 24_000


def test_the_master_takes_lot_and_freeze_quantity_from_the_seed(market):
    option = one_option(market)
    assert (option.exchange, option.symbol) == ("NFO", "NIFTY25AUG2624000CE")
    assert (option.lot_size, option.freeze_quantity) == (65, 1_800)
    assert market.index.expiries("NIFTY", date(2026, 8, 19)) == [FRONT, BACK]


@pytest.mark.parametrize(
    ("file", "underlying", "named", "exchange"),
    [
        ("banknifty-chain.csv", "", "BANKNIFTY", "NSE_INDEX"),
        ("session.csv", "", "NIFTY", "NSE_INDEX"),
        ("session.csv", "sensex", "SENSEX", "BSE_INDEX"),
    ],
)
def test_the_underlying_is_the_one_named_or_the_files_or_nifty(
    tmp_path, file, underlying, named, exchange
):
    path = write_session(tmp_path / file, minutes=1)
    assert RecordedMarket(path, underlying=underlying).index.find(exchange, named)


def test_an_unknown_underlying_is_refused(tmp_path):
    path = write_session(tmp_path / "session.csv", minutes=1)
    with pytest.raises(BadMarketData, match="DOWJONES"):
        RecordedMarket(path, underlying="DOWJONES")


def test_daily_history_ends_the_day_before_the_recorded_one(tmp_path):
    write_daily(tmp_path, "nifty", closes=[24_000, 24_100, 24_200], last=date(2026, 8, 20))
    write_daily(tmp_path, "india-vix", closes=[12.5, 13.5], last=date(2026, 8, 18))
    session = write_session(tmp_path / "nifty.csv", minutes=2)
    market = RecordedMarket(session, history_dir=tmp_path)
    nifty = market.index.get("NSE_INDEX", "NIFTY")
    vix = market.index.get("NSE_INDEX", "INDIAVIX")
    year = (date(2026, 1, 1), date(2026, 12, 31))
    assert [bar.close for bar in market.history(nifty, "D", *year)] == [24_000]
    assert [bar.close for bar in market.history(vix, "D", *year)] == [12.5, 13.5]
    market.advance(START_NS)
    assert market.quote(nifty.listing_id).prev_close == 24_000


def test_no_intraday_bar_is_known_before_its_row_was_let_out(market):
    nifty = market.index.get("NSE_INDEX", "NIFTY")
    today = (date(2026, 8, 19), date(2026, 8, 19))
    assert market.history(nifty, "1m", *today) == []
    market.advance(START_NS + NS_PER_MINUTE)
    bars = market.history(nifty, "1m", *today)
    assert [bar.start_ns for bar in bars] == [START_NS, START_NS + NS_PER_MINUTE]
    assert market.history(nifty, "1m", date(2026, 8, 10), date(2026, 8, 18)) == []
    with pytest.raises(ValueError, match="7m"):
        market.history(nifty, "7m", *today)


@pytest.mark.parametrize("name", ["nifty.csv", "nifty.csv.gz"])
def test_plain_and_gzipped_files_are_read_alike(tmp_path, name):
    market = RecordedMarket(write_session(tmp_path / name, minutes=2))
    assert market.counts == {"rows": 2 * OPTIONS}
    assert market.warnings == []


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"ltp": "nan"}, "bad_price"),
        ({"ltp": "-4.5"}, "bad_price"),
        ({"ltp": "0"}, "bad_price"),
        ({"ltp": "inf"}, "bad_price"),
        ({"spot": "0"}, "bad_price"),
        ({"ltp": "four"}, "unreadable"),
        ({"ts": "yesterday"}, "unreadable"),
        ({"expiry": "2026-02-30"}, "unreadable"),
        ({"type": "XX"}, "unreadable"),
        ({"type": "FUT"}, "unreadable"),
        ({"strike": "NaN"}, "unreadable"),
        ({"strike": "-50"}, "bad_strike"),
        ({"volume": "-1"}, "bad_quantity"),
        ({"expiry": "2026-08-18"}, "expired"),
        ({"ts": "2026-08-19T11:26:59+05:30"}, "time_back"),
    ],
)
def test_a_bad_row_is_skipped_counted_and_named_and_the_rest_is_used(tmp_path, cells, reason):
    market = RecordedMarket(write_rows(tmp_path / "nifty.csv", rows_with(**cells)))
    assert market.counts == {"rows": OPTIONS + 1, reason: 1}
    assert f"nifty.csv line {OPTIONS + 2} skipped" in market.warnings[0]
    assert len(market.advance(START_NS + NS_PER_MINUTE)) == OPTIONS + 2


def test_a_short_row_is_skipped(tmp_path):
    rows = [*session_rows(minutes=1), ["2026-08-19T11:28:00+05:30", "2026-08-25"]]
    assert RecordedMarket(write_rows(tmp_path / "nifty.csv", rows)).counts["short"] == 1


def test_many_bad_rows_are_counted_but_only_the_first_three_are_told(tmp_path):
    rows = session_rows(minutes=1)
    for row in rows[:30]:
        row[5] = "-1"
    market = RecordedMarket(write_rows(tmp_path / "nifty.csv", rows))
    assert market.counts["bad_price"] == 30
    assert len(market.warnings) == 3


def test_columns_may_stand_in_another_order(tmp_path):
    rows = [list(reversed(row)) for row in session_rows(minutes=1)]
    path = write_rows(tmp_path / "nifty.csv", rows, list(reversed(HEADER)))
    assert RecordedMarket(path).counts == {"rows": OPTIONS}


def test_a_truncated_gzip_is_used_up_to_where_it_ends(tmp_path):
    whole = write_session(tmp_path / "whole.csv.gz", minutes=30).read_bytes()
    cut = tmp_path / "nifty.csv.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    market = RecordedMarket(cut)
    assert 0 < market.counts["rows"] < 30 * OPTIONS
    assert any("cut short" in sentence for sentence in market.warnings)
    assert len(market.advance(START_NS)) == OPTIONS + 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"ts,expiry,strike,type,spot,ltp,volume,oi\n", "column iv is missing"),
        (",".join(HEADER).encode() + b"\n", "no usable row"),
        (b"\xff\xfe\x00\x01\n", "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_name_and_rule(tmp_path, content, said):
    path = tmp_path / "nifty.csv"
    path.write_bytes(content)
    with pytest.raises(BadMarketData, match=said) as refusal:
        RecordedMarket(path)
    assert "nifty.csv" in str(refusal.value)


def test_a_missing_file_a_folder_and_a_false_gzip_are_refused(tmp_path):
    false = tmp_path / "nifty.csv.gz"
    false.write_bytes(b"ts,expiry\n")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"ts")[:5])
    for path in (tmp_path / "none.csv", tmp_path, false, cut):
        with pytest.raises(BadMarketData):
            RecordedMarket(path)


def test_a_missing_history_folder_is_refused_and_a_bad_history_row_is_told(tmp_path):
    session = write_session(tmp_path / "nifty.csv", minutes=1)
    with pytest.raises(BadMarketData, match="history folder"):
        RecordedMarket(session, history_dir=tmp_path / "none")
    daily = write_daily(tmp_path, "nifty", closes=[24_000, 24_100])
    daily.write_text(daily.read_text() + "2026-08-18,1,0.5,2,1\n2026-08-18,x,1,1,1\n")
    market = RecordedMarket(session, history_dir=tmp_path)
    assert "2 rows skipped" in market.warnings[0]


def test_an_option_past_the_lists_end_keeps_ticking_on_its_last_day(tmp_path):
    start = datetime(2026, 8, 25, 15, 38, tzinfo=EXCHANGE_ZONE)
    market = RecordedMarket(write_session(tmp_path / "nifty.csv", minutes=3, start=start))
    ticks = market.advance(epoch_ns(start + timedelta(minutes=3)))
    assert np.all(ticks["ltp"] > 0)
    assert not np.any(np.isnan(ticks["ask"][ticks["listing"] >= 3]))


@pytest.mark.skipif(
    "TOMIC_TEST_DATA" not in os.environ, reason="TOMIC_TEST_DATA names no folder of recorded data"
)
def test_a_real_recorded_session_is_read_whole():
    folder = Path(os.environ["TOMIC_TEST_DATA"])
    path = next(folder.glob("*option-chain*.csv.gz"))
    market = RecordedMarket(path, history_dir=folder)
    with gzip.open(path, "rt") as text:
        lines = sum(1 for _ in text) - 1
    assert market.counts == {"rows": lines}
    assert market.warnings == []
    count = 0
    while not market.ended:
        count += np.count_nonzero(market.advance(market.next_ns())["listing"] >= 3)
    assert count == lines
    vix = market.index.get("NSE_INDEX", "INDIAVIX")
    history = market.history(vix, "D", date(2000, 1, 1), market.day)
    assert len(history) >= 60
    assert history[-1].close * 0.6 < market.quote(vix.listing_id).ltp < history[-1].close * 1.6
    assert market.end_ns - market.start_ns > 60 * NS_PER_S
