"""A wall clock that is set back: nothing waits for a time of the future, nothing is sent twice."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.clock import ForwardClock, StepWatch, seconds
from domain.errors import OutcomeUnknown
from domain.execution.unknowns import Finding, resolve
from domain.orders import CLOCK_SET_BACK
from messages.trading import CorrectBook
from tests.kit.order_rows import SENT, order, row
from tests.kit.trading_desk import BROKER, LOT, Desk, make_intent

HOUR_S = 3600.0


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def set_back(desk, by_s: float = HOUR_S) -> None:
    """Every actor's wall clock, and the broker's; the monotonic clocks go on."""
    desk.now_ns -= seconds(by_s)
    for context in desk.contexts.values():
        context.set_back(by_s)


def test_a_step_is_noticed_once_and_drift_never() -> None:
    watch = StepWatch(seconds(100), seconds(1))
    assert watch.set_back_ns(seconds(101), seconds(2)) == 0
    assert watch.set_back_ns(seconds(101.5), seconds(3)) == 0  # half a second of drift
    assert watch.set_back_ns(seconds(41.5), seconds(4)) == seconds(61)
    assert watch.set_back_ns(seconds(42.5), seconds(5)) == 0
    assert watch.set_back_ns(seconds(9000), seconds(6)) == 0  # forward is no step back


def test_a_forward_clock_goes_on_from_where_it_was() -> None:
    clock = ForwardClock(seconds(100), 0)
    assert clock.at(seconds(101), seconds(1)) == seconds(101)
    assert clock.at(seconds(42), seconds(2)) == seconds(102)
    assert clock.at(seconds(43), seconds(3)) == seconds(103)


@pytest.mark.parametrize("ran_s", [0.25, 0.5, 0.75])
def test_an_entry_goes_on_at_its_own_pace_whenever_the_clock_is_set_back(desk, ran_s) -> None:
    desk.propose(make_intent())
    desk.run(ran_s)
    set_back(desk)
    desk.run(8)

    assert desk.statuses() == ["DONE"]
    assert sorted(desk.broker.net().values()) == [-LOT, LOT]
    assert len(desk.broker.requests) == 2
    assert any("the clock was set back by 3600 s" in text for text in desk.alerts())


def test_an_unknown_order_is_found_within_its_grace_after_the_clock_was_set_back(desk) -> None:
    desk.broker.carries_tag = False
    lost: list[str] = []

    def lose_once(request):
        if not lost:
            lost.append(request.client_order_id)
            raise OutcomeUnknown("timed out")
        return request.quantity

    desk.broker.script, desk.book_ok = lose_once, False
    desk.propose(make_intent())
    desk.run(3)
    set_back(desk)
    desk.broker.shift(-HOUR_S)  # the broker's clock was right all the time
    desk.book_ok = True
    desk.run(25)

    assert desk.statuses() == ["DONE"]
    assert len(desk.broker.requests) == 2


def test_an_order_that_never_arrived_is_given_up_after_thirty_seconds_not_an_hour(desk) -> None:
    def lose(request):
        raise OutcomeUnknown("timed out")

    desk.broker.script, desk.broker.arrives = lose, False
    desk.propose(make_intent())
    desk.run(10)
    set_back(desk)
    desk.run(15)
    assert desk.statuses() == ["UNKNOWN_OUTCOME"]
    desk.run(25)

    assert desk.statuses() == ["FAILED"]
    assert len(desk.broker.requests) == 1


def test_a_new_life_on_a_clock_that_was_set_back_while_it_was_dead_goes_on(desk) -> None:
    desk.broker.script = lambda r: (
        0 if r.price_type == "LIMIT" and r.action == "BUY" else r.quantity
    )
    desk.propose(make_intent())
    desk.run(0.5)  # the hedge rests at its limit
    desk.kill("execution_agent")
    desk.kill(f"executor.{BROKER}")
    set_back(desk)
    desk.begin(f"executor.{BROKER}")
    desk.begin("execution_agent")
    desk.run(12)

    assert desk.statuses() == ["DONE"]
    assert sorted(desk.broker.net().values()) == [-LOT, LOT]


def test_the_five_seconds_of_a_naked_short_run_on_when_the_clock_is_set_back(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(4)
    hedge = next(row for row in desk.store.orders_of(1) if row.action == "BUY")
    gone = CorrectBook(
        position_key=f"{hedge.symbol}|{intent.strategy_id}|{hedge.leg_no}", units=-LOT,
        price=Decimal(1), reason="gone at the broker", key="k",
    )  # fmt: skip
    desk.deliver("execution_agent", gone)
    desk.run(2)
    set_back(desk)
    desk.run(6)

    assert [r.action for r in desk.broker.requests][2:] == ["BUY"]
    assert desk.store.recent_commands(1)[0].reason == "unhedged_cut"


def test_where_the_step_is_not_known_likeness_alone_proves_nothing() -> None:
    unsure = row(error_kind=CLOCK_SET_BACK)
    late = SENT + seconds(30)
    early = order(ordered_at_ns=SENT - seconds(600))
    assert resolve(row(), [early], (), late).finding is Finding.ABSENT
    assert resolve(unsure, [early], (), late).finding is Finding.SEVERAL
    assert resolve(unsure, [order()], (), late).finding is Finding.SEVERAL
    assert resolve(unsure, [order(tag=unsure.tag)], (), late).finding is Finding.FOUND
