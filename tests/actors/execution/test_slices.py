"""Above the freeze quantity an entry and its exit both go in slices of whole lots."""

from __future__ import annotations

import pytest

from messages.trading import CloseStructure, StructureClosed
from persistence.database import open_engine
from persistence.orders import OrderStore
from tests.kit.trading_desk import LOT, Desk, leg, make_intent

FREEZE = 2 * LOT + 1  # no whole lots: what fits below it is two


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def spread():
    """A put spread of five lots, hedge first."""
    legs = (
        leg(25000, "P", "BUY", freeze_quantity=FREEZE),
        leg(25200, "P", "SELL", freeze_quantity=FREEZE),
    )
    return make_intent(legs=legs, quantity=5 * LOT)


def sent(desk: Desk) -> list[tuple[str, int]]:
    return [(row.action, row.quantity) for row in desk.broker.requests]


SLICES = [2 * LOT, 2 * LOT, LOT]


def test_a_spread_goes_in_and_out_in_slices_hedge_first_in_and_short_first_out(desk: Desk) -> None:
    intent = spread()
    desk.propose(intent)
    desk.run(5)
    assert sent(desk) == [("BUY", part) for part in SLICES] + [("SELL", part) for part in SLICES]

    before = len(desk.broker.requests)
    close = CloseStructure(strategy_id=intent.strategy_id, reason="tp_hit", key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(8)
    assert sent(desk)[before:] == [("BUY", part) for part in SLICES] + [
        ("SELL", part) for part in SLICES
    ]
    assert len({row.client_order_id for row in desk.broker.requests}) == 12
    assert len(desk.announced(StructureClosed)) == 1
    rows = OrderStore(open_engine(desk.runtime.database_url)).orders_of_strategy(intent.strategy_id)
    assert sum(row.signed_filled for row in rows if row.leg_no == 0) == 0
    assert sum(row.signed_filled for row in rows if row.leg_no == 1) == 0
