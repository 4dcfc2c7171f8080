"""Score, phase, hysteresis, VIX flags and publication of the regime."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.clock import NS_PER_S, seconds
from domain.prices import BAR_DTYPE
from domain.readings import Phase, Regime, VixFlag
from domain.signals.regime import (
    DAY_S,
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

NEUTRAL = BarReading(
    timeframe="15m",
    start_ns=0,
    end_ns=seconds(900),
    ichimoku="NEUTRAL",
    impulse="BLUE",
    congestion=False,
    blowoff=False,
    adx=22.0,
    vwap=0.0,
    price_vs_vwap="UNKNOWN",
)
BULL = replace(NEUTRAL, ichimoku="BULLISH", impulse="GREEN")
BEAR = replace(NEUTRAL, ichimoku="BEARISH", impulse="RED")
F = VixFlag


@pytest.mark.parametrize(
    ("reading", "pcr", "expected"),
    [
        (NEUTRAL, None, 0),
        (BULL, None, 14),
        (BEAR, None, -14),
        (BULL, 1.3, 19),
        (BULL, 1.2, 14),
        (BULL, 0.7, 14),
        (BEAR, 0.7, -19),
        (BEAR, 1.3, -14),
        (NEUTRAL, 1.3, 0),
        (replace(BULL, adx=30.0), None, 16),
        (replace(BEAR, adx=30.0), None, -16),
        (replace(NEUTRAL, adx=30.0), None, 0),
        (replace(BULL, price_vs_vwap="ABOVE"), None, 16),
        (replace(BULL, price_vs_vwap="BELOW"), None, 14),
        (replace(BEAR, price_vs_vwap="BELOW"), None, -16),
        (replace(BULL, adx=30.0, price_vs_vwap="ABOVE"), 1.3, 20),
        (replace(BULL, congestion=True), None, 10),
        (replace(BEAR, congestion=True), None, -10),
        (replace(NEUTRAL, congestion=True), None, 0),
        (replace(BULL, congestion=True, adx=15.0), None, 7),
        (replace(NEUTRAL, impulse="GREEN", congestion=True, adx=15.0), None, 0),
        (replace(BULL, adx=0.0), None, 14),
        (replace(BULL, blowoff=True), None, 14),
    ],
)
def test_score_is_the_sum_of_its_parts(reading, pcr, expected):
    assert score_of(reading, 18.0, pcr) == expected


def test_low_vix_caps_the_score_and_an_unknown_one_does_not():
    assert score_of(BULL, 11.99, None) == 5
    assert score_of(BEAR, 11.99, None) == -5
    assert score_of(BULL, 12.0, None) == 14
    assert score_of(BULL, 0.0, None) == 14


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["BULLISH", "BEARISH", "NEUTRAL"]),
    st.sampled_from(["GREEN", "RED", "BLUE"]),
    st.floats(0, 60),
    st.sampled_from(["ABOVE", "BELOW", "AT", "UNKNOWN"]),
    st.booleans(),
    st.one_of(st.none(), st.floats(0.1, 3)),
)
def test_score_has_no_hidden_tilt(ichimoku, impulse, adx, vwap, congestion, pcr):
    mirror = {
        "BULLISH": "BEARISH", "BEARISH": "BULLISH", "GREEN": "RED", "RED": "GREEN",
        "ABOVE": "BELOW", "BELOW": "ABOVE",
    }  # fmt: skip
    reading = replace(
        NEUTRAL,
        ichimoku=ichimoku,
        impulse=impulse,
        adx=adx,
        price_vs_vwap=vwap,
        congestion=congestion,
    )
    mirrored = replace(
        reading,
        ichimoku=mirror.get(ichimoku, ichimoku),
        impulse=mirror.get(impulse, impulse),
        price_vs_vwap=mirror.get(vwap, vwap),
    )
    # The put/call limits are 1.2 and 0.8: mirror a ratio on their middle.
    other_pcr = None if pcr is None else 2.0 - pcr
    if pcr is not None and (abs(pcr - 1.2) < 1e-6 or abs(pcr - 0.8) < 1e-6):
        return
    assert score_of(reading, 18.0, pcr) == -score_of(mirrored, 18.0, other_pcr)


@pytest.mark.parametrize(
    ("score", "tide", "expected"),
    [
        (5, "NEUTRAL", Phase.BULLISH),
        (4, "NEUTRAL", Phase.CONGESTION),
        (-5, "NEUTRAL", Phase.BEARISH),
        (-4, "NEUTRAL", Phase.CONGESTION),
        (14, "BEARISH", Phase.CONGESTION),
        (14, "BULLISH", Phase.BULLISH),
        (-14, "BULLISH", Phase.CONGESTION),
        (-14, "BEARISH", Phase.BEARISH),
    ],
)
def test_phase_follows_score_and_tide(score, tide, expected):
    assert raw_phase(NEUTRAL, score, tide) is expected


def test_blowoff_goes_before_congestion_and_congestion_before_score():
    both = replace(NEUTRAL, blowoff=True, congestion=True)
    assert raw_phase(both, 14, "NEUTRAL") is Phase.BLOWOFF
    assert raw_phase(replace(NEUTRAL, congestion=True), 14, "NEUTRAL") is Phase.CONGESTION


def ruling_after(*raws):
    memory = PhaseMemory()
    for number, raw in enumerate(raws, 1):
        memory = memory.with_bar(number, raw)
    return memory.ruling


B, C, X = Phase.BULLISH, Phase.CONGESTION, Phase.BLOWOFF


@pytest.mark.parametrize(
    ("raws", "expected"),
    [
        ((B,), B),
        ((C, B), C),
        ((C, B, B), B),
        ((C, B, C, B), C),
        ((C, B, Phase.BEARISH), C),
        ((C, X), X),
        ((X, C), X),
        ((X, C, C), C),
    ],
)
def test_phase_changes_after_two_bars_but_blowoff_at_once(raws, expected):
    assert ruling_after(*raws) is expected


def test_same_bar_read_twice_counts_once():
    memory = PhaseMemory().with_bar(1, C).with_bar(2, B).with_bar(2, B)
    assert memory.ruling is C
    assert memory.with_bar(3, B).ruling is B


def test_bar_reread_differently_replaces_its_first_reading():
    memory = PhaseMemory().with_bar(1, C).with_bar(2, B).with_bar(2, C).with_bar(3, B)
    assert memory.ruling is C


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (11.99, (F.PREMIUMS_TOO_LOW,)),
        (12.0, ()),
        (25.0, ()),
        (25.01, (F.DEFINED_RISK_ONLY,)),
        (30.0, (F.DEFINED_RISK_ONLY,)),
        (30.01, (F.HALF_SIZE, F.DEFINED_RISK_ONLY)),
        (40.0, (F.HALF_SIZE, F.DEFINED_RISK_ONLY)),
        (40.01, (F.HALF_SIZE, F.DEFINED_RISK_ONLY, F.HALT_SHORT_VEGA)),
        (0.0, (F.UNKNOWN,)),
        (-1.0, (F.UNKNOWN,)),
    ],
)
def test_vix_flags_are_strict(value, expected):
    now = seconds(100)
    assert Vix(value, now).flags(now, True) == expected


def test_vix_never_seen_is_unknown_and_nothing_else():
    assert Vix().flags(seconds(100), True) == (F.UNKNOWN,)
    assert Vix().flags(seconds(100), False) == (F.UNKNOWN,)


def test_vix_grows_old_in_session_only():
    vix = Vix(45.0, seconds(100))
    assert F.UNKNOWN not in vix.flags(seconds(160), True)
    assert vix.flags(seconds(160) + 1, True)[0] is F.UNKNOWN
    assert F.HALT_SHORT_VEGA in vix.flags(seconds(160) + 1, True)
    assert F.UNKNOWN not in vix.flags(seconds(10_000), False)


def publish(before, reading, now_s=1_000, vix=18.0, flags=(), phase=Phase.CONGESTION, score=0):
    return next_regime(
        before,
        reading,
        phase=phase,
        score=score,
        vix=Vix(vix, seconds(now_s)),
        flags=flags,
        now_ns=seconds(now_s),
    )


def test_first_reading_is_version_one():
    regime, is_news = publish(Regime(), NEUTRAL)
    assert (regime.version, is_news) == (1, True)


def test_same_bar_without_difference_is_not_published():
    first, _ = publish(Regime(), NEUTRAL)
    again, is_news = publish(first, NEUTRAL, vix=18.00005)
    assert (again.version, is_news) == (1, False)


@pytest.mark.parametrize(
    "change",
    [
        {"vix": 18.0002},
        {"flags": (F.HALF_SIZE,)},
        {"phase": Phase.BULLISH},
        {"score": 3},
        {"reading": replace(NEUTRAL, impulse="RED")},
        {"reading": replace(NEUTRAL, ichimoku="BULLISH")},
        {"reading": replace(NEUTRAL, congestion=True)},
        {"reading": replace(NEUTRAL, blowoff=True)},
    ],
)
def test_each_difference_raises_the_version_by_one(change):
    first, _ = publish(Regime(), NEUTRAL)
    reading = change.pop("reading", NEUTRAL)
    second, is_news = publish(first, reading, **change)
    assert (second.version, is_news) == (2, True)


def test_new_bar_without_difference_keeps_the_version_and_renews_the_time():
    first, _ = publish(Regime(), NEUTRAL)
    later = replace(NEUTRAL, start_ns=seconds(900), end_ns=seconds(1_800))
    second, is_news = publish(first, later, now_s=1_802)
    assert (second.version, is_news, second.as_of_ns) == (1, True, seconds(1_800))


def test_time_of_a_snapshot_is_the_end_of_its_bar_so_a_dead_feed_ages():
    regime, _ = publish(Regime(), NEUTRAL, now_s=5_000)
    assert regime.as_of_ns == seconds(900)
    assert regime.stale_after_s == 1_800


def test_daily_reading_of_a_friday_is_valid_to_the_end_of_a_tuesday_after_holidays():
    thursday = replace(NEUTRAL, timeframe="1D", end_ns=seconds(DAY_S))
    regime, _ = publish(Regime(), thursday, now_s=DAY_S)
    tuesday_close_s = 4 * DAY_S + 15 * 3_600 + 40 * 60  # Friday to Monday closed
    assert regime.timeframe == "1D"
    assert regime.as_of_ns + seconds(regime.stale_after_s) > seconds(DAY_S + tuesday_close_s)


def test_daily_bars_rule_only_while_intraday_ones_are_missing():
    daily = replace(NEUTRAL, timeframe="1D")
    assert choose_timeframe(None, daily, is_intraday_missing=False) is daily
    assert choose_timeframe(BULL, daily, is_intraday_missing=False) is BULL
    assert choose_timeframe(BULL, daily, is_intraday_missing=True) is daily
    assert choose_timeframe(BULL, None, is_intraday_missing=True) is BULL
    assert choose_timeframe(None, None, is_intraday_missing=True) is None


def test_fifteen_minute_bar_is_stale_after_two_intervals():
    assert not is_stale(0, 1_800 * NS_PER_S)
    assert is_stale(0, 1_800 * NS_PER_S + 1)


def rising_bars(count):
    bars = np.zeros(count, BAR_DTYPE)
    bars["close"] = 100.0 * 1.01 ** np.arange(count)
    bars["high"], bars["low"] = bars["close"] * 1.002, bars["close"] * 0.998
    bars["start_ns"] = np.arange(count) * seconds(900)
    bars["vwap"] = np.nan
    return bars


def test_no_reading_below_78_bars():
    assert read_bars(rising_bars(77), "15m") is None


def test_rising_bars_read_bullish():
    reading = read_bars(rising_bars(120), "15m")
    assert (reading.ichimoku, reading.impulse) == ("BULLISH", "GREEN")
    assert (reading.price_vs_vwap, reading.vwap, reading.adx) == ("UNKNOWN", 0.0, 100.0)
    assert reading.end_ns == reading.start_ns + seconds(900)
    assert read_bars(rising_bars(120), "1D").end_ns == reading.start_ns + seconds(DAY_S)
