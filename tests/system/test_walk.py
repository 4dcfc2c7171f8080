"""docs/life_of_a_tick.md on the real system: sized, hedged, filled, watched, closed, journaled.

One system for the module. What a scan finds changes with the hour of the generated market, so the
condor comes from us; the broker is judged by its own books, read with the official client.
"""

from __future__ import annotations

import json

import pytest
from openalgo import api

from tests.kit.trading_system import (
    BROKER,
    REST_PORT,
    TradingSystem,
    condor,
    uncovered,
    wait_for,
)

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("walk")]


@pytest.fixture(scope="module")
def found(quiet_system: TradingSystem) -> str:
    """Strategy id of the condor that is walked."""
    return quiet_system.enter("NIFTY")


def official(system: TradingSystem) -> api:
    """The official client at the execution broker."""
    key = json.loads((system.folder / "var" / "sandbox" / "keys.json").read_text())[BROKER]
    return api(key, host=f"http://127.0.0.1:{system.ports[REST_PORT]}")


def test_a_scan_gives_a_signal_or_a_reason(quiet_system: TradingSystem) -> None:
    status, answer = quiet_system.get("/tomic/signals/quality?run_scan=true")
    assert status == 200
    quality = answer["data"]
    assert quality["signals"]["top_volatility"] or quality["diagnostics"]["no_action_reasons"]


def test_the_condor_is_filled_in_all_its_legs(quiet_system: TradingSystem, found: str) -> None:
    assert found.startswith("TOMIC_IRON_CONDOR_NIFTY_")
    rows = [row for row in quiet_system.orders(found) if row["filled_quantity"]]
    legs = {(row["kind"], row["action"]) for row in rows}
    assert sorted(legs) == [("CE", "BUY"), ("CE", "SELL"), ("PE", "BUY"), ("PE", "SELL")]


def test_its_journal_row_has_eight_steps_of_sizing_each_with_a_reason(
    quiet_system: TradingSystem, found: str
) -> None:
    trades = quiet_system.get("/tomic/journal")[1]["trades"]
    trade = next(row for row in trades if row["strategy_id"] == found)
    assert [step["step"] for step in trade["sizing_chain"]] == list(range(1, 9))
    assert all(step["reason"] for step in trade["sizing_chain"])


def test_the_broker_took_both_hedges_before_any_short(
    quiet_system: TradingSystem, found: str
) -> None:
    ours = {row["broker_order_id"] for row in quiet_system.orders(found) if not row["is_exit"]}
    book = official(quiet_system).orderbook()["data"]["orders"]
    entry = [row for row in book if row["orderid"] in ours and row["order_status"] == "complete"]
    entry.sort(key=lambda row: int(row["orderid"]))
    assert [row["action"] for row in entry] == ["BUY", "BUY", "SELL", "SELL"]
    assert uncovered(quiet_system.broker_orders()) == []


def test_the_position_manager_watches_it(quiet_system: TradingSystem, found: str) -> None:
    def watched() -> bool:
        row = quiet_system.part("position_manager").get(found, {})
        return row.get("instrument") == "NIFTY" and row["entry_credit"] > 0

    wait_for(watched, "it is watched with its credit")


def test_a_close_buys_the_shorts_back_before_it_sells_the_longs(
    quiet_system: TradingSystem, found: str
) -> None:
    quiet_system.close(found)
    ours = {row["broker_order_id"] for row in quiet_system.orders(found) if row["is_exit"]}
    closing = [row for row in quiet_system.broker_orders() if row["orderid"] in ours]
    filled = [row["action"] for row in closing if row["order_status"] == "complete"]
    assert filled == sorted(filled)
    assert filled.count("BUY") == filled.count("SELL") == 2
    positions = official(quiet_system).positionbook()["data"]
    assert positions
    assert {int(row["quantity"]) for row in positions} == {0}


def test_the_closed_trade_is_journaled_with_its_charges(
    quiet_system: TradingSystem, found: str
) -> None:
    def closed() -> dict | None:
        trades = quiet_system.get("/tomic/journal")[1]["trades"]
        return next((row for row in trades if row["strategy_id"] == found and row["exit_ns"]), None)

    trade = wait_for(closed, "the exit is journaled")
    assert trade["exit_reason"] == "drill"
    assert float(trade["charges"]) > 0
    assert float(trade["pnl"]) == pytest.approx(float(trade["gross"]) - float(trade["charges"]))


def test_the_audit_trail_has_the_orders_and_the_hand_that_closed(
    quiet_system: TradingSystem, found: str
) -> None:
    entries = quiet_system.get("/tomic/audit?limit=1000")[1]["entries"]
    text = [json.dumps(row) for row in entries if found in json.dumps(row)]
    actions = {json.loads(row)["action"] for row in text}
    assert {"OrderFilled", "CommandEnded", "CloseStructure"} <= actions
    assert quiet_system.journal().verify() == []


def test_the_facts_tell_of_its_opening_and_its_end_once_each(
    quiet_system: TradingSystem, found: str
) -> None:
    facts = quiet_system.journal().facts(kinds=("StructureOpened", "StructureClosed"))
    told = [fact.kind for fact in facts if found in json.dumps(fact.body)]
    assert told == ["StructureOpened", "StructureClosed"]


def test_an_injected_signal_is_traced_to_its_end(quiet_system: TradingSystem, found: str) -> None:
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
