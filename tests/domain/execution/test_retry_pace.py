"""How often a refused exit is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.clock import seconds
from domain.execution.commands import entry_command, entry_orders
from domain.execution.flattening import Excess, flatten
from domain.intents import StrategyType
from domain.orders import OrderStatus, Purpose
from tests.kit.trading_desk import LOT, SPREAD, make_intent

NOW = 1_000_000_000_000


def refused_closes(number: int):
    intent = make_intent(StrategyType.BULL_PUT_SPREAD, SPREAD)
    command = entry_command(intent, "{}", "alpha", now_ns=NOW, ttl_s=0)
    short = entry_orders(intent, command)[0]
    close = replace(short, purpose=Purpose.CLOSE, action="BUY", status=OrderStatus.REJECTED)
    return [
        replace(close, client_order_id=f"c{n}", attempt=n, updated_ns=NOW) for n in range(number)
    ]


@pytest.mark.parametrize(
    ("refusals", "after_s", "goes"),
    [
        (1, 0.9, False),
        (1, 1.0, True),
        (59, 1.0, True),  # each second for a minute
        (60, 29.9, False),  # then the market is closed, or the session gone
        (60, 30.0, True),  # but a short is never given up
    ],
)
def test_a_refused_buy_back_goes_again_each_second_then_slower(refusals, after_s, goes) -> None:
    step = flatten(
        [Excess(0, "SELL", LOT)],
        refused_closes(refusals),
        NOW + seconds(after_s),
        purpose=Purpose.CLOSE,
    )
    assert bool(step.send) is goes
    assert step.end is None
