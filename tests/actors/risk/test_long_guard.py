"""A long single option leaves at its own price, once, and its best price survives a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from decimal import Decimal

import numpy as np
import pytest

from actors.risk.position_manager import ManagerSettings, PositionManager
from domain.calendar import ExchangeCalendar, SessionHours
from domain.intents import StrategyType
from domain.positions import BookSnapshot
from domain.prices import CHAIN_DTYPE
from domain.settings import Settings
from messages.market import SessionOpened
from messages.trading import CloseStructure, PositionChanged, StructureOpened
from tests.kit.recording_context import START_NS, RecordingContext
from tests.kit.risk_makers import a_position, a_signal, an_intent

SECOND = 10**9
TOPIC = "chain.NIFTY.29DEC26"
LONG = a_position("BUY", "CE", 23_000, 100, strategy="DITM_CALL")


@pytest.fixture
def life(runtime):
    lives = []
    hours = (SessionHours(date(2026, 1, 1), time(9, 15), time(15, 40), time(15, 0), time(15, 15)),)
    runtime.calendars = {"NFO": ExchangeCalendar("NFO", hours)}

    def begin(after_s=0.0, leg=LONG):
        context = RecordingContext("position_manager", runtime, life=len(lives) + 1)
        context.advance(after_s)
        manager = PositionManager(context, ManagerSettings())
        manager.start()
        lives.append(manager)
        context.deliver(manager, PositionChanged(book=BookSnapshot(version=1, positions=(leg,))))
        signal = a_signal(StrategyType.DITM_CALL, legs=())
        opened = replace(an_intent(), strategy_id=leg.strategy_id, signal=signal)
        context.deliver(manager, StructureOpened(intent=opened, command_id=1))
        context.deliver(
            manager,
            SessionOpened(
                day=date(2026, 11, 20), opens_ns=START_NS, closes_ns=START_NS + 20_000 * SECOND,
                intraday_exit_ns=START_NS + 19_000 * SECOND,
                square_off_ns=START_NS + 19_500 * SECOND,
            ),
        )  # fmt: skip
        return manager, context

    yield begin
    for manager in lives:
        manager._engine.dispose()


def price(context, last, by_s=1.0, other_age_s=0.0, own_age_s=0.0):
    """The chain after `by_s`: our option's last trade, and another option's."""
    rows = np.zeros(2, CHAIN_DTYPE)
    rows["strike"], rows["is_call"] = (23_000, 24_000), True
    rows["ltp"] = (last, 50.0)
    rows["bid"], rows["ask"] = rows["ltp"] - 40, rows["ltp"] + 0.05  # nobody bids near
    rows["delta"] = 0.9
    context.advance(by_s)
    ages = np.array([own_age_s, other_age_s])
    rows["ts_ns"] = context.now_ns() - (ages * SECOND).astype("i8")
    context.feed(TOPIC, rows)


def closes(context):
    return context.told_to("execution_agent", CloseStructure)


def test_the_stop_is_the_options_own_and_needs_no_second_read(life):
    _, context = life()
    price(context, 75.05)
    assert not closes(context)
    price(context, 75.0)
    [close] = closes(context)
    assert (close.strategy_id, close.reason, close.force) == (LONG.strategy_id, "sl_hit", False)
    assert any("VIRTUAL_SL" in row.text and "75.00" in row.text for row in context.alerts)


def test_the_rule_of_half_the_debit_does_not_stand_beside_it(life):
    # The bid is 40 below the last: by what selling would bring, half the debit is long gone.
    _, context = life()
    for _ in range(5):
        price(context, 85.0)
    assert not closes(context)


def test_switched_off_the_share_of_the_debit_rules_again(life, runtime):
    runtime.settings = Settings(virtual_risk_enabled=False)
    _, context = life()
    for _ in range(3):
        price(context, 85.0)  # the bid is 45: a loss of more than half
    assert [row.reason for row in closes(context)] == ["sl_hit"]


def test_the_best_price_of_an_earlier_life_holds_the_trail(life):
    _, context = life()
    price(context, 120.0)
    _, context = life(after_s=60)
    price(context, 113.0)
    assert not closes(context)
    price(context, 111.0)
    assert [row.reason for row in closes(context)] == ["trail_hit"]


def test_one_close_is_outstanding_though_the_price_goes_on_falling(life):
    _, context = life()
    for last in (75.0, 70.0, 60.0, 50.0):
        price(context, last)
    assert len({row.key for row in closes(context)}) == 1


def test_a_price_from_before_the_entry_moves_nothing(life):
    leg = replace(LONG, entry_ns=START_NS + 10 * SECOND)
    _, context = life(leg=leg)
    price(context, 60.0, by_s=9)  # traded a second before we bought
    assert not closes(context)
    price(context, 60.0, by_s=1)
    assert closes(context)


def test_a_quiet_option_raises_an_alert_and_is_kept(life):
    _, context = life()
    price(context, 100.0)
    for _ in range(20):
        price(context, 100.0, by_s=10, own_age_s=100.0)
    assert any(row.level == "RISK" and "VIRTUAL_STALE" in row.text for row in context.alerts)
    assert not closes(context)


def test_when_no_option_ticks_for_a_minute_it_is_sold_at_market(life):
    _, context = life()
    price(context, 100.0)
    context.advance(58)
    assert not closes(context)
    context.advance(10)
    assert {(row.reason, row.force) for row in closes(context)} == {("feed_lost", True)}


def a_session(opens_ns: int, lasts_s: int) -> SessionOpened:
    return SessionOpened(
        day=date(2026, 11, 20), opens_ns=opens_ns, closes_ns=opens_ns + lasts_s * SECOND,
        intraday_exit_ns=0, square_off_ns=0,
    )  # fmt: skip


def test_a_night_is_no_silence(life):
    manager, context = life()
    context.deliver(manager, a_session(START_NS, 20))
    price(context, 100.0)
    opens_ns = START_NS + 86_400 * SECOND
    context.advance(86_399)
    context.deliver(manager, a_session(opens_ns, 20_000))
    context.advance(45)
    assert not closes(context)
    context.advance(30)
    assert {row.reason for row in closes(context)} == {"feed_lost"}


def test_the_report_shows_stop_target_and_trail(life):
    manager, context = life()
    price(context, 120.0)
    context.advance(5)
    guard = context.reports[-1][LONG.strategy_id]["virtual_guard"]
    assert (guard["entry"], guard["high"], guard["stop"], guard["target"]) == (100, 120, 112, 135)
    assert guard["trailing"]
    assert guard["tick_age_s"] == 4.0  # told at the fifth second, of a price of the first
    spread = replace(LONG, strategy="BULL_PUT_SPREAD", average_price=Decimal(100))
    context.deliver(manager, PositionChanged(book=BookSnapshot(version=2, positions=(spread,))))
    context.advance(5)
    assert context.reports[-1][LONG.strategy_id]["virtual_guard"] is None
