"""The selection table, row by row, and the words of rows that do not match."""

from dataclasses import replace

import pytest

from domain.intents import StrategyType
from domain.readings import Phase, Regime, VixFlag, VolatilityReading
from domain.signals.selection import View, select_structures
from domain.signals.volatility import VolatilityRules

S, P, F = StrategyType, Phase, VixFlag

CALM = VolatilityReading(
    underlying="NIFTY",
    iv=0.15,
    hv=0.14,
    iv_rank=60.0,
    iv_percentile=60.0,
    conservative_rank=60.0,
    iv_hv_ratio=1.08,
    vol_regime="IV_NORMAL",
    put_iv_25d=0.16,
    call_iv_25d=0.15,
    skew_ratio=1.07,
    skew_state="NORMAL",
    front_iv=0.15,
    back_iv=0.15,
    term_structure="FLAT",
    as_of_ns=1,
)
RICH = replace(CALM, vol_regime="IV_HIGH", iv_hv_ratio=1.30)
CHEAP = replace(
    CALM,
    vol_regime="IV_LOW",
    iv_hv_ratio=0.7,
    iv_rank=20.0,
    iv_percentile=20.0,
    conservative_rank=20.0,
)
STEEP = replace(CALM, skew_state="STEEP_PUT", skew_ratio=1.6)


def look(reading, phase=P.CONGESTION, vix=18.0, flags=(), days=252, **rules):
    regime = Regime(version=1, phase=phase, vix=vix, vix_flags=flags, as_of_ns=1)
    return select_structures(View(reading, regime, days, VolatilityRules(**rules)))


def strengths(reading, phase=P.CONGESTION, **more):
    chosen, _ = look(reading, phase, **more)
    return {one.strategy: pytest.approx(one.strength) for one in chosen}


def codes(reading, phase=P.CONGESTION, **more):
    return [note.code for note in look(reading, phase, **more)[1]]


@pytest.mark.parametrize(
    ("phase", "strategy", "strength"),
    [
        # rank 60 (+4 for the condor), +8 in the sweet spot, cap 40 + 0.6 x 60 = 76
        (P.BULLISH, S.BULL_PUT_SPREAD, 68.0),
        (P.CONGESTION, S.IRON_CONDOR, 72.0),
        (P.BEARISH, S.BEAR_CALL_SPREAD, 68.0),
    ],
)
def test_rich_premium_is_sold_with_the_phase(phase, strategy, strength):
    assert strengths(RICH, phase) == {strategy: strength}


def test_credit_rows_are_income_and_debit_rows_momentum():
    assert [one.is_income for one in look(RICH)[0]] == [True]
    assert [one.is_income for one in look(CHEAP)[0]] == [False]


@pytest.mark.parametrize(
    ("vix", "strength"), [(18.0, 72.0), (15.0, 72.0), (25.0, 72.0), (26.0, 64.0), (31.0, 59.0)]
)
def test_vix_shifts_the_strength_of_sold_premium(vix, strength):
    assert strengths(RICH, vix=vix) == {S.IRON_CONDOR: strength}


def test_strength_of_a_seller_is_capped_by_the_conservative_rank():
    reading = replace(RICH, iv_rank=95.0, conservative_rank=50.0)
    assert strengths(reading, vix=26.0) == {S.IRON_CONDOR: 70.0}  # 40 + 0.6 x 50
    assert strengths(replace(reading, conservative_rank=0.0), vix=26.0) == {S.IRON_CONDOR: 99.0}


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        # the seller's cap 40 + 0.6 x 20 = 52 holds for calendars, not for bought options
        (P.CONGESTION, {S.CALENDAR_DIAGONAL: 52.0}),
        (P.BEARISH, {S.CALENDAR_DIAGONAL: 52.0, S.DITM_PUT: 80.0}),
        (P.BULLISH, {S.DITM_CALL: 80.0}),
        (P.BLOWOFF, {}),
    ],
)
def test_cheap_premium_is_bought_with_the_phase(phase, expected):
    assert strengths(CHEAP, phase) == expected


def test_bought_options_are_buys_and_calendars_sells():
    directions = {one.strategy: one.direction for one in look(CHEAP, P.BEARISH)[0]}
    assert directions == {S.CALENDAR_DIAGONAL: "SELL", S.DITM_PUT: "BUY"}


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (P.BULLISH, {S.RISK_REVERSAL: 48.0}),  # 1.6 x 30
        # congestion: 1.6 x 30, and the lizard max(60, 56) + 8
        (P.CONGESTION, {S.RISK_REVERSAL: 48.0, S.JADE_LIZARD: 68.0}),
        (P.BEARISH, {}),
        (P.BLOWOFF, {}),
    ],
)
def test_steep_put_skew(phase, expected):
    assert strengths(STEEP, phase) == expected


def test_lizard_strength_takes_the_skew_where_that_is_more():
    reading = replace(STEEP, iv_rank=50.0, skew_ratio=1.8)  # 1.8 x 35 = 63, + 8
    assert strengths(reading)[S.JADE_LIZARD] == 71.0


@pytest.mark.parametrize("switch", ["enable_jade_lizard", "allow_naked_premium"])
def test_lizard_can_be_switched_off(switch):
    assert strengths(STEEP, **{switch: False}) == {S.RISK_REVERSAL: 48.0}


def test_nothing_of_undefined_risk_above_25():
    assert strengths(STEEP, vix=26.0, flags=(F.DEFINED_RISK_ONLY,)) == {}
    assert strengths(STEEP, vix=25.5) == {}


VERY_RICH = replace(RICH, iv_rank=80.0, conservative_rank=80.0, iv_hv_ratio=1.4)


def test_strangle_asks_for_all_its_limits():
    # condor 80 + 4 + 8 = 92 -> cap 88; strangle 80 + 3 + 8 = 91 -> cap 88
    assert strengths(VERY_RICH) == {S.IRON_CONDOR: 88.0, S.SHORT_STRANGLE: 88.0}
    for reading in (replace(VERY_RICH, iv_rank=64.9), replace(VERY_RICH, iv_hv_ratio=1.34)):
        assert S.SHORT_STRANGLE not in strengths(reading)
    assert S.SHORT_STRANGLE in strengths(replace(VERY_RICH, iv_rank=65.0, iv_hv_ratio=1.35))
    assert S.SHORT_STRANGLE not in strengths(VERY_RICH, vix=14.9)
    assert S.SHORT_STRANGLE not in strengths(VERY_RICH, P.BULLISH)


def test_straddle_is_off_by_default_and_asks_for_ten_points_more():
    assert S.SHORT_STRADDLE not in strengths(VERY_RICH)
    assert S.SHORT_STRADDLE in strengths(VERY_RICH, enable_short_straddle=True)
    below = replace(VERY_RICH, iv_rank=74.9)
    assert S.SHORT_STRADDLE not in strengths(below, enable_short_straddle=True)


def test_inverted_term_structure_gives_a_calendar_except_in_blowoff():
    inverted = replace(CALM, term_structure="INVERTED", front_iv=0.2, back_iv=0.15)
    for phase in (P.BULLISH, P.BEARISH, P.CONGESTION):
        assert strengths(inverted, phase) == {S.CALENDAR_DIAGONAL: 50.0}
    assert strengths(inverted, P.BLOWOFF) == {}


def test_nothing_is_signalled_before_the_daily_closes_are_there():
    cold = replace(CALM, hv=0.0, iv_hv_ratio=0.0, term_structure="INVERTED", skew_state="STEEP_PUT")
    chosen, notes = look(replace(cold, iv_rank=None), days=0)
    assert chosen == ()
    assert {"HV_UNKNOWN", "IV_RANK_UNKNOWN"} <= {note.code for note in notes}


def test_two_rows_of_one_strategy_keep_the_stronger():
    inverted = replace(CHEAP, term_structure="INVERTED", conservative_rank=None)
    assert strengths(inverted) == {S.CALENDAR_DIAGONAL: 80.0}  # 100 - 20, not the 50 of row 11


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ((F.UNKNOWN,), "VIX_UNKNOWN"),
        ((F.PREMIUMS_TOO_LOW,), "PREMIUMS_TOO_LOW"),
        ((F.HALT_SHORT_VEGA,), "HALT_SHORT_VEGA"),
    ],
)
def test_vix_flags_stop_every_seller_of_premium(flags, code):
    steep_and_rich = replace(VERY_RICH, skew_state="STEEP_PUT", skew_ratio=1.6)
    for phase in (P.BULLISH, P.BEARISH, P.CONGESTION):
        chosen, notes = look(steep_and_rich, phase, flags=flags)
        assert chosen == ()
        assert code in [note.code for note in notes]


def test_unknown_rank_sells_and_buys_nothing():
    unknown = replace(
        VERY_RICH, iv_rank=None, iv_percentile=None, conservative_rank=None,
        skew_state="STEEP_PUT", skew_ratio=1.6,
    )  # fmt: skip
    chosen, notes = look(unknown, days=12)
    assert chosen == ()
    texts = {note.code: note.text for note in notes}
    assert texts["IV_RANK_UNKNOWN"].startswith("NIFTY: 12 of 60 days of IV known")


def test_normal_volatility_says_each_rows_reason_once_and_in_words():
    chosen, notes = look(CALM)
    assert chosen == ()
    texts = {note.code: note.text for note in notes}
    assert len(texts) == len(notes)
    wanted = "NIFTY: IV/HV 1.08 lies between 0.80 and 1.25; no premium edge"
    assert texts["IV_NORMAL"] == wanted
    assert "1.07" in texts["SKEW_NOT_STEEP"]
    assert "IV rank 60 is below 65" in texts["RANK_BELOW_NAKED_MIN"]
    assert set(texts) == {
        "IV_NORMAL", "SKEW_NOT_STEEP", "RANK_BELOW_NAKED_MIN", "ENABLE_SHORT_STRADDLE_OFF",
        "TERM_NOT_INVERTED",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reading", "phase", "code"),
    [
        (replace(RICH, iv_rank=49.9), P.BULLISH, "RANK_BELOW_50"),
        (replace(CALM, hv=0.0, iv_hv_ratio=0.0), P.BULLISH, "HV_UNKNOWN"),
        (RICH, P.BLOWOFF, "BLOWOFF"),
        (replace(CHEAP, iv_rank=30.0), P.BULLISH, "RANK_NOT_LOW"),
        (replace(CALM, skew_ratio=0.0), P.BULLISH, "SKEW_UNKNOWN"),
        (replace(CALM, back_iv=0.0), P.BULLISH, "TERM_UNKNOWN"),
    ],
)
def test_each_reason_has_its_code(reading, phase, code):
    assert code in codes(reading, phase)


def test_rank_of_50_is_enough_and_30_is_not_low():
    assert strengths(replace(RICH, iv_rank=50.0)) != {}
    assert strengths(replace(CHEAP, iv_rank=29.9)) != {}
    assert strengths(replace(CHEAP, iv_rank=30.0)) == {}
