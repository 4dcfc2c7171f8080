"""A payload from outside becomes a signal, or every bad field is named with its rule."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.injection import signal_from_payload
from domain.instruments import Kind
from domain.intents import Bias, Signal, StrategyType
from tests.kit.recording_context import START_NS

LEGS = [
    {"leg_type": "BUY_PUT", "offset": "OTM3"},
    {"option_type": "PE", "direction": "SELL", "offset": "OTM1"},
]
GOOD = {
    "instrument": "nifty",
    "strategy_type": "BULL_PUT_SPREAD",
    "direction": "SELL",
    "legs": LEGS,
    "dte": 30,
}


def errors(**changes):
    found = signal_from_payload(GOOD | changes, START_NS)
    assert isinstance(found, list)
    return {(row.field, row.code) for row in found}


def signal(**changes):
    found = signal_from_payload(GOOD | changes, START_NS)
    assert isinstance(found, Signal), found
    return found


def test_a_good_payload_becomes_a_signal():
    found = signal()
    assert found.instrument == "NIFTY"
    assert found.strategy is StrategyType.BULL_PUT_SPREAD
    assert found.bias is Bias.BULLISH
    assert (found.dte_min, found.dte_max) == (30, 45)
    assert [(leg.direction, leg.option_type, leg.offset) for leg in found.legs] == [
        ("BUY", Kind.PUT, "OTM3"),
        ("SELL", Kind.PUT, "OTM1"),
    ]
    assert found.valid_until_ns == START_NS + 60 * 10**9
    assert found.correlation_id == f"HTTP:NIFTY:{START_NS // 10**6}:1"


def test_the_same_payload_at_the_same_time_gives_the_same_signal():
    assert signal() == signal()


@pytest.mark.parametrize(
    ("dte", "band"), [(10, (5, 10)), (30, (30, 45)), (0, (0, 0)), (20, (20, 35))]
)
def test_days_to_expiry_become_a_band(dte, band):
    found = signal(dte=dte)
    assert (found.dte_min, found.dte_max) == band


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"instrument": ""}, ("instrument", "MISSING_INSTRUMENT")),
        ({"instrument": "INDIA VIX"}, ("instrument", "CONTEXT_ONLY")),
        ({"strategy_type": None}, ("strategy_type", "MISSING_STRATEGY")),
        ({"strategy_type": "BUTTERFLY"}, ("strategy_type", "UNKNOWN_STRATEGY")),
        ({"strategy_type": "SKIP"}, ("strategy_type", "UNKNOWN_STRATEGY")),
        ({"direction": "BUY"}, ("direction", "DIRECTION")),
        ({"direction": None}, ("direction", "DIRECTION")),
        ({"legs": []}, ("legs", "LEGS_REQUIRED")),
        ({"legs": "OTM1"}, ("legs", "LEGS_INVALID")),
        ({"legs": [LEGS[0], {**LEGS[1], "offset": "OTM99"}]}, ("legs[1].offset", "LEGS_INVALID")),
        ({"legs": [LEGS[0], {**LEGS[1], "strike": 23800}]}, ("legs[1]", "LEGS_INVALID")),
        ({"legs": [LEGS[0], {"offset": "OTM1"}]}, ("legs[1].direction", "LEGS_INVALID")),
        ({"legs": [LEGS[0], {**LEGS[1], "wing": 1}]}, ("legs[1].wing", "LEGS_INVALID")),
        ({"win_rate": 1.5}, ("win_rate", "FIELD_INVALID")),
        ({"rr_ratio": 0}, ("rr_ratio", "FIELD_INVALID")),
        ({"entry_price": "abc"}, ("entry_price", "FIELD_INVALID")),
        ({"entry_price": float("nan")}, ("entry_price", "FIELD_INVALID")),
        ({"entry_price": -1}, ("entry_price", "FIELD_INVALID")),
        ({"lots": 1.5}, ("lots", "FIELD_INVALID")),
        ({"lots": True}, ("lots", "FIELD_INVALID")),
        ({"expiry_date": "soon"}, ("expiry_date", "FIELD_INVALID")),
        ({"product": "CNC"}, ("product", "FIELD_INVALID")),
        ({"source": "ME"}, ("source", "FIELD_INVALID")),
        ({"reason": "x" * 501}, ("reason", "FIELD_INVALID")),
        ({"max_abs_inr": "much"}, ("max_abs_inr", "FIELD_INVALID")),
        ({"vol_snapshot": {"iv": float("nan")}}, ("", "FIELD_INVALID")),
        ({"stratgy": 1}, ("stratgy", "UNKNOWN_FIELD")),
    ],
)
def test_a_bad_field_is_named_with_its_rule(changes, expected):
    assert expected in errors(**changes)


def test_all_bad_fields_are_told_at_once():
    assert len(errors(instrument="", direction="UP", win_rate=2)) == 3


def test_numbers_may_come_as_texts():
    found = signal(entry_price="12.5", legs=[LEGS[0], {**LEGS[1], "ratio": "1"}])
    assert found.entry_price == 12.5


def test_a_strike_stays_exact():
    leg = {"option_type": "PE", "direction": "BUY", "strike": 23600.05, "expiry_date": "29DEC26"}
    assert signal(legs=[leg, LEGS[1]]).legs[0].strike == Decimal("23600.05")


def test_where_it_came_from_is_kept():
    found = signal(flow_origin=True, rs_score=7, source="FLOW")
    assert found.extras == {"rs_score": "7", "flow_origin": "True"}
    assert found.source == "FLOW"
