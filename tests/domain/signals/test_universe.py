"""The universe: strength and volume of shares beside the benchmark, worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.readings import UniverseRow
from domain.signals.universe import (
    Share,
    UniverseRules,
    always_row,
    build_universe,
    rescore,
)

TODAY = date(2026, 11, 20)
FIRST = TODAY - timedelta(days=60)
RULES = UniverseRules(members_max=3, hot_max=2)


def days_of(closes, volume=600_000.0, last=TODAY - timedelta(days=1)):
    """One close a calendar day, the last one on `last`."""
    first = last - timedelta(days=len(closes) - 1)
    return {first + timedelta(days=n): (close, volume) for n, close in enumerate(closes)}


def line(begin, end, count=51):
    return [begin + (end - begin) * n / (count - 1) for n in range(count)]


MARKET = days_of(line(20_000, 22_000))  # + 10 % over 50 days


def built(*shares, rules=RULES, benchmark=MARKET):
    always = [always_row("NSE_INDEX", "NIFTY", benchmark)]
    return build_universe(TODAY, 7, always=always, benchmark=benchmark, shares=shares, rules=rules)


def row_of(universe, name):
    return next(row for row in universe.rows if row.name == name)


def test_strength_is_growth_over_the_benchmarks_growth():
    # 100 x 1.21 / 1.10 = 110; 100 x 0.99 / 1.10 = 90.
    universe = built(
        Share("NSE", "FAST", days=days_of(line(100, 121))),
        Share("NSE", "SLOW", days=days_of(line(100, 99))),
    )
    assert (row_of(universe, "FAST").rs, row_of(universe, "SLOW").rs) == pytest.approx((110, 90))
    assert [row.name for row in universe.watched] == ["NIFTY", "FAST", "SLOW"]
    assert [row.rank for row in universe.watched] == [0, 1, 2]


@pytest.mark.parametrize(
    ("share", "code"),
    [
        (Share("NSE", "ACME", has_options=False), "NO_OPTIONS"),
        (Share("NSE", "ACME", fault="HTTP 500"), "NO_HISTORY"),
        (Share("NSE", "ACME", days=days_of(line(1, 2, 50))), "SHORT_HISTORY"),
        (
            Share("NSE", "ACME", days=days_of(line(1, 2, 60), last=TODAY - timedelta(days=2))),
            "SHORT_HISTORY",
        ),
        (Share("NSE", "ACME", days=days_of(line(1, 2), volume=499_999)), "VOLUME_BELOW_MIN"),
        (Share("NSE", "ACME", days=days_of(line(1, 2), volume=500_000)), ""),
    ],
)
def test_a_share_that_is_left_out_has_a_code_and_a_sentence(share, code):
    row = row_of(built(share), "ACME")
    assert row.code == code
    assert row.text.startswith("ACME: ") if code else row.text == ""


def test_a_share_that_stopped_trading_is_left_out():
    long = days_of(line(20_000, 22_000, 80))
    share = Share("NSE", "ACME", days=days_of(line(1, 2, 60), last=TODAY - timedelta(days=9)))
    row = row_of(built(share, benchmark=long), "ACME")
    assert (row.code, row.text) == ("STALE_HISTORY", "ACME: its newest daily bar is of 11 Nov")


def test_only_the_strongest_are_kept_and_only_the_first_of_them_are_hot():
    shares = [Share("NSE", f"S{n}", days=days_of(line(100, 100 + n))) for n in range(5)]
    universe = built(*shares)
    assert [row.name for row in universe.watched] == ["NIFTY", "S4", "S3", "S2"]
    assert universe.hot == (("NSE", "S4"), ("NSE", "S3"))
    left = {row.name: row.code for row in universe.rows if row.code}
    assert left == {"S1": "RANK_BELOW_TOP", "S0": "RANK_BELOW_TOP"}
    # 100 x 1.01 / 1.10 = 91.8
    assert row_of(universe, "S1").text == "S1: strength 91.8 is rank 4, 3 are kept"


def test_the_indices_of_the_operator_stand_even_when_nothing_else_does():
    universe = built(Share("NSE", "ACME", fault="no answer"), benchmark=None)
    assert [row.name for row in universe.watched] == ["NIFTY"]
    assert universe.hot == ()


def test_live_prices_rank_the_members_anew_by_the_day_after_the_first():
    # Today is the 51st day after the base, which is the second of the 51 days: 100.42 and 20,040.
    universe = built(
        Share("NSE", "FAST", days=days_of(line(100, 121))),
        Share("NSE", "SLOW", days=days_of(line(100, 99))),
    )
    prices = {"NIFTY": 20_040.0, "FAST": 100.42, "SLOW": 199.96}
    again = rescore(universe, prices, "NIFTY", now_ns=9, rules=RULES)
    assert row_of(again, "FAST").rs == pytest.approx(100.0)
    assert row_of(again, "SLOW").rs == pytest.approx(200.0)  # its base is 99.98
    assert [row.name for row in again.watched] == ["NIFTY", "SLOW", "FAST"]
    assert (again.built_ns, again.scored_ns) == (7, 9)


def test_a_member_without_a_price_keeps_its_strength():
    universe = built(Share("NSE", "FAST", days=days_of(line(100, 121))))
    for prices in ({}, {"FAST": 200.0}, {"NIFTY": 20_040.0}, {"NIFTY": 20_040.0, "FAST": 0.0}):
        again = rescore(universe, prices, "NIFTY", now_ns=9, rules=RULES)
        assert row_of(again, "FAST").rs == row_of(universe, "FAST").rs


def test_a_share_that_was_left_out_is_not_scored_again():
    thin = Share("NSE", "THIN", days=days_of(line(100, 121), volume=1.0))
    universe = built(thin, Share("NSE", "FAST", days=days_of(line(100, 121))))
    prices = {"NIFTY": 20_040.0, "FAST": 150.0, "THIN": 900.0}
    again = rescore(universe, prices, "NIFTY", now_ns=9, rules=RULES)
    assert row_of(again, "THIN") == row_of(universe, "THIN")
    assert row_of(again, "FAST") != row_of(universe, "FAST")


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=12), st.data())
def test_ranks_are_whole_whatever_the_prices_do(growths, data):
    shares = [
        Share("NSE", f"S{n:02}", days=days_of(line(100, 100 * growth)))
        for n, growth in enumerate(growths)
    ]
    universe = built(*shares)
    price = st.floats(0.0, 1_000.0)
    names = [row.name for row in universe.rows]
    prices = data.draw(st.dictionaries(st.sampled_from(names), price))
    again = rescore(universe, prices, "NIFTY", now_ns=9, rules=RULES)
    members = [row for row in again.watched if row.rank]
    assert [row.rank for row in members] == list(range(1, min(3, len(growths)) + 1))
    assert [row.rs for row in members] == sorted((row.rs for row in members), reverse=True)
    assert {row.name for row in again.rows} == set(names)
    assert len(again.hot) == min(2, len(growths))


def test_a_row_of_the_operators_list_has_no_base_without_days():
    assert always_row("NSE_INDEX", "NIFTY", None) == UniverseRow(
        "NSE_INDEX", "NIFTY", rs=pytest.approx(float("nan"), nan_ok=True)
    )
