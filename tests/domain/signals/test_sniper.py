"""The sniper's decisions: what may be entered at this moment, what it is worth, and why not."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.clock import seconds
from domain.instruments import Kind
from domain.intents import StrategyType
from domain.readings import Phase, Regime
from domain.signals.patterns import Pattern, Setup
from domain.signals.sniper import (
    Instrument,
    Shot,
    Today,
    check_market,
    ranked,
    read_instrument,
    reward_risk,
    score_of,
    setup_id,
    take_aim,
)
from tests.kit.daily_bars import (
    LAST_DAY,
    TIGHTENING,
    day_ns,
    from_closes,
    generated,
    with_volume,
)

NOW = day_ns(LAST_DAY + timedelta(days=1)) + seconds(10 * 3600)
DEMAND = Setup(
    Pattern.SUPPLY_DEMAND, "BUY", entry=101.5, stop=99.5, target=108.15,
    enter_low=100.0, enter_high=103.0, formed_ns=7, text="fresh demand zone 100.00-103.00",
    imbalance=5.0,
)  # fmt: skip
SUPPLY = replace(
    DEMAND, view="SELL", entry=201.5, stop=204.0, target=190.0, enter_low=200.0, enter_high=203.0,
    formed_ns=8, text="fresh supply zone 200.00-203.00",
)  # fmt: skip
CONTRACTION = Setup(
    Pattern.VCP, "BUY", entry=150.0, stop=140.0, target=165.0,
    enter_low=150.0, enter_high=157.5, formed_ns=9, text="3 contractions below 150.00",
)  # fmt: skip


def instrument(*setups, **more):
    fields = {"bars": 200, "last_day_ns": day_ns(LAST_DAY), "aligned": 200, "rs": 104.0}
    return Instrument("NIFTY", setups=setups, **(fields | more))


def today(last, low=None, high=None, age_s=20.0):
    day = day_ns(LAST_DAY + timedelta(days=1))
    return Today(day, high or last, low or last, last, NOW - seconds(age_s))


def aim(read, at, phase=Phase.BULLISH, traded=()):
    return take_aim(read, at, phase, NOW, traded)


def code(read, at, phase=Phase.BULLISH, traded=()):
    return aim(read, at, phase, traded).code


# -- the market --


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase.BULLISH, None), (Phase.BEARISH, None),
        (Phase.CONGESTION, "CONGESTION_NO_DIRECTION"), (Phase.BLOWOFF, "BLOWOFF_NO_DIRECTION"),
    ],
)  # fmt: skip
def test_only_a_market_with_a_direction_is_traded(phase, expected):
    refusal = check_market(Regime(version=1, phase=phase, as_of_ns=NOW))
    assert (refusal.code if refusal else None) == expected


def test_without_a_regime_nothing_is_entered():
    assert check_market(Regime(phase=Phase.BULLISH)).code == "REGIME_UNKNOWN"


# -- what is missing --


@pytest.mark.parametrize(
    ("more", "at", "expected"),
    [
        ({"bars": 29}, today(101), "BARS_SHORT"),
        ({"last_day_ns": day_ns(date(2026, 11, 14))}, today(101), "DAILY_BARS_OLD"),
        ({"rs": None, "aligned": 40}, today(101), "RS_UNKNOWN"),
        ({}, None, "PRICE_UNKNOWN"),
        ({}, today(101, age_s=151), "PRICE_STALE"),
        ({"last_day_ns": day_ns(date(2026, 11, 20))}, today(101), "PRICE_UNKNOWN"),
    ],
)
def test_what_is_missing_is_named(more, at, expected):
    assert code(instrument(DEMAND, **more), at) == expected


def test_the_sentence_counts_the_bars():
    assert aim(instrument(bars=12), None).text == "NIFTY: 12 of 30 daily bars for patterns"


def test_a_setup_of_the_other_view_is_no_pattern():
    assert code(instrument(SUPPLY), today(201)) == "NO_PATTERN"
    assert code(instrument(DEMAND), today(101), Phase.BEARISH) == "NO_PATTERN"


# -- the price --


@pytest.mark.parametrize(
    ("price", "expected"),
    [(103.01, "WAITS_FOR_ZONE"), (103.0, None), (100.0, None), (99.99, "WAITS_FOR_ZONE")],
)
def test_a_zone_is_entered_inside_it_and_nowhere_else(price, expected):
    found = aim(instrument(DEMAND), today(price))
    if expected:
        assert found.code == expected
    else:
        assert (found.strategy, found.price) == (StrategyType.DITM_CALL, price)


@pytest.mark.parametrize(
    ("price", "expected"),
    [(149.9, "WAITS_FOR_BREAKOUT"), (150.0, None), (157.5, None), (157.6, "EXTENDED")],
)
def test_a_pivot_is_entered_as_it_breaks_and_not_five_per_cent_later(price, expected):
    found = aim(instrument(CONTRACTION), today(price))
    assert getattr(found, "code", None) == expected


def test_supply_is_sold_in_a_bearish_market():
    found = aim(instrument(SUPPLY, DEMAND), today(201), Phase.BEARISH)
    assert (found.strategy, found.setup) == (StrategyType.DITM_PUT, SUPPLY)


def test_a_day_that_went_beyond_the_stop_ends_the_setup():
    assert code(instrument(DEMAND), today(101, low=99.4)) == "SETUP_FAILED"
    assert code(instrument(SUPPLY), today(201, high=204.1), Phase.BEARISH) == "SETUP_FAILED"
    assert isinstance(aim(instrument(DEMAND), today(101, low=99.5)), Shot)


def test_a_setup_is_traded_once():
    used = {setup_id("NIFTY", DEMAND)}
    assert code(instrument(DEMAND), today(101), traded=used) == "SETUP_TRADED"
    assert isinstance(aim(instrument(DEMAND), today(101), traded={"BANKNIFTY:x:7"}), Shot)


def test_a_contraction_needs_its_volume_to_dry_up():
    wet = replace(CONTRACTION, is_dry=False)
    assert code(instrument(wet, has_volume=True), today(151)) == "VCP_NOT_DRY"
    assert code(instrument(wet), today(151)) == "NO_VOLUME"


def test_of_several_that_wait_the_nearest_is_told():
    assert code(instrument(DEMAND, CONTRACTION), today(147)) == "WAITS_FOR_BREAKOUT"
    assert code(instrument(DEMAND, CONTRACTION), today(105)) == "WAITS_FOR_ZONE"


def test_of_several_zones_the_strongest_imbalance_trades():
    weak, strong = replace(DEMAND, imbalance=3.0, formed_ns=1), replace(DEMAND, imbalance=9.0)
    assert aim(instrument(weak, strong), today(101)).setup == strong


def test_an_entry_is_for_every_setup_at_its_price():
    inner = replace(DEMAND, imbalance=3.0, formed_ns=1, enter_low=100.5)
    away = replace(DEMAND, formed_ns=2, enter_high=100.5)
    found = aim(instrument(inner, away, DEMAND), today(101))
    assert found.ids == (setup_id("NIFTY", DEMAND), setup_id("NIFTY", inner))


# -- the score --


def test_a_dried_up_contraction_scores_five_above_its_strength():
    assert score_of(104.0, CONTRACTION) == 109.0


def test_imbalance_counts_by_the_price_it_is_of():
    # 5 of 101.5 points are 492.6 basis points: 4.93; the same zone at 500 times the price too.
    large = replace(DEMAND, imbalance=2_500.0, entry=50_750.0)
    assert score_of(100.0, DEMAND) == pytest.approx(104.926, abs=0.001)
    assert score_of(100.0, large) == score_of(100.0, DEMAND)


def test_reward_over_risk_goes_by_the_price_of_the_moment_and_counts_two_at_most():
    def of(price, target):
        setup = replace(CONTRACTION, target=target)
        return reward_risk(Shot("X", setup, StrategyType.DITM_CALL, 100.0, 100.0, price))

    assert of(150.0, 165.0) == pytest.approx(1.5)  # 15 over 10
    assert of(155.0, 165.0) == pytest.approx(10 / 15)
    assert of(150.0, 200.0) == 2.0


def test_shots_are_ranked_by_score_then_by_name():
    def shot(name, score):
        return Shot(name, DEMAND, StrategyType.DITM_CALL, 100.0, score, 101.0)

    order = ranked([shot("B", 101.0), shot("C", 105.0), shot("A", 101.0)])
    assert [one.instrument for one in order] == ["C", "A", "B"]


# -- reading bars --


def test_bars_of_an_equity_with_a_contraction_give_its_setup_and_strength():
    bars, market = with_volume(TIGHTENING), from_closes([100.0] * 61)
    read = read_instrument("ACME", Kind.EQUITY, bars, market)
    assert (read.bars, read.aligned, read.has_volume) == (61, 61, True)
    assert read.rs == pytest.approx(100 * 96 / TIGHTENING[-51])
    assert [setup.pattern for setup in read.setups if setup.pattern is Pattern.VCP] == ["VCP"]


def test_the_benchmark_is_in_line_with_itself():
    assert read_instrument("NIFTY", Kind.INDEX, generated(3, 40), None).rs == 100.0


def test_few_bars_are_counted_but_not_read():
    read = read_instrument("NIFTY", Kind.INDEX, generated(3, 29), None)
    assert (read.bars, read.setups, read.zones) == (29, (), ())
    assert read_instrument("NIFTY", Kind.INDEX, generated(3, 29)[:0], None).bars == 0


def test_cups_are_for_equities_only():
    found = set()
    for seed in range(60):
        bars = generated(seed, 120)
        for kind in (Kind.EQUITY, Kind.INDEX):
            setups = read_instrument("X", kind, bars, None).setups
            found |= {(kind, row.pattern) for row in setups if row.pattern is Pattern.THREE_C}
    assert found == {(Kind.EQUITY, Pattern.THREE_C)}


def test_only_fresh_zones_are_setups():
    read = read_instrument("X", Kind.INDEX, generated(5, 200), None)
    fresh = [zone for zone in read.zones if zone.freshness == "FRESH"]
    assert 0 < len(fresh) < len(read.zones)
    assert [row.formed_ns for row in read.setups if row.imbalance] == [z.base_ns for z in fresh]


def test_todays_range_does_not_depend_on_the_order_of_its_bars():
    start = Today(0, 102.0, 100.0, 101.0, 10)
    one = start.with_bars(105.0, 101.0, 104.0, 20).with_bars(103.0, 99.0, 100.0, 15)
    other = start.with_bars(103.0, 99.0, 100.0, 15).with_bars(105.0, 101.0, 104.0, 20)
    assert one == other == Today(0, 105.0, 99.0, 104.0, 20)
