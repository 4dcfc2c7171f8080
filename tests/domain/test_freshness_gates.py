"""The gates of `tomic.md` 9.4, each at its limit and one nanosecond past it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domain.clock import NS_PER_S, seconds
from domain.freshness import check_freshness, last_true_ns, told_ns
from domain.prices import TICK_DTYPE
from domain.readings import FreshnessMark
from domain.stamps import Stamps

NOW = 1_795_149_900_000_000_000
PUT = "NIFTY24NOV2623800PE"
FRESH = FreshnessMark(
    as_of_ns=NOW, expires_ns=NOW + seconds(3), quotes_ns=Stamps.of({"NIFTY": NOW, PUT: NOW}),
    iv_ns={"NIFTY": NOW}, vix_ns=NOW, switched_ns=0, gate_open=True,
    depth_ns=Stamps.of({"NIFTY": NOW}), pcr_ns={"NIFTY": NOW},
    gex_ns={"NIFTY": NOW}, max_pain_ns={"NIFTY": NOW},
)  # fmt: skip


def report(mark, *, selling=True, depth=True, now_ns=NOW, underlying="NIFTY"):
    return check_freshness(
        mark, underlying, [PUT], premium_selling=selling, needs_depth=depth, now_ns=now_ns
    )


def aged(field, age_s, past=0):
    stamp = NOW - seconds(age_s) - past
    values = {
        "underlying": {"quotes_ns": Stamps.of({"NIFTY": stamp, PUT: NOW})},
        "option": {"quotes_ns": Stamps.of({"NIFTY": NOW, PUT: stamp})},
        "vix": {"vix_ns": stamp},
    }.get(field, {f"{field}_ns": {"NIFTY": stamp}})
    return replace(FRESH, **values)


def test_fresh_data_passes_without_a_word():
    result = report(FRESH)
    assert (result.passed, result.blocking, result.warning, result.details) == (True, (), (), {})


@pytest.mark.parametrize(
    ("field", "limit_s", "code"),
    [
        ("underlying", 5, "STALE_QUOTE"),
        ("option", 10, "STALE_OPTION"),
        ("depth", 5, "NO_DEPTH"),
        ("iv", 120, "IV_HARD_BLOCK"),
        ("vix", 60, "VIX_STALE"),
    ],
)
def test_a_premium_sale_is_blocked_past_the_limit_and_not_at_it(field, limit_s, code):
    assert code not in report(aged(field, limit_s)).blocking
    result = report(aged(field, limit_s, past=1))
    assert result.blocking == (code,)
    assert not result.passed
    assert result.details[code]


@pytest.mark.parametrize(
    ("field", "limit_s", "code"),
    [("pcr", 120, "PCR_STALE"), ("gex", 120, "GEX_STALE"), ("max_pain", 300, "MAX_PAIN_STALE"),
     ("iv", 60, "IV_STALE")],
)  # fmt: skip
def test_these_readings_only_warn(field, limit_s, code):
    assert report(aged(field, limit_s)).warning == ()
    result = report(aged(field, limit_s, past=1))
    assert (result.passed, result.warning) == (True, (code,))


@pytest.mark.parametrize(("field", "code"), [("iv", "IV_STALE"), ("vix", "VIX_STALE")])
def test_old_volatility_blocks_only_who_sells_premium(field, code):
    result = report(aged(field, 500), selling=False)
    assert (result.passed, result.warning) == (True, (code,))


def test_a_feed_switch_holds_entries_for_thirty_seconds():
    assert report(replace(FRESH, switched_ns=NOW - seconds(29))).blocking == ("FEED_SWITCHING",)
    assert report(replace(FRESH, switched_ns=NOW - seconds(30))).passed


def test_an_option_never_seen_is_infinitely_old_whatever_its_underlying_does():
    result = report(replace(FRESH, quotes_ns=Stamps.of({"NIFTY": NOW})))
    assert result.blocking == ("STALE_OPTION",)
    assert "never seen" in result.details["STALE_OPTION"]


@pytest.mark.parametrize("alias", ["NIFTY", "NIFTY 50", "NSE_INDEX:NIFTY", "NIFTYINDEX"])
def test_an_index_is_found_under_its_aliases(alias):
    assert report(FRESH, underlying=alias).passed


@pytest.mark.parametrize(("mark", "now_ns"), [(None, NOW), (FRESH, NOW + seconds(3) + 1)])
def test_without_a_valid_mark_everything_counts_as_stale(mark, now_ns):
    assert report(mark, now_ns=now_ns).blocking == ("STALE_QUOTE",)


def test_a_closed_entry_gate_blocks_with_its_reason():
    result = report(replace(FRESH, gate_open=False, gate_reason="no bar closed for 121 s"))
    assert result.details == {"ENTRY_GATE_CLOSED": "no bar closed for 121 s"}


def test_depth_is_asked_for_only_when_needed():
    assert report(replace(FRESH, depth_ns=Stamps()), depth=False).passed


@pytest.mark.parametrize(
    ("field", "code"),
    [("underlying", "STALE_QUOTE"), ("option", "STALE_OPTION"), ("depth", "NO_DEPTH"),
     ("iv", "IV_HARD_BLOCK"), ("vix", "VIX_STALE")],
)  # fmt: skip
def test_what_was_stamped_before_the_clock_was_set_back_is_stale(field, code):
    assert report(aged(field, -1)).passed
    result = report(aged(field, -1, past=-1))
    assert result.blocking == (code,)
    assert "1.0 s ahead of the clock" in result.details[code]


def test_a_mark_from_before_the_clock_was_set_back_is_not_valid():
    assert report(FRESH, now_ns=NOW - seconds(1)).passed
    assert report(FRESH, now_ns=NOW - seconds(1) - 1).blocking == ("STALE_QUOTE",)


def test_a_recorded_volatility_stands_until_the_next_row_is_due():
    old = aged("iv", 150)
    assert report(old).blocking == ("IV_HARD_BLOCK",)
    result = report(replace(old, stands_ns=60 * NS_PER_S))
    assert (result.blocking, result.warning) == ((), ("IV_STALE",))


def test_a_price_is_as_old_as_its_source_says_and_never_younger_than_its_arrival():
    ticks = np.zeros(2, TICK_DTYPE)
    ticks["ts_ns"], ticks["received_ns"] = [100, 300], 200
    assert told_ns(ticks).tolist() == [100, 200]


def test_a_recorded_price_stands_until_the_next_row_is_due_and_ages_from_then() -> None:
    minute_ns = 60 * NS_PER_S
    seen_ns = 1_000 * NS_PER_S
    assert last_true_ns(seen_ns, seen_ns + 59 * NS_PER_S, minute_ns) == seen_ns + 59 * NS_PER_S
    assert last_true_ns(seen_ns, seen_ns + 75 * NS_PER_S, minute_ns) == seen_ns + minute_ns


def test_a_live_price_is_true_at_its_own_moment_only() -> None:
    assert last_true_ns(1_000, 9_000, 0) == 1_000
    assert last_true_ns(0, 9_000, 60) == 0
