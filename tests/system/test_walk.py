"""docs/life_of_a_tick.md on the real system: a condor that the scan loop found, until it is closed.

The default tree as a newcomer starts it, at whatever hour; nobody injects anything. The broker is
judged by its own books, read with the official client.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from openalgo import api

from tests.kit.trading_system import (
    BROKER,
    REST_PORT,
    Row,
    TradingSystem,
    trading_system,
    uncovered,
    wait_for,
)

pytestmark = [pytest.mark.timeout(1_200), pytest.mark.xdist_group("walk")]

# An entry whose short nobody took is given up after three minutes, and the next waits a cool-down:
# room for three of them.
FOUND_WITHIN_S = 900.0
ALL = "SELECT * FROM commands WHERE event_type = 'ORDER_REQUEST'"
STANDS = f"{ALL} AND status = 'DONE'"


@pytest.fixture(scope="module")
def trading() -> Iterator[TradingSystem]:
    """The default tree with its own scans, six a minute; the day's plans would be entries beside
    this one."""
    scans = {"TOMIC_SIGNAL_LOOP_INTERVAL_S": "10"}
    with trading_system(scans, {", strategy_engine, expiry_specialist]": "]"}) as system:
        yield system


@pytest.fixture(scope="module")
def command(trading: TradingSystem) -> Row:
    """The first entry that stands."""

    def why_not() -> str:
        quality = trading.get("/tomic/signals/quality")[1]["data"]
        entries = [trading.told(trading.trace(row["correlation_id"])) for row in trading.rows(ALL)]
        return f"an entry stands: {entries}, {quality['diagnostics']}"

    rows: list[Row] = wait_for(lambda: trading.rows(STANDS), why_not, FOUND_WITHIN_S)
    return rows[0]


@pytest.fixture(scope="module")
def found(command: Row) -> str:
    """Strategy id of the condor that is walked."""
    return str(command["strategy_id"])


def official(system: TradingSystem) -> api:
    """The official client at the execution broker."""
    key = json.loads((system.folder / "var" / "sandbox" / "keys.json").read_text())[BROKER]
    return api(key, host=f"http://127.0.0.1:{system.ports[REST_PORT]}")


def test_a_scan_gives_a_signal_or_a_reason(trading: TradingSystem) -> None:
    status, answer = trading.get("/tomic/signals/quality?run_scan=true")
    assert status == 200
    quality = answer["data"]
    assert quality["signals"]["top_volatility"] or quality["diagnostics"]["no_action_reasons"]


def test_the_scan_loop_found_it_on_live_quarters_of_an_hour(
    trading: TradingSystem, command: Row
) -> None:
    """Nobody injected it: each stage's fact names the signal that the volatility agent raised."""
    correlation_id, facts = command["correlation_id"], list(trading.journal().facts())
    signals = {
        fact.kind: fact.body["signal"]
        for fact in facts
        if fact.kind in ("SignalRaised", "SignalRouted")
        and fact.body["signal"]["correlation_id"] == correlation_id
    }
    assert set(signals) == {"SignalRaised", "SignalRouted"}
    assert signals["SignalRaised"]["source"] == "VOLATILITY"
    assert "iron condor" in signals["SignalRaised"]["reason"]
    regimes = [fact.body["regime"] for fact in facts if fact.kind == "RegimeChanged"]
    version = signals["SignalRaised"]["regime_version"]
    regime = next(row for row in regimes if row["version"] == version)
    assert (regime["timeframe"], regime["phase"]) == ("15m", "CONGESTION")


def test_the_condor_is_filled_in_all_its_legs(trading: TradingSystem, found: str) -> None:
    assert found.startswith("TOMIC_IRON_CONDOR_NIFTY_")
    rows = [row for row in trading.orders(found) if row["filled_quantity"]]
    legs = {(row["kind"], row["action"]) for row in rows}
    assert sorted(legs) == [("CE", "BUY"), ("CE", "SELL"), ("PE", "BUY"), ("PE", "SELL")]


def test_its_journal_row_has_eight_steps_of_sizing_each_with_a_reason(
    trading: TradingSystem, found: str
) -> None:
    trades = trading.get("/tomic/journal")[1]["trades"]
    trade = next(row for row in trades if row["strategy_id"] == found)
    assert [step["step"] for step in trade["sizing_chain"]] == list(range(1, 9))
    assert all(step["reason"] for step in trade["sizing_chain"])


def test_the_broker_took_both_hedges_before_any_short(trading: TradingSystem, found: str) -> None:
    ours = {row["broker_order_id"] for row in trading.orders(found) if not row["is_exit"]}
    book = official(trading).orderbook()["data"]["orders"]
    entry = [row for row in book if row["orderid"] in ours and row["order_status"] == "complete"]
    entry.sort(key=lambda row: int(row["orderid"]))
    assert [row["action"] for row in entry] == ["BUY", "BUY", "SELL", "SELL"]
    assert uncovered(trading.broker_orders()) == []


def test_the_position_manager_watches_it(trading: TradingSystem, found: str) -> None:
    def watched() -> bool:
        row = trading.part("position_manager").get(found, {})
        return row.get("instrument") == "NIFTY" and row["entry_credit"] > 0

    wait_for(watched, "it is watched with its credit")


def test_a_close_buys_the_shorts_back_before_it_sells_the_longs(
    trading: TradingSystem, found: str
) -> None:
    trading.close(found)
    ours = {row["broker_order_id"] for row in trading.orders(found) if row["is_exit"]}
    closing = [row for row in trading.broker_orders() if row["orderid"] in ours]
    filled = [row["action"] for row in closing if row["order_status"] == "complete"]
    assert filled == sorted(filled)
    assert filled.count("BUY") == filled.count("SELL") == 2
    positions = official(trading).positionbook()["data"]
    assert positions
    assert {int(row["quantity"]) for row in positions} == {0}


def test_the_closed_trade_is_journaled_with_its_charges(trading: TradingSystem, found: str) -> None:
    def closed() -> dict | None:
        trades = trading.get("/tomic/journal")[1]["trades"]
        return next((row for row in trades if row["strategy_id"] == found and row["exit_ns"]), None)

    trade = wait_for(closed, "the exit is journaled")
    assert (trade["exit_reason"], trade["exit_detail"]) == ("manual", "drill")
    assert trade["entry_price"] > 0
    assert trade["exit_price"] > 0
    made = (trade["entry_price"] - trade["exit_price"]) * trade["quantity"]
    assert float(trade["gross"]) == pytest.approx(made, abs=1)
    assert float(trade["charges"]) > 0
    assert float(trade["pnl"]) == pytest.approx(float(trade["gross"]) - float(trade["charges"]))


def test_the_audit_trail_has_the_orders_and_the_hand_that_closed(
    trading: TradingSystem, found: str
) -> None:
    entries = trading.get("/tomic/audit?limit=1000")[1]["entries"]
    text = [json.dumps(row) for row in entries if found in json.dumps(row)]
    actions = {json.loads(row)["action"] for row in text}
    assert {"OrderFilled", "CommandEnded", "CloseStructure"} <= actions
    assert trading.journal().verify() == []


def test_the_facts_tell_of_its_opening_and_its_end_once_each(
    trading: TradingSystem, found: str
) -> None:
    facts = trading.journal().facts(kinds=("StructureOpened", "StructureClosed"))
    told = [fact.kind for fact in facts if found in json.dumps(fact.body)]
    assert told == ["StructureOpened", "StructureClosed"]
