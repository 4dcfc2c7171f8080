"""A trade's row: prices per unit from what filled, its context from what was wanted."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.intents import SizingStep
from domain.journal.trade import reason_meta, trade_row
from domain.orders import OrderRow, Purpose
from tests.kit.trading_desk import LONG_CALL, LOT, make_intent

SPREAD = make_intent()  # leg 0 is sold, leg 1 is bought


def order(
    leg_no: int, action: str, quantity: int, price: str, purpose: Purpose = Purpose.ENTRY
) -> OrderRow:
    return OrderRow(
        client_order_id=f"{leg_no}{action}{purpose}", command_id=1, strategy_id="S",
        strategy_tag="T", leg_no=leg_no, purpose=purpose, broker_name="alpha", exchange="NFO",
        symbol="X", action=action, quantity=quantity, product="NRML", tag="", created_ns=1,
        filled_quantity=quantity, average_price=Decimal(price),
    )  # fmt: skip


def test_a_sale_is_worth_its_credit_and_ends_at_what_it_cost_to_buy_back() -> None:
    row = trade_row(
        SPREAD,
        [
            order(1, "BUY", LOT, "30"),
            order(0, "SELL", LOT, "50"),
            order(0, "BUY", LOT, "20", Purpose.CLOSE),
            order(1, "SELL", LOT, "12", Purpose.CLOSE),
        ],
    )
    assert (row["quantity"], row["entry_price"], row["exit_price"]) == (LOT, 20.0, 8.0)
    assert row["fill_rate"] == 1.0


def test_a_purchase_is_worth_what_it_cost_and_ends_at_what_it_brought() -> None:
    intent = make_intent(legs=LONG_CALL)
    intent = replace(intent, signal=replace(intent.signal, direction="BUY"))
    closed = order(0, "SELL", LOT, "70", Purpose.CLOSE)
    row = trade_row(intent, [order(0, "BUY", LOT, "50"), closed])
    assert (row["entry_price"], row["exit_price"]) == (50.0, 70.0)


def test_what_an_entry_took_back_of_itself_belongs_to_its_price() -> None:
    whole = replace(SPREAD, quantity=2 * LOT, lots=2)
    row = trade_row(
        whole,
        [
            order(1, "BUY", 2 * LOT, "30"),
            order(0, "SELL", LOT, "50"),
            order(1, "SELL", LOT, "28", Purpose.UNWIND),
        ],
    )
    # 50 came in; 30 + 30 went out and 28 came back: 18 a unit of the one lot that stands.
    assert (row["quantity"], row["entry_price"], row["exit_price"]) == (LOT, 18.0, 0.0)
    assert row["fill_rate"] == 0.75


def test_taking_back_an_entry_that_never_stood_is_its_exit() -> None:
    taken_back = order(1, "SELL", LOT, "28", Purpose.UNWIND)
    row = trade_row(SPREAD, [order(1, "BUY", LOT, "30"), taken_back])
    assert (row["quantity"], row["entry_price"], row["exit_price"]) == (LOT, -30.0, -28.0)


def test_what_nobody_knows_is_none() -> None:
    row = trade_row(SPREAD, [])
    assert (row["quantity"], row["entry_price"], row["iv_rank"]) == (0, None, None)
    assert row["kelly_value"] is None


def test_what_the_signal_and_the_sizing_knew_is_kept() -> None:
    steps = (
        SizingStep(1, "volatility_target", None, 400.0, "a"),
        SizingStep(2, "half_kelly", 400.0, 195.5, "b"),
    )
    signal = replace(SPREAD.signal, strength=71.0, extras={"iv_rank": "62.5", "skew_ratio": "1.1"})
    intent = replace(SPREAD, signal=signal, sizing=steps)
    row = trade_row(intent, [order(1, "BUY", LOT, "30")])
    assert (row["iv_rank"], row["kelly_value"]) == (62.5, 195.5)
    meta = row["entry_reason_meta"]
    assert (meta["signal_strength"], meta["signal_score"], meta["router_reason"]) == (
        71,
        None,
        None,
    )
    assert (meta["skew_ratio"], meta["regime_vix"]) == ("1.1", 14.0)
    assert [step["name"] for step in meta["sizing_chain"]] == ["volatility_target", "half_kelly"]


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
def test_a_number_that_no_json_carries_is_null(odd: float) -> None:
    intent = replace(SPREAD, vix=odd, sizing=(SizingStep(1, "volatility_target", odd, 1.0, ""),))
    meta = reason_meta(intent)
    assert meta["regime_vix"] is None
    assert meta["sizing_chain"][0]["input"] is None
