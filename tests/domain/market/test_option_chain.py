"""A chain from ticks: volatility, greeks, forward, and what its summary says."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.black76 import forward_of, price
from domain.clock import seconds
from domain.instruments import Kind, Listing, option_symbol
from domain.market.chain_readings import (
    constant_maturity_iv,
    gamma_exposure,
    interest_walls,
    iv_at_delta,
    max_pain,
    put_call_ratio,
)
from domain.market.chains import NS_PER_DAY, Carry, OptionChain, price_chains
from domain.prices import CHAIN_DTYPE, MODE_DEPTH, TICK_DTYPE

EXPIRY = date(2026, 12, 1)
NOW = 1_795_149_900_000_000_000
CARRY = Carry(risk_free=0.06, dividend_yield=0.0, synthetic=True)


def option(number, strike, kind) -> Listing:
    strike = Decimal(strike)
    return Listing(
        number, "NFO", option_symbol("NIFTY", EXPIRY, strike, kind), "NIFTY", kind, 65,
        Decimal("0.05"), 1800, EXPIRY, strike,
    )  # fmt: skip


def chain_of(strikes, days=7.0) -> OptionChain:
    chain = OptionChain("NIFTY", EXPIRY, NOW + round(days * NS_PER_DAY))
    pairs = [(strike, kind) for strike in strikes for kind in (Kind.PUT, Kind.CALL)]
    chain.track([option(100 + i, strike, kind) for i, (strike, kind) in enumerate(pairs)])
    return chain


def ticks(chain, prices, **columns):
    batch = np.zeros(len(prices), TICK_DTYPE)
    batch["ltp"], batch["mode"] = prices, MODE_DEPTH
    batch["ts_ns"] = batch["received_ns"] = NOW
    batch["listing"] = chain.columns["listing"][: len(prices)]
    for name in ("bid", "ask", "iv"):
        batch[name] = np.nan
    batch["volume"] = batch["open_interest"] = -1
    for name, values in columns.items():
        batch[name] = values
    return batch


def hear(chain, prices, **columns):
    chain.hear(np.arange(len(prices)), ticks(chain, prices, **columns))


def priced(chain, spot, now_ns, carry, stands_ns=0):
    """The summary of one chain, priced alone."""
    return price_chains([(chain, spot)], now_ns, carry, stands_ns)[0]


def theoretical(chain, spot, volatility, days=7.0):
    years, rows = days / 365, chain.columns
    forward = forward_of(spot, years, rate=0.06)
    return price(
        forward, rows["strike"], years, volatility=volatility, rate=0.06, is_call=rows["is_call"]
    )


def test_rows_stand_by_strike_with_calls_first():
    chain = chain_of([24_100, 24_000])
    assert chain.columns["strike"].tolist() == [24_000, 24_000, 24_100, 24_100]
    assert chain.columns["is_call"].tolist() == [True, False, True, False]


def test_the_volatility_that_made_the_prices_is_found_again():
    chain = chain_of(range(23_000, 25_001, 100))
    hear(chain, theoretical(chain, 24_000, 0.14))
    summary = priced(chain, 24_000, NOW, CARRY)
    assert summary.atm_strike == 24_000
    assert summary.atm_iv == pytest.approx(0.14, abs=1e-6)
    assert summary.put_iv_25d == pytest.approx(0.14, abs=1e-4)
    assert summary.call_iv_25d == pytest.approx(0.14, abs=1e-4)
    assert summary.days_to_expiry == pytest.approx(7)
    assert summary.iv_source == "synthetic"
    assert summary.forward == pytest.approx(24_000 * math.exp(0.06 * 7 / 365))


def test_the_worked_greeks_of_a_call_at_200_hold():
    # S = K = 24000, 7 days, 6 %, call 200: the figures of `tomic.md` 8.5.
    chain = OptionChain("NIFTY", EXPIRY, NOW + 7 * NS_PER_DAY)
    chain.track([option(100, 24_000, Kind.CALL)])
    hear(chain, [200.0])
    priced(chain, 24_000, NOW, CARRY)
    row = chain.columns[0]
    assert row["iv"] == pytest.approx(0.14027, abs=5e-6)
    assert row["delta"] == pytest.approx(0.5275, abs=5e-5)
    assert row["gamma"] == pytest.approx(0.000854, abs=5e-7)
    assert row["theta"] == pytest.approx(-15.30, abs=5e-3)
    assert row["vega"] == pytest.approx(13.23, abs=5e-3)


def test_the_forward_comes_from_parity_and_not_from_a_lagging_spot():
    chain = chain_of(range(23_500, 24_501, 100))
    hear(chain, theoretical(chain, 24_060, 0.14))
    assert priced(chain, 24_000, NOW, CARRY).forward == pytest.approx(
        24_060 * math.exp(0.06 * 7 / 365), abs=0.01
    )


def test_old_prices_have_no_say_in_the_forward():
    chain = chain_of(range(23_500, 24_501, 100))
    hear(chain, theoretical(chain, 24_060, 0.14))
    later = NOW + seconds(31)
    years = (7 * 86_400 - 31) / 86_400 / 365
    assert priced(chain, 24_000, later, CARRY).forward == pytest.approx(
        24_000 * math.exp(0.06 * years)
    )


def test_a_feeds_volatility_goes_before_ours_and_percent_is_understood():
    chain = chain_of([24_000])
    hear(chain, [200.0, 180.0], iv=[18.0, 0.17])
    summary = priced(chain, 24_000, NOW, CARRY)
    assert chain.columns["iv"].tolist() == pytest.approx([0.18, 0.17])
    assert summary.atm_iv == pytest.approx(0.175)
    assert summary.iv_source == "feed"
    assert chain.iv_sources == {"feed": 2, "synthetic": 0, "missing": 0}


def test_a_summary_is_as_old_as_the_oldest_quote_behind_its_volatility():
    chain = chain_of([23_900, 24_000])
    prices = theoretical(chain, 24_000, 0.14)
    late = NOW + seconds(20)
    hear(chain, prices)
    hear(chain, prices[:3], ts_ns=late, received_ns=late)  # all but the put at the money
    summary = priced(chain, 24_000, late, CARRY)
    assert summary.atm_iv > 0
    assert summary.as_of_ns == NOW


def test_a_quote_that_is_repeated_makes_no_volatility_younger():
    chain = chain_of([24_000])
    prices = theoretical(chain, 24_000, 0.14)
    hear(chain, prices)
    late = NOW + seconds(50)
    hear(chain, prices, received_ns=late)  # the same time again
    assert priced(chain, 24_000, late, CARRY).as_of_ns == NOW


@pytest.mark.parametrize("told", [math.nan, 0.14])
def test_a_volatility_older_than_sixty_seconds_is_dropped(told):
    chain = chain_of([24_000])
    hear(chain, theoretical(chain, 24_000, 0.14), iv=told)
    assert priced(chain, 24_000, NOW + seconds(60), CARRY).atm_iv > 0
    summary = priced(chain, 24_000, NOW + seconds(60.001), CARRY)
    assert math.isnan(summary.atm_iv)
    assert (summary.iv_source, summary.as_of_ns) == ("missing", NOW)


def test_a_feeds_old_volatility_gives_way_to_what_the_price_implies():
    chain = chain_of([24_000])
    prices = theoretical(chain, 24_000, 0.14)
    hear(chain, prices, iv=0.5)
    late = NOW + seconds(61)
    hear(chain, prices, ts_ns=late, received_ns=late)
    summary = priced(chain, 24_000, late, CARRY)
    assert summary.atm_iv == pytest.approx(0.14, abs=1e-3)
    assert summary.iv_source == "synthetic"


def test_a_recorded_volatility_stands_until_the_next_row_is_due():
    chain = chain_of([24_000])
    hear(chain, theoretical(chain, 24_000, 0.14))
    late = NOW + seconds(119)
    assert math.isnan(priced(chain, 24_000, late, CARRY).atm_iv)
    assert priced(chain, 24_000, late, CARRY, seconds(60)).atm_iv > 0


def test_without_fallback_a_missing_volatility_stays_missing():
    chain = chain_of([24_000])
    hear(chain, [200.0, 180.0])
    summary = priced(chain, 24_000, NOW, Carry(0.06, 0.0, synthetic=False))
    assert math.isnan(summary.atm_iv)
    assert summary.iv_source == "missing"


def test_a_deep_call_at_its_intrinsic_value_takes_the_volatility_of_its_put():
    chain = chain_of([23_000, 24_000])
    prices = theoretical(chain, 24_000, 0.14)
    prices[0] = 990.0  # the 23000 call, below its intrinsic value
    hear(chain, prices)
    priced(chain, 24_000, NOW, CARRY)
    assert chain.columns["iv"][0] == pytest.approx(chain.columns["iv"][1])
    assert chain.columns["delta"][0] > 0.95


def test_a_two_sided_market_is_worth_its_mid():
    chain = chain_of([24_000])
    fair = theoretical(chain, 24_000, 0.14)
    hear(chain, fair + 30, bid=fair - 1, ask=fair + 1)
    assert priced(chain, 24_000, NOW, CARRY).atm_iv == pytest.approx(0.14, abs=1e-6)


def test_a_tick_without_depth_leaves_bid_ask_and_open_interest_alone():
    chain = chain_of([24_000])
    hear(chain, [200.0], bid=[199.0], ask=[201.0], open_interest=[500])
    hear(chain, [202.0])
    row = chain.columns[0]
    assert (row["ltp"], row["bid"], row["ask"], row["open_interest"]) == (202, 199, 201, 500)


def test_within_a_batch_the_last_tick_of_a_row_stays():
    chain = chain_of([24_000])
    batch = ticks(chain, [200.0, 201.0])
    chain.hear(np.array([0, 0]), batch)
    assert chain.columns["ltp"][0] == 201


def test_a_moved_ladder_keeps_what_is_known_of_strikes_that_stay():
    chain = chain_of([24_000, 24_100])
    hear(chain, [200.0, 180.0, 150.0, 230.0])
    stays = [option(102, 24_100, Kind.PUT), option(103, 24_100, Kind.CALL)]
    chain.track([*stays, option(200, 24_200, Kind.CALL)])
    assert chain.columns["listing"].tolist() == [103, 102, 200]
    assert chain.columns["ltp"][:2].tolist() == [150, 230]
    assert math.isnan(chain.columns["ltp"][2])


def test_nothing_is_priced_without_a_spot():
    assert priced(chain_of([24_000]), float("nan"), NOW, CARRY) is None


def interest(rows):
    """Rows of (strike, is_call, open interest)."""
    columns = np.zeros(len(rows), CHAIN_DTYPE)
    columns["strike"], columns["is_call"], columns["open_interest"] = zip(*rows, strict=True)
    return columns


def test_put_call_ratio_is_puts_by_calls_and_absent_counts_as_none():
    chain = interest([(100, True, 40), (110, True, -1), (100, False, 50)])
    assert put_call_ratio(chain) == 1.25
    assert math.isnan(put_call_ratio(interest([(100, False, 50)])))


def test_max_pain_is_the_strike_where_all_options_pay_least():
    # At 100: puts of 110 pay 10 x 20 = 200. At 105: calls 5 x 30 + puts 5 x 20 = 250.
    # At 110: calls 10 x 30 = 300.
    chain = interest([(100, True, 30), (105, True, 0), (110, False, 20)])
    assert max_pain(chain) == 100
    assert math.isnan(max_pain(interest([(100, True, 0)])))


def test_gamma_exposure_counts_calls_plus_and_puts_minus():
    chain = interest([(100, True, 10), (100, False, 4)])
    chain["gamma"] = 0.02
    assert gamma_exposure(chain, 100) == pytest.approx((0.2 - 0.08) * 10_000 / 100)


def test_walls_are_the_strikes_of_greatest_interest_and_ties_go_to_the_middle():
    chain = interest([
        (100, False, 70), (105, False, 90), (110, False, 90), (115, False, 10),
        (100, True, 20), (110, True, 40), (115, True, 60), (120, True, 60),
    ])  # fmt: skip
    assert interest_walls(chain) == (110, 115)
    put, call = interest_walls(interest([(100, True, 5), (100, False, -1)]))
    assert math.isnan(put)
    assert call == 100


# strike, call interest, put interest, gamma
SNAPSHOT = (
    (25_800, 1_000, 9_000, 0.0008),
    (25_900, 2_000, 6_000, 0.0012),
    (26_000, 5_000, 5_000, 0.0015),
    (26_100, 8_000, 2_000, 0.0011),
    (26_200, 12_000, 1_000, 0.0007),
)


def test_a_whole_chain_worked_by_hand():
    """Writers' cost at each strike, in thousands of rupees:

    25800: puts 100 x 6 + 200 x 5 + 300 x 2 + 400 x 1 = 2,600; calls 0
    25900: puts 100 x 5 + 200 x 2 + 300 x 1 = 1,200; calls 100 x 1 = 100: 1,300
    26000: puts 100 x 2 + 200 x 1 = 400; calls 200 x 1 + 100 x 2 = 400: 800, the least
    26100: puts 100; calls 300 + 200 x 2 + 100 x 5 = 1,200: 1,300
    26200: calls 400 + 300 x 2 + 200 x 5 + 100 x 8 = 2,800

    Gamma x (calls - puts): -6.4, -4.8, 0, +6.6, +7.7 = 3.1; x 26,000^2 / 100 = 20,956,000.
    """
    rows = [(strike, True, calls) for strike, calls, _, _ in SNAPSHOT]
    rows += [(strike, False, puts) for strike, _, puts, _ in SNAPSHOT]
    chain = interest(rows)
    chain["gamma"] = [gamma for *_, gamma in SNAPSHOT] * 2
    assert max_pain(chain) == 26_000
    assert gamma_exposure(chain, 26_000) == pytest.approx(20_956_000)
    assert put_call_ratio(chain) == pytest.approx(23 / 28)
    assert interest_walls(chain) == (25_800, 26_200)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_no_strike_pays_less_than_max_pain(held):
    if not sum(calls + puts for calls, puts in held):
        return
    strikes = [100 + 5 * number for number in range(len(held))]
    rows = [(k, True, calls) for k, (calls, _) in zip(strikes, held, strict=True)]
    rows += [(k, False, puts) for k, (_, puts) in zip(strikes, held, strict=True)]

    def paid(at):
        return sum(
            interest_ * max(at - k if is_call else k - at, 0) for k, is_call, interest_ in rows
        )

    assert paid(max_pain(interest(rows))) == min(paid(k) for k in strikes)


def test_chains_priced_together_are_as_each_priced_alone():
    def three():
        near, far, blind = chain_of([23_900, 24_000, 24_100]), chain_of([24_000], 35), chain_of([9])
        for chain, days, volatility in ((near, 7.0, 0.14), (far, 35.0, 0.2)):
            hear(chain, theoretical(chain, 24_000, volatility, days), open_interest=100)
        return [(near, 24_000.0), (far, 24_000.0), (blind, math.nan)]

    together, alone = three(), three()
    told = price_chains(together, NOW, CARRY)
    assert told[2] is None
    assert [row.atm_iv for row in told[:2]] == pytest.approx([0.14, 0.2], abs=1e-6)
    for (one, _), (other, spot), summary in zip(together, alone, told, strict=True):
        expected = priced(other, spot, NOW, CARRY)
        assert (summary is None) == (expected is None)
        for name in ("iv", "delta", "gamma", "theta", "vega"):
            assert one.columns[name] == pytest.approx(other.columns[name], rel=1e-12, nan_ok=True)
        if expected:
            assert summary.forward == pytest.approx(expected.forward, rel=1e-12)
            assert summary.put_iv_25d == pytest.approx(expected.put_iv_25d, rel=1e-12, nan_ok=True)
            assert summary.gamma_exposure == pytest.approx(expected.gamma_exposure, rel=1e-12)


def test_a_chain_that_is_only_filling_says_nothing_of_open_interest():
    strikes = [25_900, 25_950, 26_000, 26_050, 26_100]
    chain = chain_of(strikes)

    def hear(listings):
        ticks = np.zeros(len(listings), TICK_DTYPE)
        ticks["ltp"], ticks["open_interest"], ticks["ts_ns"] = 50.0, 100, NOW
        ticks["received_ns"] = NOW
        for name in ("bid", "ask", "iv"):
            ticks[name] = np.nan
        rows = np.flatnonzero(np.isin(chain.columns["listing"], listings))
        chain.hear(rows, ticks)
        return priced(chain, 26_000.0, NOW, CARRY)

    calls = chain.columns["listing"][chain.columns["is_call"]].tolist()
    puts = chain.columns["listing"][~chain.columns["is_call"]].tolist()
    told = hear([*calls, *puts[:3]])  # 3 of 5 puts
    assert math.isnan(told.put_call_ratio)
    assert math.isnan(told.max_pain)
    assert math.isnan(told.gamma_exposure)
    assert math.isnan(told.put_wall)
    assert hear([puts[3]]).put_call_ratio == pytest.approx(0.8)  # 4 of 5


def test_a_delta_between_two_strikes_is_interpolated_and_never_extrapolated():
    deltas, ivs = np.array([-0.4, -0.2, np.nan]), np.array([0.14, 0.18, 0.9])
    assert iv_at_delta(deltas, ivs) == pytest.approx(0.17)
    assert math.isnan(iv_at_delta(np.array([-0.4, -0.3]), np.array([0.14, 0.15])))


def test_thirty_day_volatility_is_linear_in_total_variance():
    # (0.2^2 x 20 + 0.1^2 x 40) / 2 = 0.6 over 30 days -> sqrt(0.02)
    assert constant_maturity_iv([40, 20], [0.1, 0.2], 30) == pytest.approx(math.sqrt(0.02))
    assert constant_maturity_iv([20, 10], [0.2, 0.3], 30) == 0.2
    assert constant_maturity_iv([40], [0.1], 30) == 0.1
    assert math.isnan(constant_maturity_iv([0, 10], [0.1, math.nan], 30))
