"""Expiry-day options: within their hour, both sides, cheap, nearest the money."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal

import numpy as np
import pytest

from domain.clock import EXCHANGE_ZONE, epoch_ns, seconds
from domain.instruments import Kind
from domain.intents import Refusal, StrategyType
from domain.prices import CHAIN_DTYPE
from domain.risk.validation import check_signal
from domain.signals.expiry import (
    ExpiringChain,
    ExpiryRules,
    gamma_legs,
    gamma_signal,
    window_hold,
)

DAY = date(2026, 11, 24)
RULES = ExpiryRules()


def at(hour: int, minute: int, second: int = 0) -> int:
    return epoch_ns(datetime.combine(DAY, time(hour, minute, second), EXCHANGE_ZONE))


NOW = at(14, 5)
# strike, offer of the call, offer of the put; spot 25,010
OFFERS = (
    (24_800, np.nan, 0.45),
    (24_850, np.nan, 0.5),
    (24_900, np.nan, 4.0),
    (24_950, np.nan, 10.05),
    (25_000, 40.0, 24.0),
    (25_050, 18.0, 60.0),
    (25_100, 10.0, 110.0),
    (25_150, 3.0, np.nan),
    (25_200, 0.5, np.nan),
)


def chain(offers=OFFERS, **changes) -> ExpiringChain:
    rows = np.zeros(2 * len(offers), CHAIN_DTYPE)
    for index, (strike, call, put) in enumerate(offers):
        for row, is_call, ask in ((2 * index, True, call), (2 * index + 1, False, put)):
            rows[row]["strike"], rows[row]["is_call"], rows[row]["ask"] = strike, is_call, ask
    return replace(ExpiringChain("NIFTY", DAY, 25_010.0, rows, NOW), **changes)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [(at(13, 59, 59), False), (at(14, 0), True), (at(14, 59, 59), True), (at(15, 0), False)],
)
def test_the_hour_is_from_two_to_three(moment: int, is_open: bool) -> None:
    found = window_hold(RULES, "NIFTY", moment, at(15, 0))
    assert (found is None) == is_open
    if found:
        assert found == Refusal(
            "OUTSIDE_EXPIRY_HOUR", "NIFTY: expiry options are bought from 14:00 to 15:00"
        )


def test_without_a_session_there_is_no_hour() -> None:
    found = window_hold(RULES, "NIFTY", NOW, 0)
    assert found == Refusal("OUTSIDE_EXPIRY_HOUR", "NIFTY: no session is open")


def test_the_nearest_option_of_each_side_that_is_cheap_enough_is_bought() -> None:
    # The put of 24,950 costs 10.05 and is too dear; the call of 25,100 costs just 10.
    legs = gamma_legs(chain(), NOW, RULES)
    assert not isinstance(legs, Refusal)
    assert [(leg.option_type, leg.direction, leg.strike, leg.expiry) for leg in legs] == [
        (Kind.PUT, "BUY", Decimal(24_900), DAY), (Kind.CALL, "BUY", Decimal(25_100), DAY),
    ]  # fmt: skip


@pytest.mark.parametrize(("drop", "word"), [("put", "put"), ("call", "call")])
def test_one_side_alone_is_never_bought(drop: str, word: str) -> None:
    offers = [
        (strike, np.nan if drop == "call" else call, np.nan if drop == "put" else put)
        for strike, call, put in OFFERS
    ]
    found = gamma_legs(chain(offers), NOW, RULES)
    assert isinstance(found, Refusal)
    assert found.code == "NO_CHEAP_OPTION"
    assert f"no {word} out of the money" in found.text


def test_an_option_in_the_money_is_not_bought_however_cheap() -> None:
    found = gamma_legs(chain([(25_000, 5.0, 5.0), (25_010, 5.0, 5.0)]), NOW, RULES)
    assert isinstance(found, Refusal)


def test_an_old_chain_or_none_of_the_spot_buys_nothing() -> None:
    old = gamma_legs(chain(heard_ns=NOW - seconds(11)), NOW, RULES)
    blind = gamma_legs(chain(spot=0.0), NOW, RULES)
    assert isinstance(old, Refusal)
    assert isinstance(blind, Refusal)
    assert old.code == blind.code == "NO_LIVE_CHAIN"


def test_the_signal_is_a_structure_of_two_buys_that_ends_the_same_day() -> None:
    legs = gamma_legs(chain(), NOW, RULES)
    assert not isinstance(legs, Refusal)
    signal = gamma_signal(chain(), legs, RULES, now_ns=NOW, valid_s=60)
    assert (signal.strategy, signal.direction) == (StrategyType.GAMMA_CAPTURE, "BUY")
    assert (signal.source, signal.entry_mode) == ("EXPIRY", "expiry_gamma")
    assert signal.expiry == DAY
    assert check_signal(signal, NOW) is None
    assert signal.reason == "expiry today: cheap PE 24900 and CE 25100 at spot 25010"
