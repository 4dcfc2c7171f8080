"""Every trade has its row from its first fill on, with what it cost and what it came to."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from actors.journal.journaling_agent import JournalingAgent
from domain.errors import BrokerRejected
from messages.lifecycle import NodeRestarted
from messages.trading import (
    CloseStructure,
    OddsMeasured,
    OrderFilled,
    StructureClosed,
    StructureOpened,
)
from persistence.database import JournalBase, open_engine
from persistence.journal import JournalStore
from tests.kit.recording_context import RecordingContext
from tests.kit.trading_desk import LOT, Desk, make_intent

WRITTEN_AT_ITS_END = (
    "id", "exit_ns", "exit_reason", "exit_detail", "exit_price", "hold_duration_s", "gross",
    "charges", "pnl",
)  # fmt: skip
HEARD = (OrderFilled, StructureOpened, StructureClosed)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    found = Desk(tmp_path, monkeypatch)
    JournalBase.metadata.create_all(open_engine(found.runtime.journal_url))
    return found


def journal(desk: Desk, *messages: Any) -> list[dict[str, Any]]:
    """The rows after an agent heard these; all that the desk announced when none is given."""
    context = RecordingContext("journaling_agent", desk.runtime, now_ns=desk.now_ns)
    agent = JournalingAgent(context, None)
    agent.start()
    for message in messages or [one for one in desk.heard if isinstance(one, HEARD)]:
        context.deliver(agent, message)
    return JournalStore(open_engine(desk.runtime.journal_url)).entries()


def trade(desk: Desk, reason: str = "tp_hit") -> dict[str, Any]:
    """A spread that was opened and closed."""
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    close = CloseStructure(strategy_id=intent.strategy_id, reason=reason, key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(5)
    (row,) = journal(desk)
    return row


def test_the_first_fill_makes_the_row(desk) -> None:
    desk.broker.script = lambda request: request.quantity if request.action == "BUY" else 0
    desk.propose(make_intent())
    desk.run(1)
    (fill,) = desk.announced(OrderFilled)
    (row,) = journal(desk, fill)
    assert (row["quantity"], row["fill_rate"], row["entry_ns"]) == (LOT, 0.5, fill.fill.at_ns)
    assert row["entry_price"] < 0  # so far only the hedge was paid for
    assert row["exit_price"] is None


def test_prices_are_those_of_the_fills_and_give_the_result(desk) -> None:
    row = trade(desk)
    filled = {r.client_order_id: r for r in desk.store.orders_of_strategy(row["strategy_id"])}
    assert len(filled) == 4
    entry = sum(-r.average_price * r.signed_filled for r in filled.values() if not r.is_exit)
    assert row["entry_price"] == pytest.approx(float(entry) / LOT)
    made = (row["entry_price"] - row["exit_price"]) * row["quantity"]
    assert float(row["gross"]) == pytest.approx(made, abs=0.01)


def test_a_loss_of_an_entry_that_never_stood_is_in_the_journal(desk) -> None:
    def refuse_shorts(request):
        if request.symbol.endswith("25500PE"):
            raise BrokerRejected("not allowed")
        return request.quantity

    desk.broker.script = refuse_shorts
    desk.propose(make_intent())
    desk.run(10)
    (row,) = journal(desk)
    assert float(row["pnl"]) < 0
    assert (row["exit_reason"], row["quantity"], row["fill_rate"]) == ("external", LOT, 0.5)
    assert "not allowed" in row["exit_detail"]
    made = (row["entry_price"] - row["exit_price"]) * row["quantity"]
    assert float(row["gross"]) == pytest.approx(made, abs=0.01)


def test_its_close_alone_finds_a_trade_whose_fills_nobody_heard(desk) -> None:
    trade(desk)
    with open_engine(desk.runtime.journal_url).begin() as connection:
        connection.exec_driver_sql("DELETE FROM journal_entries")
    (row,) = journal(desk, *desk.announced(StructureClosed))
    assert row["exit_reason"] == "tp_hit"
    assert row["pnl"] is not None


def test_a_persons_words_stand_beside_the_reason(desk) -> None:
    row = trade(desk, reason="budget day")
    assert (row["exit_reason"], row["exit_detail"]) == ("manual", "budget day")


def test_the_worst_of_its_fills_stands_in_the_row(desk) -> None:
    row = trade(desk)
    fills = desk.announced(OrderFilled)
    assert row["slippage_ticks"] == max(0.0, *(fill.slippage_ticks for fill in fills))
    assert row["latency_ms"] == max(fill.latency_ms for fill in fills)


def test_a_message_told_twice_is_one_row(desk) -> None:
    trade(desk)
    assert len(journal(desk)) == 1


def test_the_reason_of_an_entry_is_kept_with_its_size_and_its_regime(desk) -> None:
    row = trade(desk)
    meta = json.loads(row["entry_reason_meta"])
    assert (meta["sizing_final_units"], meta["sizing_final_lots"]) == (LOT, 1)
    assert (meta["regime_phase"], meta["strategy_type"]) == ("CONGESTION", "BULL_PUT_SPREAD")


def test_thirty_closed_trades_make_the_odds_that_risk_hears(desk) -> None:
    store = JournalStore(open_engine(desk.runtime.journal_url))
    row = trade(desk)
    for number in range(29):
        copy = {key: value for key, value in row.items() if key not in WRITTEN_AT_ITS_END}
        other = f"{row['strategy_id']}{number}"
        store.write_entry(copy | {"strategy_id": other, "event_id": other})
        store.close_entry(
            other,
            at_ns=desk.now_ns,
            reason="tp_hit",
            detail="",
            exit_price=1.0,
            amounts={"gross": Decimal(90), "charges": Decimal(0), "net": Decimal(90)},
        )
    context = RecordingContext("journaling_agent", desk.runtime, now_ns=desk.now_ns)
    agent = JournalingAgent(context, None)
    agent.start()
    (odds,) = context.heard(OddsMeasured)[-1].odds
    assert (odds.strategy, odds.trades, odds.win_rate) == ("BULL_PUT_SPREAD", 30, 29 / 30)
    assert odds.reward_risk == pytest.approx(90 / -float(row["pnl"]))
    context.clear()
    news = {"life": 2, "reason": "killed", "handles_orders": True}
    context.deliver(agent, NodeRestarted(name="risk_agent", **news))
    assert context.heard(OddsMeasured)[-1].odds == (odds,)


def test_drawdown_goes_by_the_order_of_closing_not_of_entering(desk: Desk) -> None:
    store = JournalStore(open_engine(desk.runtime.journal_url))
    blank = {
        "correlation_id": "c", "strategy_tag": "TOMIC_IRON_CONDOR_NIFTY", "instrument": "NIFTY",
        "exchange": "NFO", "direction": "SELL", "quantity": 65, "entry_reason": "",
        "entry_reason_meta": "{}", "regime_phase": "CONGESTION", "regime_score": 0,
        "vix_at_entry": 14.0, "sizing_chain": "[]", "fill_rate": 1.0, "entry_ns": desk.now_ns,
    }  # fmt: skip
    # The loser is entered second and closed first: 1,000,000 -> 900,000 is a tenth; the other way
    # round 1,100,000 -> 1,000,000 would be less.
    for name in ("gains", "loses"):
        store.write_entry({**blank, "event_id": name, "strategy_id": name})
    for number, (name, net) in enumerate([("loses", -100_000), ("gains", 100_000)], 1):
        amounts = {"gross": Decimal(net), "charges": Decimal(0), "net": Decimal(net)}
        store.close_entry(
            name, at_ns=desk.now_ns + number, reason="tp_hit", detail="", exit_price=1.0,
            amounts=amounts,
        )  # fmt: skip
    context = RecordingContext("journaling_agent", desk.runtime, now_ns=desk.now_ns)
    JournalingAgent(context, None).start()
    assert context.reports[-1]["metrics"]["max_drawdown_pct"] == pytest.approx(10.0)


def test_a_trade_whose_end_was_told_and_never_came_is_ended_from_the_order_tables(desk) -> None:
    whole = trade(desk)
    closed = [row for row in desk.store.commands_of(whole["strategy_id"]) if not row.is_exit]
    desk.store.mark(closed[0].command_id, closed_ns=whole["exit_ns"])
    engine = open_engine(desk.runtime.journal_url)
    JournalBase.metadata.drop_all(engine)
    JournalBase.metadata.create_all(engine)
    heard = [one for one in desk.heard if isinstance(one, OrderFilled)]
    (row,) = journal(desk, *heard)
    assert row["exit_ns"] is None
    (row,) = journal(desk, heard[-1])  # a new life
    assert {name: row[name] for name in WRITTEN_AT_ITS_END if name != "id"} == {
        name: whole[name] for name in WRITTEN_AT_ITS_END if name != "id"
    }
