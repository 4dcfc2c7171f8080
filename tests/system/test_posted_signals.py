"""Signals that a person posts: traced to their end, told apart, refused field by field.

One quiet system for the module: it has no scans of its own.
"""

from __future__ import annotations

import pytest

from tests.kit.trading_system import TradingSystem, condor

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("posted_signals")]


def test_an_injected_signal_is_traced_to_its_end(quiet_system: TradingSystem) -> None:
    signal = condor("BANKNIFTY", idempotency_key="walk-1")
    first = quiet_system.post("/tomic/signals", signal)[1]
    # A short's limit may rest for three minutes before it is given up.
    trace = quiet_system.wait_ended(first["correlation_id"], within_s=230)
    assert trace["state"] in ("DONE", "FAILED"), trace
    assert trace["evaluation"]["result"] == "enqueued"
    assert {row["symbol"] for row in trace["fills"]} <= {row["symbol"] for row in trace["orders"]}
    again, other = quiet_system.post("/tomic/signals", signal), {**signal, "dte": 31}
    assert again[0] == 202
    assert again[1]["correlation_id"] == first["correlation_id"]
    assert again[1]["duplicate"] is True
    conflict = quiet_system.post("/tomic/signals", other)
    assert (conflict[0], conflict[1]["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    commands = quiet_system.get("/tomic/commands")[1]["items"]
    assert [row["correlation_id"] for row in commands].count(first["correlation_id"]) == 1


def test_each_wrong_field_of_a_signal_is_named(quiet_system: TradingSystem) -> None:
    leg = {"option_type": "XX", "direction": "HOLD", "strike": -1, "ratio": 0, "colour": "red"}
    wrong = {
        "instrument": "INDIAVIX", "strategy_type": "MARTINGALE", "direction": "LONG",
        "legs": [leg], "source": "NOBODY", "expiry_date": "someday", "product": "CNC",
        "entry_mode": "yolo", "price_basis": "MOON", "signal_strength": "strong", "reason": 7,
        "idempotency_key": "k" * 129, "lots": 0, "lot_size": 1.5, "dte": -1, "entry_price": "x",
        "stop_price": -1, "target_price": [], "max_loss_per_unit": True, "instrument_vol": 0,
        "win_rate": 2, "rr_ratio": -1, "correlation_id": 1, "pattern": {}, "confidence": "high",
        "option_type": [1, {"a": 1}], "exchange": ["NFO"], "signal_direction": -5,
        "max_abs_inr": -5, "max_capital_pct": 0, "correlation": -5, "timestamp_epoch": {"at": 1},
        "colour": "red",
    }  # fmt: skip
    status, answer = quiet_system.post("/tomic/signals", wrong)
    assert (status, answer["code"]) == (400, "INVALID_SIGNAL")
    named = {row["field"] for row in answer["details"]}
    assert named >= set(wrong) - {"legs"}
    assert named >= {f"legs[0].{field}" for field in leg}
    assert all(row["message"] for row in answer["details"])


@pytest.mark.parametrize("body", [[], "condor", None])
def test_a_body_that_is_no_signal_is_refused(quiet_system: TradingSystem, body: object) -> None:
    status, answer = quiet_system.post("/tomic/signals", body)
    assert (status, answer["status"]) == (400, "error")


def test_a_request_without_the_key_is_told_to_come_with_it(quiet_system: TradingSystem) -> None:
    status, answer = quiet_system.request("GET", "/tomic/status", None, 10, key="wrong")
    assert (status, answer["message"]) == (401, "Authentication required")
