"""A breaker's shell: what it hears, what it tells, what it remembers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.risk import breaker
from actors.risk.breaker import Breaker, BreakerSettings
from domain.errors import StorageFailure
from domain.positions import BookSnapshot
from messages.books import BrokerConnectionChanged, MarginRead
from messages.lifecycle import NodeRestarted
from messages.trading import (
    BreakerVerdict,
    FlattenLeg,
    OrderAccepted,
    OrderRejected,
    OrderUnknown,
    PositionChanged,
    WeighOrder,
)
from tests.kit.recording_context import RecordingContext
from tests.kit.risk_makers import a_margin, a_position

NAKED = a_position("SELL", "CE", 24_200)


@pytest.fixture
def life(runtime):
    """Starts a breaker of a rule, again and again on the same database."""
    lives = []

    def begin(rule, instance="", after_s=0.0):
        name = f"breaker.{rule}" + (f".{instance}" if instance else "")
        context = RecordingContext(name, runtime, instance=instance, life=len(lives) + 1)
        context.advance(after_s)
        actor = Breaker(context, BreakerSettings(rule=rule))
        actor.start()
        lives.append(actor)
        return actor, context

    yield begin
    for actor in lives:
        actor._engine.dispose()


def weighed(actor, context, command_id=7, **fields):
    defaults = {"broker": "alpha", "underlying": "NIFTY", "leg_orders": 4}
    money = {"notional": Decimal(0), "margin": Decimal(0)}
    question = WeighOrder(command_id=command_id, **(defaults | money | fields))
    context.deliver(actor, question)
    return context.told_to("breaker_gate", BreakerVerdict)[-1]


def test_a_verdict_names_the_command_and_the_breaker(life):
    actor, context = life("gross_notional")
    verdict = weighed(actor, context, notional=Decimal(5_000_001))
    assert (verdict.command_id, verdict.breaker) == (7, "breaker.gross_notional")
    assert verdict.action == "deny"
    assert weighed(actor, context, notional=Decimal(1)).action == "clear"


def test_what_tries_a_connection_is_not_asked_early(life):
    actor, context = life("connection", "alpha")
    for number in range(3):
        refused = OrderRejected(
            client_order_id=f"o{number}", broker="alpha", error_class="not_sent", reason="",
            command_id=1,
        )  # fmt: skip
        context.deliver(actor, refused)
    context.advance(30)
    assert weighed(actor, context, early=True).action == "deny"
    assert weighed(actor, context).action == "clear"


def test_a_daily_loss_kills_unasked_and_is_remembered_by_the_next_life(life):
    actor, context = life("daily_max_loss")
    book = BookSnapshot(version=1, realized_today=Decimal(-60_001))
    context.deliver(actor, PositionChanged(book=book))
    context.advance(5)
    kills = context.told_to("breaker_gate", BreakerVerdict)
    assert [(row.action, row.command_id) for row in kills] == [("kill", 0)]
    assert [row.level for row in context.alerts] == ["CRITICAL"]
    again, context = life("daily_max_loss")
    assert weighed(again, context).action == "kill"


def test_a_new_gate_is_told_again(life):
    actor, context = life("daily_max_loss")
    book = BookSnapshot(version=1, realized_today=Decimal(-60_001))
    context.deliver(actor, PositionChanged(book=book))
    context.advance(5)
    context.clear()
    restart = NodeRestarted(name="breaker_gate", life=2, reason="crash", handles_orders=True)
    context.deliver(actor, restart)
    assert [row.action for row in context.told_to("breaker_gate")] == ["kill"]


def test_the_rate_window_is_counted_at_send_and_survives_a_crash(life):
    actor, context = life("order_rate")
    for number in range(28):
        message = OrderAccepted(client_order_id=f"o{number}", broker_order_id="1", broker="alpha")
        context.deliver(actor, message)
    unknown = OrderUnknown(client_order_id="o28", broker="beta", reason="", sent_ns=0)
    context.deliver(actor, unknown)
    never = OrderRejected(client_order_id="x", broker="alpha", error_class="not_sent", reason="")
    context.deliver(actor, never)
    assert weighed(actor, context).action == "clear"
    refused = OrderRejected(
        client_order_id="o29", broker="alpha", error_class="broker_reject", reason=""
    )
    context.deliver(actor, refused)
    again, context = life("order_rate")
    verdict = weighed(again, context)
    assert verdict.action == "defer"
    assert verdict.retry_after_s == pytest.approx(60)


def test_a_naked_short_is_bought_back_right_after_five_seconds_and_each_second(life):
    actor, context = life("unhedged_exposure")
    context.deliver(actor, PositionChanged(book=BookSnapshot(version=1, positions=(NAKED,))))
    context.advance(5.0)
    assert not context.told_to("execution_agent")
    context.advance(0.001)
    [order] = context.told_to("execution_agent", FlattenLeg)
    assert (order.position_key, order.quantity) == (NAKED.key, 65)
    assert {row.level for row in context.alerts} == {"CRITICAL"}
    context.advance(3.0)
    assert len(context.told_to("execution_agent", FlattenLeg)) in (3, 4)
    context.deliver(actor, PositionChanged(book=BookSnapshot(version=2)))
    context.clear()
    context.advance(5.0)
    assert not context.told_to("execution_agent")


def test_a_crash_does_not_restart_the_five_seconds(life):
    actor, context = life("unhedged_exposure")
    book = PositionChanged(book=BookSnapshot(version=1, positions=(NAKED,)))
    context.deliver(actor, book)
    again, context = life("unhedged_exposure", after_s=6.0)
    assert context.told_to("execution_agent", FlattenLeg)
    context.deliver(again, book)
    assert weighed(again, context).action == "deny"


def test_a_connection_breaker_minds_its_own_broker(life):
    actor, context = life("connection", "alpha")
    for number in range(5):
        other = OrderUnknown(client_order_id=f"b{number}", broker="beta", reason="", sent_ns=0)
        context.deliver(actor, other)
    assert weighed(actor, context).action == "clear"
    for number in range(5):
        own = OrderUnknown(client_order_id=f"a{number}", broker="alpha", reason="", sent_ns=0)
        context.deliver(actor, own)
    kills = [r for r in context.told_to("breaker_gate", BreakerVerdict) if r.command_id == 0]
    assert [row.action for row in kills] == ["kill"]


def test_an_order_we_held_back_ourselves_is_neither_sent_nor_a_failure(life):
    actor, context = life("connection", "alpha")
    for number in range(9):
        ours = OrderRejected(
            client_order_id=f"a{number}", broker="alpha", error_class="stale_quote", reason=""
        )
        context.deliver(actor, ours)
    assert weighed(actor, context).action == "clear"
    rate, context = life("order_rate")
    for number in range(40):
        ours = OrderRejected(
            client_order_id=f"a{number}", broker="alpha", error_class="validation", reason=""
        )
        context.deliver(rate, ours)
    assert weighed(rate, context).action == "clear"


def test_a_broker_that_goes_away_is_denied(life):
    actor, context = life("connection", "alpha")
    away = BrokerConnectionChanged(
        broker="alpha", state="unreachable", reason="refused", sandbox_proven=False, proven_ns=0
    )
    context.deliver(actor, away)
    assert weighed(actor, context).action == "deny"


def test_funds_lower_the_capital(life):
    actor, context = life("gross_notional")
    context.deliver(actor, MarginRead(margin=a_margin(free=100_000)))
    assert weighed(actor, context, notional=Decimal(500_001)).action == "deny"


def test_its_part_of_the_status_shows_the_capital_it_measures_against(life):
    actor, context = life("gross_notional")
    context.deliver(actor, MarginRead(margin=a_margin(free=100_000)))
    context.advance(5)
    assert context.reports[-1]["capital"] == 100_000


def test_its_part_of_the_status_is_live(life):
    _, context = life("order_rate")
    context.advance(5)
    assert context.reports[-1]["name"] == "ORDER_RATE"
    assert context.reports[-1]["threshold"] == 30
    assert context.reports[-1]["tripped"] is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": "luck"},
        {"rule": "order_rate", "orders_max": 0},
        {"rule": "daily_max_loss", "loss_share_max": 50.0},
        {"rule": "daily_max_loss", "loss_share_max": float("nan")},
        {"rule": "order_rate", "orders_window_s": float("inf")},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        BreakerSettings(**wrong)


def test_the_limits_of_the_settings_reach_the_rule():
    limits = BreakerSettings(rule="order_rate", orders_max=3, loss_share_max=0.05).limits()
    assert (limits.orders_max, limits.loss_share_max) == (3, Decimal("0.05"))


def test_a_state_that_the_disk_does_not_take_is_written_with_the_next_judgement(life, monkeypatch):
    actor, context = life("daily_max_loss")
    real, failures = breaker.write_latch, [1]

    def sometimes(*args):
        if failures:
            failures.pop()
            raise StorageFailure("database is locked")
        real(*args)

    monkeypatch.setattr(breaker, "write_latch", sometimes)
    book = BookSnapshot(version=1, realized_today=Decimal(-60_001))
    context.deliver(actor, PositionChanged(book=book))
    context.advance(5)
    kills = context.told_to("breaker_gate", BreakerVerdict)
    assert [row.action for row in kills] == ["kill"]
    context.advance(10)
    again, context = life("daily_max_loss")
    assert weighed(again, context).action == "kill"


def test_a_verdict_waits_for_no_disk(life, monkeypatch):
    actor, context = life("daily_max_loss")
    context.deliver(actor, PositionChanged(book=BookSnapshot(version=1, realized_today=Decimal(9))))
    written: list[object] = []
    monkeypatch.setattr(breaker, "write_latch", lambda *args: written.append(args))
    assert weighed(actor, context).action == "clear"
    assert written == []
    context.advance(5)
    assert len(written) == 1
