"""Feed and execution pointed at other OpenAlgo servers by the environment, with no other change:
both at one, or each at its own.

Such a server is a sandbox exchange in a process of its own, whose NIFTY stands far below that of
the exchange in the tree. What happened there is read from its books, with the official client.
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
from pathlib import Path

import pytest

from domain.clock import NS_PER_S, exchange_time
from domain.instruments import parse_symbol
from tests.kit.other_server import LEVEL, OtherServer, other_server
from tests.kit.trading_system import (
    BROKER,
    ROOM_FOR_DRILLS,
    Row,
    TradingSystem,
    trading_system,
    uncovered,
    wait_for,
)

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("other_servers"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),  # the client's own use of pandas
]

NEAR = 0.06  # of a level: what a few generated days may move it
SOME_SECONDS = (
    "SELECT * FROM bars WHERE symbol = 'NIFTY' AND timeframe = '1m' AND source = 'live'"
    " AND tick_count >= 5 ORDER BY start_ns"
)
SAME = 2e-5  # of a price
ENDED_WITHIN_S = 230.0  # an entry's short may rest at its limit for three minutes


def live_minutes(system: TradingSystem) -> list[Row]:
    """The minutes of NIFTY that were built from ticks, the first from its last seconds alone."""
    path = system.folder / "var" / "market.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(SOME_SECONDS)]


def minute_there(server: OtherServer, start_ns: int) -> Row:
    """The same minute as that server's history has it."""
    day = exchange_time(start_ns).date().isoformat()
    frame = server.client().history(
        symbol="NIFTY", exchange="NSE_INDEX", interval="1m", start_date=day, end_date=day
    )
    assert not isinstance(frame, dict), frame
    at_start = [int(at.timestamp()) * NS_PER_S == start_ns for at in frame.index]
    row: Row = frame[at_start].iloc[0].to_dict()
    return row


def assert_market_data_comes_from(server: OtherServer, system: TradingSystem) -> None:
    ours = wait_for(lambda: live_minutes(system), "a minute of ticks", 150)[-1]
    theirs = minute_there(server, ours["start_ns"])
    assert ours["close"] == pytest.approx(LEVEL, rel=NEAR)
    assert ours["close"] == pytest.approx(theirs["close"], rel=SAME), (ours, theirs)
    assert theirs["low"] * (1 - SAME) <= ours["low"] <= ours["high"] <= theirs["high"] * (1 + SAME)
    assert system.part("feed_selector")["state"] == "live"


def assert_prices_come_from(server: OtherServer, system: TradingSystem) -> None:
    """By its level, which nobody else has: the chains that are followed stand around it."""
    quote = server.client().quotes(symbol="NIFTY", exchange="NSE_INDEX")["data"]["ltp"]
    assert float(quote) == pytest.approx(LEVEL, rel=NEAR)
    names = [parse_symbol(name) for name in system.part("chain_keeper")["option_symbols"]]
    strikes = [float(row.strike) for row in names if row.name == "NIFTY"]
    assert statistics.median(strikes) == pytest.approx(float(quote), rel=0.02)


def assert_orders_arrive_at(server: OtherServer, system: TradingSystem) -> None:
    assert server.orders() == []
    trace = system.wait_ended(system.inject_until_taken("NIFTY"), ENDED_WITHIN_S)
    strategy_id = trace["command"]["strategy_id"]
    if trace["state"] == "DONE":
        system.post(f"/tomic/positions/{strategy_id}/close", {"reason": "drill"})
    wait_for(lambda: not system.get("/tomic/positions")[1]["positions"], "it is flat")
    ours, theirs = system.orders(strategy_id), server.orders()
    assert {row["broker_name"] for row in ours} == {BROKER}
    sent = {row["broker_order_id"] for row in ours if row["broker_order_id"]}
    assert sent == {row["orderid"] for row in theirs}
    filled = [row for row in theirs if row["order_status"] == "complete"]
    assert [row["action"] for row in filled[:2]] == ["BUY", "BUY"]
    assert uncovered([{**row, "filled_quantity": row["quantity"]} for row in filled]) == []
    strikes = [float(parse_symbol(row["symbol"]).strike) for row in theirs]
    assert strikes == [pytest.approx(LEVEL, rel=3 * NEAR)] * len(strikes)
    positions = server.client().positionbook()["data"]
    assert {int(row["quantity"]) for row in positions} == {0}


def test_prices_come_from_and_orders_go_to_the_server_that_the_environment_names(
    tmp_path: Path,
) -> None:
    with other_server(tmp_path) as server:
        environment = {"TOMIC_SIGNAL_LOOP_ENABLED": "false", **server.by_broker()}
        with trading_system(environment, ROOM_FOR_DRILLS) as system:
            assert_orders_arrive_at(server, system)
            assert_market_data_comes_from(server, system)


def test_prices_come_from_one_server_while_orders_go_to_another(tmp_path: Path) -> None:
    with other_server(tmp_path / "feed") as feed, other_server(tmp_path / "desk") as desk:
        environment = {
            "TOMIC_SIGNAL_LOOP_ENABLED": "false",
            **feed.by_feed(),
            **desk.by_execution(),
        }
        with trading_system(environment, ROOM_FOR_DRILLS) as system:
            assert_prices_come_from(feed, system)
            assert_orders_arrive_at(desk, system)
            assert feed.orders() == []
