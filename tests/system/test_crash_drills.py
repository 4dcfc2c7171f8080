"""kill -9 at the worst moments, and a broker that misbehaves: nothing lost, doubled or left naked.

One system for the module; only what the tests inject is traded. After each drill the broker's own
books are held against our rows.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.trading_system import BROKER, TradingSystem, uncovered, wait_for

pytestmark = pytest.mark.timeout(240)
WAITED_FOR_S = 10.0
ON_THE_WAY = ("SENDING", "SENT", "OPEN", "FILLED")
ORDER_PATH = (
    "position_book",
    "execution_agent",
    f"executor.{BROKER}",
    f"account_sync.{BROKER}",
    "breaker_gate",
    "risk_agent",
    "execution",
    "sandbox_exchange",
)
BESIDE_THE_PATH = (
    f"shard.{BROKER}.1",
    "chain_keeper",
    "recorder",
    "status_board",
    f"feed_branch.{BROKER}",
)


@pytest.fixture
def system(quiet_system: TradingSystem) -> Iterator[TradingSystem]:
    """The quiet system, ready to trade; after the test the books agree and nothing is open."""
    quiet_system.wait_ready_to_trade()
    yield quiet_system
    for strategy_id in quiet_system.get("/tomic/positions")[1]["strategies"]:
        quiet_system.close(strategy_id)
    assert_books_agree(quiet_system)


def assert_books_agree(system: TradingSystem) -> None:
    """Every order the broker took is one of our rows, once, and no short ever stood alone."""
    taken = [row["orderid"] for row in system.broker_orders()]
    ours = [
        row["broker_order_id"]
        for row in system.rows(
            "SELECT broker_order_id FROM orders WHERE broker_name = ? AND broker_order_id <> ''",
            BROKER,
        )
    ]
    assert len(set(ours)) == len(ours)
    assert sorted(ours) == sorted(taken)
    assert uncovered(system.broker_orders()) == []
    assert system.broker_holds() == {}
    assert system.rows("SELECT * FROM orders WHERE needs_reconcile = 1") == []
    assert system.journal().verify() == []


def begin_entry(system: TradingSystem) -> str:
    """A condor on its way: its first order has left WAITING."""
    correlation_id = system.inject_until_taken()
    seen: dict[str, Any] = {}

    def on_its_way() -> bool:
        seen.update(system.trace(correlation_id))
        return any(row["status"] in ON_THE_WAY for row in seen.get("orders", []))

    wait_for(on_its_way, lambda: f"the first order is on its way: {system.told(seen)}")
    return correlation_id


def end_entry(system: TradingSystem, correlation_id: str) -> dict[str, Any]:
    """The entry ends: it stands whole, or nothing of it is left.

    A short that finds no buyer may rest three minutes; a close ends that, too.
    """
    command = wait_for(lambda: system.trace(correlation_id).get("command"), "there is a command")
    strategy_id = command["strategy_id"]
    try:
        found = system.wait_ended(correlation_id, WAITED_FOR_S)
    except AssertionError:
        system.close(strategy_id)
        return system.wait_ended(correlation_id)
    if found["state"] != "DONE":
        # DEAD_LETTER: an exchange that is gone could not be reached in three tries.
        assert found["state"] in ("FAILED", "DEAD_LETTER"), found["command"]
        system.wait_flat(strategy_id)
        return found
    held = wait_for(lambda: sorted(system.broker_holds().values()), "the broker holds it")
    assert len(held) == 4
    assert sum(held) == 0
    system.close(strategy_id)
    return found


@pytest.mark.parametrize("name", ORDER_PATH)
def test_an_entry_survives_the_death_of(system: TradingSystem, name: str) -> None:
    correlation_id = begin_entry(system)
    gone = system.kill(name)
    end_entry(system, correlation_id)
    system.wait_whole(name, gone)


@pytest.mark.parametrize("name", BESIDE_THE_PATH)
def test_the_tree_is_whole_again_after_the_death_of(system: TradingSystem, name: str) -> None:
    gone = system.kill(name)
    system.wait_whole(name, gone)


def test_an_agent_that_is_stopped_in_an_entry_is_replaced_while_the_pages_answer(
    system: TradingSystem,
) -> None:
    correlation_id = begin_entry(system)
    stopped = system.kill("execution_agent", signal.SIGSTOP)
    status, answer = system.get("/tomic/status", timeout_s=1)
    assert (status, answer["status"]) == (200, "success")
    system.wait_whole("execution_agent", stopped)
    assert "heartbeats" in system.nodes()["execution_agent"]["last_restart_reason"]
    end_entry(system, correlation_id)


def test_a_position_outlives_the_whole_tree(system: TradingSystem) -> None:
    strategy_id = system.enter()
    held = system.broker_holds()
    gone = system.kill("root")
    system.wait_whole("root", gone)
    wait_for(lambda: strategy_id in system.part("position_manager"), "it is watched again")
    assert system.broker_holds() == held
    system.close(strategy_id)


def test_an_order_whose_answer_is_lost_is_found_in_the_book_and_not_sent_again(
    system: TradingSystem,
) -> None:
    before = len(system.broker_orders())
    with system.fault(
        "timeout_after_accept", times=1, for_s=30, instance=BROKER, endpoint="placeorder"
    ):
        found = end_entry(system, system.inject_until_taken())
    rows = system.orders(found["command"]["strategy_id"])
    first = min(rows, key=lambda row: row["sent_ns"] or time.time_ns())
    assert first["broker_order_id"]
    adopted = [row for row in rows if row["broker_order_id"]]
    assert len(system.broker_orders()) - before == len(adopted)
    assert len({(row["leg_no"], row["attempt"], row["purpose"]) for row in rows}) == len(rows)


def test_an_order_the_broker_never_took_ends_the_entry_with_nothing_left(
    system: TradingSystem,
) -> None:
    with system.fault("http_500", times=1, instance=BROKER, endpoint="placeorder"):
        found = system.wait_ended(system.inject_until_taken())
    assert (found["state"], found["command"]["error_code"]) == ("FAILED", "NEVER_ARRIVED")
    system.wait_flat(found["command"]["strategy_id"])


def test_a_refused_short_takes_its_hedge_along(system: TradingSystem) -> None:
    # Hedges may be priced anew before they fill, so the short is told by its place at the broker.
    correlation_id = system.inject_until_taken()

    def hedged() -> bool:
        orders = system.trace(correlation_id).get("orders", [])
        filled = [row for row in orders if row["action"] == "BUY" and row["status"] == "FILLED"]
        return len(filled) == 2

    wait_for(hedged, "both hedges stand")
    with system.fault("reject", instance=BROKER, endpoint="placeorder") as control:
        wait_for(
            lambda: any(row["fault"] == "reject" and row.get("struck") for row in control.faults()),
            "a short was refused",
        )
    end_entry(system, correlation_id)


def test_a_silent_primary_feed_hands_over_to_the_fallback(system: TradingSystem) -> None:
    wait_for(lambda: system.part("feed_selector").get("canonical") == BROKER, "the primary is on")
    known = len(list(system.journal().facts(kinds=("FeedSwitched",))))
    with system.fault("mute_feed", instance=BROKER):
        wait_for(lambda: system.part("feed_selector")["canonical"] != BROKER, "the fallback is on")
    told = [fact.body for fact in system.journal().facts(kinds=("FeedSwitched",))][known:]
    assert [(row["from_broker"], row["using_fallback"]) for row in told] == [(BROKER, True)]


@contextlib.contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """No file of that process can grow, which is what a full disk does to it."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_on_a_full_disk_an_order_is_refused_and_none_is_placed(system: TradingSystem) -> None:
    before, agent = system.broker_orders(), system.pid("execution_agent")
    with full_disk(agent):
        word = system.trace(system.inject_until_taken(result="refused"))["evaluation"]
    assert word["code"] == "STORAGE"
    assert word["reason"]
    assert system.broker_orders() == before
    assert system.pid("execution_agent") == agent


def test_after_all_these_deaths_the_next_signal_trades(system: TradingSystem) -> None:
    system.close(system.enter())
