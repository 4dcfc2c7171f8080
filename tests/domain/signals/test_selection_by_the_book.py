"""The selection table against a second, flat writing of the same eleven rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.intents import StrategyType
from domain.readings import Phase, Regime, VixFlag, VolatilityReading
from domain.signals.selection import View, select_structures
from domain.signals.volatility import VolatilityRules, skew_of, term_structure_of, vol_regime_of

S, P, F = StrategyType, Phase, VixFlag
INCOME = {S.BULL_PUT_SPREAD, S.IRON_CONDOR, S.BEAR_CALL_SPREAD, S.JADE_LIZARD}
READING = VolatilityReading(
    "NIFTY", 0.15, 0.14, None, None, None, 0.0, "IV_NORMAL", 0.15, 0.15, 1.0, "NORMAL", 0.15, 0.15,
    "FLAT", 1,
)  # fmt: skip


@st.composite
def views(draw: st.DrawFn) -> View:
    ratio = draw(st.sampled_from([0.0, 0.6, 0.79, 0.8, 1.0, 1.24, 1.25, 1.34, 1.35, 1.6]))
    rank = draw(st.sampled_from([None, 0.0, 10.0, 29.9, 30.0, 49.9, 50.0, 64.9, 65.0, 74.9, 75.0]))
    skew, skew_state = skew_of(draw(st.sampled_from([0.0, 0.2, 0.29, 0.3, 0.5])), 0.2)
    front, back = draw(st.sampled_from([(0.0, 0.2), (0.2, 0.2), (0.211, 0.2), (0.19, 0.2)]))
    reading = replace(
        READING, iv_hv_ratio=ratio, vol_regime=vol_regime_of(ratio), iv_rank=rank,
        conservative_rank=None if rank is None else min(rank, draw(st.sampled_from([20.0, 90.0]))),
        skew_ratio=skew, skew_state=skew_state, front_iv=front, back_iv=back,
        term_structure=term_structure_of(front, back),
    )  # fmt: skip
    vix = draw(st.sampled_from([0.0, 11.0, 12.0, 14.9, 15.0, 20.0, 25.0, 25.1, 31.0, 41.0]))
    flags = [F.PREMIUMS_TOO_LOW] * (0 < vix < 12) + [F.HALF_SIZE] * (vix > 30)
    flags += [F.DEFINED_RISK_ONLY] * (vix > 25) + [F.HALT_SHORT_VEGA] * (vix > 40)
    regime = Regime(
        version=1, phase=draw(st.sampled_from(list(P))), vix=vix, as_of_ns=1,
        vix_flags=tuple(flags) if vix else (F.UNKNOWN,),
    )  # fmt: skip
    flag = st.booleans()
    rules = VolatilityRules(
        enable_jade_lizard=draw(flag), enable_short_strangle=draw(flag),
        enable_short_straddle=draw(flag), allow_naked_premium=draw(flag),
    )  # fmt: skip
    return View(reading, regime, 252, rules)


def by_the_book(view: View) -> dict[StrategyType, float]:
    """Strategy -> strength, each row of the table as one line."""
    reading, phase, vix, rules = view.reading, view.regime.phase, view.regime.vix, view.rules
    rank, ratio, skew = reading.iv_rank, reading.iv_hv_ratio, reading.skew_ratio
    known, score = rank is not None, rank or 0.0
    credit_allowed = vix >= 12 and vix <= 40 and phase is not P.BLOWOFF
    wide = vix <= 25
    naked_ok = rules.allow_naked_premium and credit_allowed and wide
    high = ratio >= 1.25 and known and score >= 50 and credit_allowed
    low = 0 < ratio < 0.8 and known and score < 30
    steep, calm, warm = skew >= 1.5 - 1e-9, phase is P.CONGESTION, ratio > 0 and known
    sweet = 15 <= vix <= 25
    bias = 8.0 if sweet else -5.0 if vix > 30 else -10.0 if 0 < vix < 12 else 0.0
    rich = naked_ok and calm and warm and ratio >= 1.35 and sweet
    rows = [
        (high and phase is P.BULLISH, S.BULL_PUT_SPREAD, score + bias),
        (high and calm, S.IRON_CONDOR, score + 4 + bias),
        (high and phase is P.BEARISH, S.BEAR_CALL_SPREAD, score + bias),
        (low and phase in (P.CONGESTION, P.BEARISH), S.CALENDAR_DIAGONAL, max(0.0, 100 - score)),
        (low and phase is P.BULLISH, S.DITM_CALL, 100 - score),
        (low and phase is P.BEARISH, S.DITM_PUT, 100 - score),
        # Without a rank nothing is sold, whatever the skew.
        (steep and known and credit_allowed and wide and phase in (P.BULLISH, P.CONGESTION),
         S.RISK_REVERSAL, skew * 30),
        (rules.enable_jade_lizard and naked_ok and warm and score >= 50 and steep and calm,
         S.JADE_LIZARD, max(score, skew * 35) + bias),
        (rules.enable_short_strangle and rich and score >= 65, S.SHORT_STRANGLE, score + 3 + bias),
        (rules.enable_short_straddle and rich and score >= 75, S.SHORT_STRADDLE, score + bias),
        # Nor is anything signalled before the daily closes are there.
        (ratio > 0 and reading.term_structure == "INVERTED" and phase is not P.BLOWOFF,
         S.CALENDAR_DIAGONAL, 50.0),
    ]  # fmt: skip
    found: dict[StrategyType, float] = {}
    for matches, strategy, strength in rows:
        if not matches:
            continue
        strength = max(0.0, strength)
        conservative = reading.conservative_rank
        if conservative and strategy not in (S.DITM_CALL, S.DITM_PUT):
            strength = min(strength, 40 + 0.6 * conservative)
        found[strategy] = max(found.get(strategy, 0.0), strength)
    return found


@given(views())
def test_every_view_chooses_what_the_table_says(view: View) -> None:
    chosen, notes = select_structures(view)
    assert {one.strategy: one.strength for one in chosen} == pytest.approx(by_the_book(view))
    assert all(one.is_income == (one.strategy in INCOME) for one in chosen)
    strengths = [one.strength for one in chosen]
    assert strengths == sorted(strengths, reverse=True)
    assert notes  # at least one row did not match, and said why
