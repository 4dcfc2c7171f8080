"""At-the-money strikes, the ladder, its hysteresis, and the choice of expiries."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from domain.clock import seconds
from domain.instruments import Kind
from domain.intents import Leg, Refusal
from domain.market.atm import (
    Anchor,
    has_moved,
    ladder,
    nearest_strike,
    strike_step,
    strikes_reached,
)
from domain.market.expiries import expiries_to_keep, expiry_of_leg, in_band, is_monthly


@pytest.mark.parametrize(
    ("price", "step", "expected"),
    [(2641.5, 5, 2640), (25175, 50, 25200), (25225, 50, 25250), (101.25, 2.5, 102.5)],
)
def test_the_nearest_strike_and_an_exact_half_goes_up(price, step, expected):
    strikes = np.arange(0, 30_000, step)
    assert strikes[nearest_strike(strikes, price)] == expected


def test_the_step_is_the_most_frequent_gap_near_the_money_and_the_smaller_on_a_tie():
    assert strike_step([100, 102.5, 105, 107.5, 110, 120, 130], 105) == 2.5
    assert strike_step([100, 110, 120, 125, 130], 115) == 5
    assert strike_step([100], 100) == 0


def test_far_strikes_with_another_step_do_not_vote():
    near = list(range(24_000, 25_001, 50))
    far = list(range(30_000, 60_000, 1000))
    assert strike_step(near + far, 24_500) == 50


@pytest.mark.parametrize(
    ("price", "seconds_on", "recenter", "moved"),
    [
        (24_049.9, 1, 1.0, False),
        (24_050, 1, 1.0, True),
        (23_950, 1, 1.0, True),
        (24_060, 1, 2.0, False),
        (24_030, 1, 0.5, False),
        (24_000, 90, 1.0, False),
        (24_000, 90.001, 1.0, True),
    ],
)
def test_the_ladder_moves_a_whole_step_from_its_anchor_or_when_it_is_old(
    price, seconds_on, recenter, moved
):
    anchor = Anchor(24_000, 24_000, 0)
    now_ns = seconds(seconds_on)
    assert has_moved(anchor, price, now_ns, step=50, recenter_steps=recenter, refresh_s=90) is moved


def test_a_price_swinging_about_a_half_keeps_its_strike():
    anchor = Anchor(24_050, 24_026, 0)
    for price in (24_024, 24_026, 24_020, 24_030):
        assert not has_moved(anchor, price, 1, step=50, recenter_steps=1.0, refresh_s=90)


def test_without_an_anchor_the_ladder_is_found():
    assert has_moved(None, 1.0, 0, step=50, recenter_steps=1.0, refresh_s=90)


def test_the_ladder_takes_listed_strikes_only():
    strikes = np.array([100.0, 105, 110, 115, 120, 130])
    assert ladder(strikes, 111, 2).tolist() == [100, 105, 110, 115, 120]
    assert ladder(strikes, 129, 2).tolist() == [115, 120, 130]


def test_a_month_out_the_ladder_reaches_further_than_a_week_out():
    # 1.6 x 0.15 x sqrt(36/365) x 24000 / 50 = 36.2
    assert strikes_reached(24_000, 50, 36 / 365, 0.15) == 37
    assert strikes_reached(24_000, 50, 0.0, 0.15) == 0


LISTED = [
    date(2026, 11, 24), date(2026, 12, 1), date(2026, 12, 8), date(2026, 12, 22),
    date(2026, 12, 29), date(2027, 1, 5), date(2027, 1, 25),
]  # fmt: skip
TODAY = date(2026, 11, 20)


def test_a_monthly_is_the_last_expiry_of_its_month():
    assert [day for day in LISTED if is_monthly(day, LISTED)] == [LISTED[0], LISTED[4], LISTED[6]]


def test_in_the_band_the_monthly_goes_before_an_earlier_weekly():
    assert in_band(LISTED, TODAY, 30, 45) == date(2026, 12, 29)  # the 22nd (32 days) is in it too
    assert in_band(LISTED, TODAY, 30, 35) == date(2026, 12, 22)
    assert in_band(LISTED, TODAY, 5, 10) is None


def test_kept_are_the_front_ones_each_band_and_what_is_held():
    kept = expiries_to_keep(LISTED, TODAY, count=2, bands=[(30, 45)], held=[date(2027, 1, 5)])
    assert kept == [LISTED[0], LISTED[1], LISTED[4], LISTED[5]]


def test_an_expiry_held_but_listed_no_more_is_not_kept():
    assert expiries_to_keep(LISTED, TODAY, count=1, bands=[], held=[date(2026, 11, 17)]) == [
        LISTED[0]
    ]


def expiry(leg_expiry=None, offset=None, band=(0, 0), ordered=None):
    leg = Leg(Kind.CALL, "BUY", expiry=leg_expiry, expiry_offset=offset)
    return expiry_of_leg(leg, LISTED, TODAY, dte_min=band[0], dte_max=band[1], ordered=ordered)


def test_a_legs_own_expiry_goes_before_its_offset_the_band_and_the_orders():
    assert expiry(LISTED[5], 1, (30, 45), LISTED[0]) == LISTED[5]
    assert expiry(None, 1, (0, 0), LISTED[2]) == LISTED[1]
    assert expiry(None, None, (30, 45), LISTED[0]) == LISTED[4]
    assert expiry(None, None, (0, 0), LISTED[2]) == LISTED[2]
    assert expiry() == LISTED[0]


@pytest.mark.parametrize(
    ("today", "short", "long"),
    [
        (date(2026, 11, 24), date(2026, 12, 1), date(2026, 12, 8)),  # the front expires today
        (date(2026, 11, 23), date(2026, 12, 1), date(2026, 12, 8)),  # and tomorrow
        (date(2026, 11, 19), date(2026, 11, 24), date(2026, 12, 1)),
    ],
)
def test_a_calendar_sells_the_expiry_of_its_band_and_buys_the_one_after(today, short, long):
    def found(offset):
        leg = Leg(Kind.CALL, "BUY", offset="ATM", expiry_offset=offset)
        return expiry_of_leg(leg, LISTED, today, dte_min=5, dte_max=10, ordered=None)

    assert (found(0), found(1)) == (short, long)


def test_no_offset_leads_around_an_empty_band():
    assert expiry(offset=0, band=(5, 10)).code == "NO_EXPIRY_IN_DTE_BAND"
    assert expiry(offset=1, band=(5, 10)).code == "NO_EXPIRY_IN_DTE_BAND"


def test_an_offset_beyond_the_list_is_an_error_and_never_clamped():
    refused = expiry(offset=7)
    assert isinstance(refused, Refusal)
    assert refused.code == "EXPIRY_OFFSET_BEYOND_LIST"
    assert "7 are listed" in refused.text


def test_an_empty_band_and_an_unlisted_expiry_are_refused():
    assert expiry(band=(5, 10)).code == "NO_EXPIRY_IN_DTE_BAND"
    assert expiry(date(2026, 11, 25)).code == "EXPIRY_NOT_LISTED"
