"""Open structures are watched on executable prices, closed once, and never forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, time
from decimal import Decimal

import numpy as np
import pytest

from actors.risk import watch_rows
from actors.risk.position_manager import ManagerSettings, PositionManager
from actors.risk.watch_rows import WatchRows
from domain.calendar import ExchangeCalendar, SessionHours
from domain.errors import StorageFailure
from domain.intents import StrategyType
from domain.orders import ENTRY_COMMAND, CommandRow, CommandStatus
from domain.positions import BookSnapshot
from domain.prices import CHAIN_DTYPE
from messages.codec import to_plain
from messages.market import SessionOpened
from messages.trading import (
    CloseStructure,
    CommandEnded,
    PositionChanged,
    ShortBreached,
    StructureClosed,
    StructureOpened,
)
from persistence.commands import CommandStore
from persistence.database import open_engine
from tests.kit.recording_context import START_NS, RecordingContext
from tests.kit.risk_makers import a_position, a_signal, an_intent

SECOND = 10**9
TOPIC = "chain.NIFTY.29DEC26"
ID = "TOMIC_IRON_CONDOR_NIFTY_20261120_1"
# Sold at 120 and 110, bought at 50 and 45: credit 135 a unit.
LEGS = (
    a_position("BUY", "PE", 23_600, 50, leg_no=1),
    a_position("SELL", "PE", 23_800, 120, leg_no=2),
    a_position("SELL", "CE", 24_200, 110, leg_no=3),
    a_position("BUY", "CE", 24_400, 45, leg_no=4),
)


@pytest.fixture
def life(runtime):
    lives = []
    hours = (SessionHours(date(2026, 1, 1), time(9, 15), time(15, 40), time(15, 0), time(15, 15)),)
    runtime.calendars = {"NFO": ExchangeCalendar("NFO", hours)}

    def begin(legs=LEGS, opened=True, after_s=0.0):
        context = RecordingContext("position_manager", runtime, life=len(lives) + 1)
        context.advance(after_s)
        manager = PositionManager(context, ManagerSettings())
        manager.start()
        lives.append(manager)
        context.deliver(manager, PositionChanged(book=BookSnapshot(version=1, positions=legs)))
        if opened:
            context.deliver(manager, StructureOpened(intent=an_intent(), command_id=1))
        return manager, context

    yield begin
    for manager in lives:
        manager._engine.dispose()


def chain(context, cost, delta=0.2, by_s=1.0):
    """A chain in which buying the condor back costs `cost` a unit: all of it in the short put."""
    rows = np.zeros(4, CHAIN_DTYPE)
    rows["strike"] = (23_600, 23_800, 24_200, 24_400)
    rows["is_call"] = (False, False, True, True)
    rows["bid"] = (10.0, cost - 0.5, 0.5, 5.0)
    rows["ask"] = (12.0, cost + 14.0, 1.0, 6.0)
    rows["delta"] = (-0.05, -delta, 0.05, 0.03)
    context.advance(by_s)
    context.feed(TOPIC, rows)


def closes(context):
    return context.told_to("execution_agent", CloseStructure)


def session(leaves_s=10_000, squares_s=20_000, always_open=False):
    return SessionOpened(
        day=date(2026, 11, 20),
        opens_ns=START_NS,
        closes_ns=START_NS + 30_000 * SECOND,
        intraday_exit_ns=START_NS + leaves_s * SECOND,
        square_off_ns=START_NS + squares_s * SECOND,
        always_open=always_open,
    )


def test_half_the_credit_is_taken_after_two_reads(life):
    _, context = life()
    # Cost 67.5 of 135 is half. The helper's shorts cost cost + 14 and 1, its longs bring 10 and 5.
    chain(context, 67.5)
    assert not closes(context)
    chain(context, 67.5)
    [close] = closes(context)
    assert (close.strategy_id, close.reason) == (ID, "tp_hit")
    assert close.key == f"{ID}:close:1"


def test_twice_the_credit_is_the_stop(life):
    _, context = life()
    for _ in range(2):
        chain(context, 269.0)
    assert not closes(context)
    for _ in range(2):
        chain(context, 270.0)
    assert [row.reason for row in closes(context)] == ["sl_hit"]


def test_reads_less_than_a_second_apart_are_one(life):
    _, context = life()
    chain(context, 300.0)
    chain(context, 300.0, by_s=0.5)
    assert not closes(context)
    chain(context, 300.0, by_s=0.5)
    assert closes(context)


def test_one_close_is_outstanding_and_repeated_under_its_key(life):
    manager, context = life()
    context.deliver(manager, session())
    for _ in range(6):
        chain(context, 300.0)
    assert len(closes(context)) == 1
    context.advance(10)
    assert {row.key for row in closes(context)} == {f"{ID}:close:1"}
    assert len(closes(context)) == 2


def ended(status):
    return CommandEnded(
        command_id=2, correlation_id="", strategy_id=ID, status=status, is_exit=True
    )


def test_a_failed_close_is_proposed_again_under_the_next_number(life):
    manager, context = life()
    chain(context, 300.0)
    chain(context, 300.0)
    context.deliver(manager, ended("FAILED"))
    assert [row.level for row in context.alerts][-1] == "CRITICAL"
    chain(context, 300.0)
    chain(context, 300.0)
    assert [row.key for row in closes(context)][-1] == f"{ID}:close:2"


def test_a_done_close_that_left_legs_is_proposed_again_later(life):
    manager, context = life()
    chain(context, 300.0)
    chain(context, 300.0)
    context.deliver(manager, ended("DONE"))
    chain(context, 300.0)
    chain(context, 300.0)
    assert {row.key for row in closes(context)} == {f"{ID}:close:1"}
    chain(context, 300.0, by_s=11)
    chain(context, 300.0)
    assert closes(context)[-1].key == f"{ID}:close:2"


def test_a_restart_keeps_the_trail_and_the_number(life):
    manager, context = life()
    chain(context, 94.0)  # profit 30.4 %: armed
    assert manager._watches[ID].trail.armed
    chain(context, 300.0)
    chain(context, 300.0)
    again, context = life(opened=False, after_s=60)
    assert again._watches[ID].trail.armed
    context.deliver(again, session())
    context.advance(5)
    assert [row.key for row in closes(context)] == [f"{ID}:close:1"]


def test_a_structure_found_in_the_book_is_watched_too(life):
    old = tuple(replace(leg, entry_ns=START_NS - 241 * SECOND) for leg in LEGS)
    _, context = life(old, opened=False)
    chain(context, 300.0)
    chain(context, 300.0)
    assert closes(context)


def test_an_entry_still_on_its_way_is_not_closed(life):
    # Bought 200 s ago; its short has rested nearly three bars.
    hedge_only = (replace(LEGS[0], entry_ns=START_NS - 200 * SECOND),)
    _, context = life(hedge_only, opened=False)
    chain(context, 1.0)
    chain(context, 1.0)
    assert not closes(context)


def test_a_flat_structure_is_forgotten(life):
    manager, context = life()
    context.deliver(
        manager,
        StructureClosed(
            strategy_id=ID,
            strategy_tag="",
            reason="tp_hit",
            gross=Decimal(1),
            charges=Decimal(0),
            net=Decimal(1),
        ),
    )
    context.deliver(manager, PositionChanged(book=BookSnapshot(version=2)))
    chain(context, 300.0)
    chain(context, 300.0)
    assert not closes(context)
    again, _ = life((), opened=False)
    assert not again._watches


def test_intraday_structures_leave_at_their_hour(life):
    intraday = tuple(replace(leg, product="MIS") for leg in LEGS)
    manager, context = life(intraday)
    context.deliver(manager, session(leaves_s=100))
    context.advance(99)
    assert not closes(context)
    context.advance(6)
    assert [row.reason for row in closes(context)] == ["time_exit"]


def test_a_session_that_never_closes_has_no_hour_to_leave_by(life):
    intraday = tuple(replace(leg, product="MIS") for leg in LEGS)
    manager, context = life(intraday)
    context.deliver(manager, session(leaves_s=0, always_open=True))
    context.advance(60)
    assert not closes(context)


def test_stock_options_leave_two_sessions_before_delivery(life):
    # Friday; Monday and Tuesday are the two sessions up to the expiry on Tuesday.
    stock = tuple(
        replace(leg, underlying="TCS", expiry=date(2026, 11, 24), strategy="DITM_CALL")
        for leg in LEGS[:1]
    )
    manager, context = life(stock)
    context.deliver(manager, session())
    assert [row.reason for row in closes(context)] == ["time_exit"]


def test_a_breached_short_is_cut_and_warned_of_first(life):
    _, context = life()
    chain(context, 120.0, delta=0.40)
    chain(context, 120.0, delta=0.40)
    assert [row.level for row in context.alerts] == ["RISK"]
    assert not closes(context)
    chain(context, 120.0, delta=0.46)
    chain(context, 120.0, delta=0.46)
    assert [row.reason for row in closes(context)] == ["delta_cut"]
    (told,) = context.heard(ShortBreached)
    assert (told.strategy_id, told.symbols) == (ID, (LEGS[1].symbol,))


def test_a_structure_without_prices_is_told_of(life):
    manager, context = life()
    context.deliver(manager, session())
    context.advance(70)
    assert any("no executable price" in row.text for row in context.alerts)


def test_its_part_of_the_status_names_each_structure(life):
    _, context = life()
    context.advance(5)
    row = context.reports[-1][ID]
    assert (row["instrument"], row["entry_credit"]) == ("NIFTY", 135 * 65)
    assert row["trail_stop_activated"] is False
    assert (row["underlying_stop"], row["underlying_target"]) == (0.0, 0.0)


def test_settings_must_be_positive():
    with pytest.raises(ValueError, match="decide_every_s"):
        ManagerSettings(decide_every_s=0)


def test_a_new_life_that_heard_no_book_yet_forgets_nothing(runtime, life):
    _, context = life()
    chain(context, 94.0)  # profit 30.4 %: armed
    context = RecordingContext("position_manager", runtime, life=2)
    manager = PositionManager(context, ManagerSettings())
    manager.start()
    context.advance(600)  # no feed, so nobody tells the book
    context.deliver(manager, PositionChanged(book=BookSnapshot(version=1, positions=LEGS)))
    assert manager._watches[ID].trail.armed
    manager._engine.dispose()


def test_a_new_life_drops_the_watch_of_what_the_book_holds_no_more(runtime, life):
    """Its end was told while nobody was there to hear it; the next start would watch it again."""
    life()
    context = RecordingContext("position_manager", runtime, life=2)
    manager = PositionManager(context, ManagerSettings())
    manager.start()
    assert WatchRows(context).read()
    context.deliver(manager, PositionChanged(book=BookSnapshot(version=1)))
    context.advance(250)
    assert (manager._watches, WatchRows(context).read()) == ({}, {})
    manager._engine.dispose()


CALL_ID = "TOMIC_DITM_CALL_NIFTY_20261120_1"


@pytest.fixture
def long_call(runtime):
    """A deep call is in the book; its order's row says stop 23,800 and target 25,000 of NIFTY."""
    signal = a_signal(
        StrategyType.DITM_CALL, legs=(), price_basis="UNDERLYING", entry_price=24_000.0,
        stop_price=23_800.0, target_price=25_000.0,
    )  # fmt: skip
    intent = replace(an_intent(), strategy_id=CALL_ID, signal=signal)
    row = CommandRow(
        event_type=ENTRY_COMMAND, idempotency_key=f"{CALL_ID}:entry", correlation_id="c",
        strategy_id=CALL_ID, strategy_tag="TOMIC_DITM_CALL_NIFTY", underlying="NIFTY",
        broker_name="alpha", source_agent="risk_agent", payload=json.dumps(to_plain(intent)),
        created_ns=START_NS, status=CommandStatus.DONE,
    )  # fmt: skip
    engine = open_engine(runtime.database_url)
    CommandStore(engine).record(row, [])
    engine.dispose()
    return (
        a_position("BUY", "CE", 22_000, 2_000, strategy_id=CALL_ID, strategy="DITM_CALL"),
    )  # fmt: skip


def spot(context, price):
    """The call is quoted at what it cost, whatever the underlying does."""
    rows = np.zeros(1, CHAIN_DTYPE)
    rows["strike"], rows["is_call"], rows["delta"] = 22_000, True, 0.9
    rows["bid"] = rows["ask"] = 2_000.0
    context.advance(1.0)
    context.feed(TOPIC, rows, spot=price)


@pytest.mark.parametrize(
    ("price", "reason"), [(23_800.0, "sl_hit"), (25_000.0, "tp_hit")], ids=["stop", "target"]
)
def test_a_directional_entry_is_left_at_its_levels_of_the_underlying(
    life, long_call, price, reason
):
    # Not told of its opening: as after a restart, it is found in the book and its row.
    _, context = life(long_call, opened=False, after_s=300.0)
    for _ in range(5):
        spot(context, 24_000.0)
    assert not closes(context)
    row = context.reports[-1][CALL_ID]
    assert (row["underlying_stop"], row["underlying_target"]) == (23_800.0, 25_000.0)
    for _ in range(2):
        spot(context, price)
    assert [(row.strategy_id, row.reason) for row in closes(context)] == [(CALL_ID, reason)]


def test_the_levels_stand_in_every_later_life(life, long_call):
    life(long_call, opened=False, after_s=300.0)
    _, context = life(long_call, opened=False)
    for _ in range(2):
        spot(context, 23_700.0)
    assert [row.reason for row in closes(context)] == ["sl_hit"]


@pytest.mark.parametrize(
    ("days_ago", "reasons"),
    # Entered on Friday the 13th its own bar and four more have closed by Friday the 20th; entered
    # on Monday the 16th only four have.
    [(7, ["time_exit"]), (4, [])],
)
def test_a_directional_entry_that_goes_nowhere_is_left_after_five_daily_bars(
    life, long_call, days_ago, reasons
):
    entered_ns = START_NS - days_ago * 86_400 * SECOND
    held = tuple(replace(leg, entry_ns=entered_ns) for leg in long_call)
    manager, context = life(held, opened=False)
    context.deliver(manager, session())
    assert [row.reason for row in closes(context)] == reasons


def test_an_exit_waits_for_no_disk_and_the_watch_is_written_when_it_can_be(life, monkeypatch):
    """A close under its first number, not once more under the same by a life that forgot it."""
    _, context = life()
    real, failures = watch_rows.write_latch, [1, 1]

    def sometimes(*args):
        if failures:
            failures.pop()
            raise StorageFailure("database is locked")
        real(*args)

    monkeypatch.setattr(watch_rows, "write_latch", sometimes)
    for _ in range(2):
        chain(context, 300.0)
    assert [row.key for row in closes(context)] == [f"{ID}:close:1"]
    assert "a watch is not on disk: database is locked" in [row.text for row in context.alerts]
    context.advance(2)
    (row,) = WatchRows(context).read().values()
    assert (row.engaged, row.reason) == (True, "sl_hit")
