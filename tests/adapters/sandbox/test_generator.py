"""The generated market: repeatable, consistent across a chain, and one with its own history."""

from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from adapters.sandbox.generator import GeneratedMarket
from domain import black76
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, NS_PER_S, epoch_ns, exchange_time
from domain.errors import ConfigurationFault
from domain.instruments import Kind
from domain.market.aggregation import QUARTER_NS
from domain.prices import BAR_DTYPE
from domain.readings import Phase
from domain.signals.indicators import is_congested
from domain.signals.regime import PhaseMemory, raw_phase, read_bars, score_of
from tests.kit.recorded_session import write_daily

DAY = date(2026, 8, 19)
START_NS = epoch_ns(datetime(2026, 8, 19, 11, 30, tzinfo=EXCHANGE_ZONE))
YEAR_AGO = DAY - timedelta(days=365)


def market_of(seed=7, start_ns=START_NS, **options):
    return GeneratedMarket(seed, start_ns, **options)


@pytest.fixture(scope="module")
def shared():
    """A market nobody moves."""
    return market_of()


def index_id(market, name="NIFTY"):
    return market.index.get("NSE_INDEX", name).listing_id


def test_the_same_seed_start_and_steps_give_the_same_ticks():
    one, other = market_of(), market_of()
    for after_s in (1, 2, 6, 7):
        to_ns = START_NS + after_s * NS_PER_S
        assert one.advance(to_ns).tobytes() == other.advance(to_ns).tobytes()


def test_another_seed_gives_another_market():
    one, other = market_of(seed=1), market_of(seed=2)
    for market in (one, other):
        market.advance(START_NS + 5 * NS_PER_S)
    assert one.quote(index_id(one)).ltp != other.quote(index_id(other)).ltp


def test_ticks_come_in_time_order_once_and_only_when_due():
    market = market_of()
    assert market.next_ns() == START_NS + NS_PER_S
    assert len(market.advance(START_NS + NS_PER_S - 1)) == 0
    ticks = market.advance(START_NS + 5 * NS_PER_S)
    assert np.all(np.diff(ticks["ts_ns"]) >= 0)
    assert ticks["ts_ns"][0] == START_NS + NS_PER_S
    assert ticks["ts_ns"][-1] == START_NS + 5 * NS_PER_S
    assert len(market.advance(START_NS + 5 * NS_PER_S)) == 0
    assert not market.ended


def test_only_watched_listings_tick_and_the_others_can_still_be_asked_for():
    market = market_of()
    nifty = index_id(market)
    option = market.index.chain("NIFTY", market.index.expiries("NIFTY", DAY)[0])[100]
    before = market.quote(option.listing_id)
    market.watch([nifty, 999_999])
    ticks = market.advance(START_NS + 600 * NS_PER_S)
    assert set(ticks["listing"]) == {nifty}
    after = market.quote(option.listing_id)
    assert after.ts_ns == START_NS + 600 * NS_PER_S
    assert (after.ltp, after.volume) != (before.ltp, before.volume)
    assert market.quote(999_999) is None


def test_a_quiet_listing_is_told_again_before_it_counts_as_stale():
    market = market_of()
    some = list(market.index.by_id)[::20]
    market.watch(some)
    seen = market.advance(START_NS + 30 * NS_PER_S)
    for listing in some:
        times = seen["ts_ns"][seen["listing"] == listing]
        assert len(times) >= 9
        assert np.diff(times).max() <= 3 * NS_PER_S


def test_an_index_has_no_book_and_a_contract_has_one(shared):
    nifty = shared.quote(index_id(shared))
    assert (nifty.bid, nifty.ask, nifty.volume) == (0, 0, 0)
    assert shared.depth(index_id(shared)) == ([], [])
    future = next(row for row in shared.index.by_id.values() if row.kind is Kind.FUTURE)
    quote = shared.quote(future.listing_id)
    assert quote.bid < quote.ask
    bids, asks = shared.depth(future.listing_id)
    assert (len(bids), len(asks)) == (5, 5)


def test_every_price_stands_on_its_tick_inside_its_own_day(shared):
    for listing in shared.index.by_id.values():
        quote = shared.quote(listing.listing_id)
        tick = float(listing.tick_size)
        assert quote.low <= quote.ltp <= quote.high, listing.symbol
        for price in (quote.ltp, quote.bid, quote.ask):
            assert round(price / tick) * tick == pytest.approx(price, abs=1e-6), listing.symbol
        assert quote.ltp > 0
        assert quote.bid == quote.ask == 0 or quote.bid < quote.ask


def mids(market, expiry):
    quotes = {
        (float(row.strike), row.kind): market.quote(row.listing_id)
        for row in market.index.chain("NIFTY", expiry)
    }
    strikes = sorted({strike for strike, _kind in quotes})
    calls, puts = (
        np.array([quotes[(strike, kind)].ltp for strike in strikes])
        for kind in (Kind.CALL, Kind.PUT)
    )
    return np.array(strikes), calls, puts


def test_parity_holds_across_every_chain(shared):
    spot = shared.quote(index_id(shared)).ltp
    for expiry in shared.index.expiries("NIFTY", DAY):
        strikes, calls, puts = mids(shared, expiry)
        close = datetime(expiry.year, expiry.month, expiry.day, 15, 40, tzinfo=EXCHANGE_ZONE)
        years = (epoch_ns(close) - START_NS) / (365 * 24 * 3600 * NS_PER_S)
        forward = black76.forward_of(spot, years, rate=0.06)
        assert calls - puts == pytest.approx(np.exp(-0.06 * years) * (forward - strikes), abs=0.2)


def test_no_spread_of_a_chain_earns_for_nothing(shared):
    """Calls fall and puts rise with the strike; and a butterfly never costs less than nothing."""
    for expiry in shared.index.expiries("NIFTY", DAY):
        _strikes, calls, puts = mids(shared, expiry)
        assert np.all(np.diff(calls) <= 0)
        assert np.all(np.diff(puts) >= 0)
        assert np.diff(calls, 2).min() >= -0.21  # four roundings of half a tick and one of two


def test_puts_below_the_money_are_dearer_in_volatility_than_calls_above(shared):
    expiry = shared.index.expiries("NIFTY", DAY)[-1]
    strikes, calls, puts = mids(shared, expiry)
    close = datetime(expiry.year, expiry.month, expiry.day, 15, 40, tzinfo=EXCHANGE_ZONE)
    years = (epoch_ns(close) - START_NS) / (365 * 24 * 3600 * NS_PER_S)
    forward = float(black76.forward_of(shared.quote(index_id(shared)).ltp, years, rate=0.06))
    terms = {"years": years, "rate": 0.06}
    low = black76.implied_volatility(puts[10], forward, strikes[10], is_call=False, **terms)
    high = black76.implied_volatility(calls[-10], forward, strikes[-10], is_call=True, **terms)
    assert low > high


def test_an_expiry_within_the_30_to_45_day_band_is_listed_on_any_day():
    for ahead in (0, 9, 23):
        start_ns = START_NS + ahead * 24 * 60 * NS_PER_MINUTE
        market = market_of(start_ns=start_ns)
        today = exchange_time(start_ns).date()
        days = [(day - today).days for day in market.index.expiries("NIFTY", today)]
        assert any(30 <= one <= 45 for one in days), days


def test_volume_grows_and_open_interest_never_shrinks_within_a_day():
    market = market_of()
    chain = market.index.chain("NIFTY", market.index.expiries("NIFTY", DAY)[0])[80:120]
    market.watch(row.listing_id for row in chain)
    ticks = market.advance(START_NS + 300 * NS_PER_S)
    for row in chain:
        own = ticks[ticks["listing"] == row.listing_id]
        assert np.all(own["volume"] % row.lot_size == 0)
        assert np.all(np.diff(own["volume"]) >= 0)
        assert own["volume"][-1] > own["volume"][0]
        assert np.all(np.diff(own["open_interest"]) >= 0)


def test_a_new_day_begins_with_yesterdays_last_price_as_previous_close():
    late = epoch_ns(datetime(2026, 8, 19, 23, 59, 58, tzinfo=EXCHANGE_ZONE))
    market = market_of(start_ns=late)
    market.advance(late + NS_PER_S)
    last = market.quote(index_id(market)).ltp
    market.advance(late + 2 * NS_PER_S)
    quote = market.quote(index_id(market))
    assert quote.prev_close == last
    assert quote.open == quote.ltp == quote.high == quote.low


def test_daily_history_reaches_back_over_a_year_of_trading_days(shared):
    nifty = shared.index.get("NSE_INDEX", "NIFTY")
    bars = shared.history(nifty, "D", date(2024, 1, 1), DAY)
    assert len(bars) >= 300
    starts = [datetime.fromtimestamp(bar.start_ns / 1e9, tz=EXCHANGE_ZONE) for bar in bars]
    weekends = [one.date() for one in starts[-200:] if one.weekday() >= 5]
    assert weekends == [date(2026, 2, 1)]  # the budget's Sunday
    assert all(bar.low <= min(bar.open, bar.close) for bar in bars)
    assert all(bar.high >= max(bar.open, bar.close) for bar in bars)


def test_intraday_history_folds_into_the_daily_bar(shared):
    nifty = shared.index.get("NSE_INDEX", "NIFTY")
    yesterday = date(2026, 8, 18)
    (daily,) = shared.history(nifty, "D", yesterday, yesterday)
    for interval in ("1m", "15m"):
        bars = shared.history(nifty, interval, yesterday, yesterday)
        assert bars[0].open == daily.open
        assert bars[-1].close == daily.close
        assert max(bar.high for bar in bars) == daily.high
        assert min(bar.low for bar in bars) == daily.low


@pytest.mark.parametrize("name", ["NIFTY", "RELIANCE", "INDIAVIX"])
@pytest.mark.parametrize("files", [False, True], ids=["generated", "from files"])
def test_a_part_of_the_history_is_that_part_of_the_whole(name, files, tmp_path):
    if files:
        write_daily(tmp_path, "nifty", closes=[24_000 + n for n in range(40)], last=DAY)
    market = market_of(history_dir=tmp_path if files else None)
    listing = market.index.underlying(name)
    whole = market.history(listing, "1m", DAY - timedelta(days=90), DAY)
    for days in (1, 12, 45):
        part = market.history(listing, "1m", DAY - timedelta(days=days), DAY)
        assert part == whole[-len(part) :]
        assert len(part) > 100


def test_bars_start_with_the_session_and_never_lie_in_the_future(shared):
    nifty = shared.index.get("NSE_INDEX", "NIFTY")
    bars = shared.history(nifty, "15m", DAY, DAY + timedelta(days=5))
    opens = epoch_ns(datetime(2026, 8, 19, 9, 15, tzinfo=EXCHANGE_ZONE))
    assert bars[0].start_ns == opens
    assert bars[-1].start_ns <= START_NS
    assert len(shared.history(nifty, "15m", DAY - timedelta(days=20), DAY)) >= 200


def test_history_meets_the_live_path():
    market = market_of()
    nifty = market.index.get("NSE_INDEX", "NIFTY")
    first = market.quote(nifty.listing_id).ltp
    before = market.history(nifty, "1m", DAY, DAY)[-2]
    assert before.close == pytest.approx(first, abs=0.06)
    market.advance(START_NS + 120 * NS_PER_S)
    bars = market.history(nifty, "1m", DAY, DAY)
    assert bars[-1].close == pytest.approx(market.quote(nifty.listing_id).ltp, abs=0.06)
    assert bars[-1].start_ns == START_NS + 2 * NS_PER_MINUTE


AT_ANY_HOUR = {
    "before the bell": datetime(2026, 8, 19, 7, 28, 17, tzinfo=EXCHANGE_ZONE),
    "in the session": datetime(2026, 8, 19, 11, 30, tzinfo=EXCHANGE_ZONE),
    "after midnight": datetime(2026, 8, 20, 0, 0, 30, tzinfo=EXCHANGE_ZONE),
    "on a Sunday": datetime(2026, 8, 23, 21, 52, tzinfo=EXCHANGE_ZONE),
}


def quarters(market, at_ns):
    """The closed quarters of an hour that a warm start reads at that moment."""
    day = exchange_time(at_ns).date()
    nifty = market.index.get("NSE_INDEX", "NIFTY")
    bars = market.history(nifty, "15m", day - timedelta(days=21), day)
    return [bar for bar in bars if bar.start_ns + QUARTER_NS <= at_ns][-200:]


@pytest.mark.parametrize("hour", AT_ANY_HOUR)
def test_an_always_open_market_has_a_history_without_a_pause_into_the_live_path(hour):
    start_ns = epoch_ns(AT_ANY_HOUR[hour])
    market = market_of(start_ns=start_ns, always_open=True)
    market.watch([market.index.get("NSE_INDEX", "NIFTY").listing_id])
    for now_ns in (start_ns, start_ns + 2 * QUARTER_NS):
        market.advance(now_ns)
        bars = quarters(market, now_ns)
        starts = np.array([bar.start_ns for bar in bars])
        assert len(bars) == 200
        assert set(np.diff(starts)) == {QUARTER_NS}
        assert now_ns - starts[-1] < 2 * QUARTER_NS
        steps = np.array([after.open / bar.close - 1 for bar, after in pairwise(bars)])
        assert np.abs(steps).max() < 0.002


@pytest.mark.parametrize("hour", AT_ANY_HOUR)
@pytest.mark.parametrize("seed", range(4))
def test_an_always_open_squeeze_is_one_at_any_hour(hour, seed):
    start_ns = epoch_ns(AT_ANY_HOUR[hour])
    market = market_of(seed, start_ns, scenario="congestion", always_open=True)
    bars = np.zeros(200, BAR_DTYPE)
    for row, bar in zip(bars, quarters(market, start_ns), strict=True):
        row["start_ns"], row["vwap"] = bar.start_ns, np.nan
        row["open"], row["high"], row["low"], row["close"] = bar.open, bar.high, bar.low, bar.close
    memory = PhaseMemory()
    for end in range(len(bars) - 40, len(bars) + 1):
        reading = read_bars(bars[:end], "15m")
        raw = raw_phase(reading, score_of(reading, 16.8, None), "NEUTRAL")
        memory = memory.with_bar(reading.start_ns, raw)
    assert memory.ruling is Phase.CONGESTION


def test_a_market_with_hours_ends_its_history_at_the_last_close():
    start_ns = epoch_ns(AT_ANY_HOUR["on a Sunday"])
    last = quarters(market_of(start_ns=start_ns), start_ns)[-1]
    assert last.start_ns == epoch_ns(datetime(2026, 8, 21, 15, 30, tzinfo=EXCHANGE_ZONE))


def test_a_seed_is_the_same_always_open_market_at_any_hour():
    def moves(start_ns):
        market = market_of(start_ns=start_ns, always_open=True)
        day = exchange_time(start_ns).date()
        nifty = market.index.get("NSE_INDEX", "NIFTY")
        bars = market.history(nifty, "1m", day - timedelta(days=2), day)
        return [bar.close for bar in bars if bar.start_ns < start_ns][-1_000:]

    assert moves(START_NS) == moves(START_NS + 5 * 3_600 * NS_PER_S)


def test_an_option_has_bars_that_end_at_its_price(shared):
    option = shared.index.chain("NIFTY", shared.index.expiries("NIFTY", DAY)[1])[100]
    bars = shared.history(option, "1m", DAY, DAY)
    assert bars[-1].close == pytest.approx(shared.quote(option.listing_id).ltp, abs=0.1)
    assert shared.history(option, "D", YEAR_AGO, YEAR_AGO + timedelta(days=30)) == []
    with pytest.raises(ValueError, match="2h"):
        shared.history(option, "2h", DAY, DAY)


@pytest.mark.parametrize("seed", range(6))
def test_the_congestion_scenario_is_a_squeeze_with_rich_implied_volatility(seed):
    market = market_of(seed, scenario="congestion")
    nifty = market.index.get("NSE_INDEX", "NIFTY")
    vix = market.index.get("NSE_INDEX", "INDIAVIX")
    bars = market.history(nifty, "15m", DAY - timedelta(days=20), DAY)[:-1][-200:]
    high, low, close = (
        np.array([getattr(bar, name) for bar in bars]) for name in ("high", "low", "close")
    )
    assert is_congested(high, low, close)
    daily = market.history(nifty, "D", YEAR_AGO, DAY - timedelta(days=1))
    returns = np.diff(np.log([bar.close for bar in daily[-31:]]))
    realised = returns.std(ddof=1) * np.sqrt(252)
    year = np.array([bar.close for bar in market.history(vix, "D", YEAR_AGO, DAY)])
    now = market.quote(vix.listing_id).ltp
    assert 0.96 * now / 100 / realised >= 1.25
    assert (now - year.min()) / (year.max() - year.min()) > 0.5
    assert np.mean(year < now) > 0.5
    assert 15 <= now <= 25


def after_an_hour(scenario):
    market = market_of(scenario=scenario)
    market.watch([])
    nifty, vix = index_id(market), index_id(market, "INDIAVIX")
    before = market.quote(nifty).ltp
    market.advance(START_NS + 3_600 * NS_PER_S)
    return market.quote(nifty).ltp / before - 1, market.quote(vix).ltp


def test_a_crash_falls_about_six_percent_in_an_hour_and_lifts_the_volatility_index():
    change, points = after_an_hour("crash")
    assert -0.08 < change < -0.04
    assert points > 40


def test_a_gap_falls_at_once():
    market = market_of(scenario="gap")
    before = market.quote(index_id(market)).ltp
    market.advance(START_NS + NS_PER_S)
    assert market.quote(index_id(market)).ltp / before - 1 == pytest.approx(-0.025, abs=0.003)


def test_an_unknown_scenario_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationFault, match="calm, congestion"):
        market_of(scenario="moonshot")


def test_daily_files_are_the_history_and_the_market_goes_on_from_them(tmp_path):
    closes = [24_000 + 10 * n for n in range(60)]
    write_daily(tmp_path, "nifty", closes=closes, last=date(2026, 8, 18))
    market = market_of(history_dir=tmp_path)
    nifty = market.index.get("NSE_INDEX", "NIFTY")
    bars = market.history(nifty, "D", YEAR_AGO, date(2026, 8, 18))
    assert [bar.close for bar in bars[-60:]] == closes
    (day,) = market.history(nifty, "D", date(2026, 8, 18), date(2026, 8, 18))
    minutes = market.history(nifty, "1m", date(2026, 8, 18), date(2026, 8, 18))
    assert max(bar.high for bar in minutes) <= day.high * 1.001
    assert market.quote(nifty.listing_id).prev_close == closes[-1]
    assert market.quote(nifty.listing_id).ltp == pytest.approx(closes[-1], rel=0.02)


def test_a_long_pause_moves_in_coarser_steps_and_ends_on_time():
    market = market_of()
    market.watch([index_id(market)])
    ticks = market.advance(START_NS + 17 * 3_600 * NS_PER_S)
    assert len(ticks) <= 2_100
    assert ticks["ts_ns"][-1] == START_NS + 17 * 3_600 * NS_PER_S
