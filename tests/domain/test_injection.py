"""A payload from outside becomes a signal, or every bad field is named with its rule."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.injection import LEG_FIELDS, SIGNAL_FIELDS, signal_from_payload
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


NESTED = [1, {"a": 1}]
WRONG_TEXT = (5, NESTED, "x" * 501)
WRONG_NUMBER = ("much", NESTED, True, float("nan"), float("inf"))
WRONG_PRICE = (*WRONG_NUMBER, -5)
WRONG_CAP = (*WRONG_PRICE, 0)
WRONG_WORD = ("NEITHER", 5, NESTED)
WRONG_IN_A_SIGNAL = {
    "instrument": (5, NESTED, "", "INDIAVIX"),
    "strategy_type": (*WRONG_WORD, ""),
    "direction": (*WRONG_WORD, ""),
    "legs": ("OTM1", {"offset": "OTM1"}, [], 5),
    "source": WRONG_WORD,
    "expiry_date": (20261229, NESTED, "soon"),
    "product": (*WRONG_WORD, "CNC"),
    "entry_mode": WRONG_WORD,
    "price_basis": WRONG_WORD,
    "signal_strength": (*WRONG_PRICE, 1001),
    "reason": WRONG_TEXT,
    "pattern": WRONG_TEXT,
    "idempotency_key": (5, NESTED, "x" * 129),
    "correlation_id": (5, NESTED, "x" * 129),
    "lots": (*WRONG_CAP, 1.5, 1001),
    "lot_size": (*WRONG_PRICE, 1.5),
    "dte": (*WRONG_PRICE, 1.5, 401),
    "instrument_vol": (*WRONG_CAP, 6),
    "win_rate": (*WRONG_CAP, 1.5),
    "rr_ratio": (*WRONG_CAP, 101),
    "entry_price": WRONG_PRICE,
    "stop_price": WRONG_PRICE,
    "target_price": WRONG_PRICE,
    "max_loss_per_unit": WRONG_PRICE,
    "signal_direction": (*WRONG_WORD, -5),
    "option_type": (*WRONG_WORD, "FUT"),
    "exchange": (*WRONG_WORD, ["NFO"]),
    "short_delta_target": (*WRONG_CAP, 1.1),
    "wing_delta_target": (*WRONG_CAP, 1.1),
    "rs_score": WRONG_NUMBER,
    "signal_score": WRONG_NUMBER,
    "vol_snapshot": ("iv 14", 5, NESTED),
    "router_reason": WRONG_TEXT,
    "router_action": WRONG_WORD,
    "router_source": WRONG_WORD,
    "router_priority_score": WRONG_NUMBER,
    "confidence": (*WRONG_PRICE, 101),
    "flow_origin": ("yes", 1, NESTED),
    "flow_triggered_at": ("at noon", 5, NESTED),
    "rationale": WRONG_TEXT,
    "vix_at_signal": WRONG_PRICE,
    "max_capital_pct": (*WRONG_CAP, 101),
    "max_abs_inr": WRONG_CAP,
    "correlation": (*WRONG_NUMBER, -5, 1.1),
    "sector_margin_pct": (*WRONG_PRICE, 1.1),
    "timestamp_epoch": (*WRONG_CAP, {"at": 1}),
}
WRONG_IN_A_LEG = {
    "leg_type": (*WRONG_WORD, "HOLD_PUT"),
    "option_type": WRONG_WORD,
    "direction": WRONG_WORD,
    "offset": ("OTM99", 5, NESTED),
    "delta_target": (*WRONG_CAP, 1.1),
    "strike": WRONG_CAP,
    "expiry_date": (20261229, NESTED, "soon"),
    "expiry_offset": (*WRONG_PRICE, 1.5, 61),
    "symbol": WRONG_TEXT,
    "exchange": (*WRONG_WORD, ["NFO"]),
    "ratio": (*WRONG_CAP, 1.5, 11),
    "wing_points": WRONG_CAP,
    "quantity": (*WRONG_CAP, 1.5),
    "order_type": WRONG_WORD,
    "price": WRONG_PRICE,
    "product": WRONG_WORD,
}


def test_every_field_of_the_schema_has_its_wrong_values_here():
    assert set(WRONG_IN_A_SIGNAL) == set(SIGNAL_FIELDS)
    assert set(WRONG_IN_A_LEG) == set(LEG_FIELDS)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, row in WRONG_IN_A_SIGNAL.items() for value in row]
)
def test_a_field_of_a_signal_breaks_no_rule_unnamed(name, value):
    assert name in {field for field, _ in errors(**{name: value})}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, row in WRONG_IN_A_LEG.items() for value in row]
)
def test_a_field_of_a_leg_breaks_no_rule_unnamed(name, value):
    leg = {"option_type": "PE", "direction": "SELL", name: value}
    if name not in ("offset", "delta_target", "strike", "symbol", "wing_points"):
        leg["offset"] = "OTM1"
    assert f"legs[1].{name}" in {field for field, _ in errors(legs=[LEGS[0], leg])}


def test_a_cap_of_nothing_is_no_cap_and_no_word():
    assert signal(max_abs_inr=None, rs_score="", max_capital_pct=2).extras == {
        "max_capital_pct": "2"
    }


def test_a_whole_signal_with_every_provenance_field_is_taken():
    given = {
        "signal_direction": "BUY", "option_type": "CE", "exchange": "nfo", "confidence": 62,
        "short_delta_target": 0.25, "wing_delta_target": 0.1, "correlation": -0.4,
        "sector_margin_pct": 0.2, "vol_snapshot": {"iv": 0.14}, "router_action": "ACCEPT",
        "flow_triggered_at": "2026-11-24T09:31:00+05:30", "timestamp_epoch": 1_785_000_000,
    }  # fmt: skip
    assert set(signal(**given).extras) == set(given)
