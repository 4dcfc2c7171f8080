"""What a day's end, other hands and lost words do to standing structures."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.charges import order_charges, rates_on
from domain.clock import exchange_time, seconds
from domain.errors import OutcomeUnknown
from domain.intents import StrategyType
from messages.lifecycle import NodeRestarted
from messages.market import SessionOpened
from messages.trading import (
    CloseStructure,
    CommandEnded,
    CorrectBook,
    OrderRejected,
    PositionChanged,
    StructureClosed,
)
from tests.kit.trading_desk import LOT, STRANGLE, Desk, make_intent

ACTORS = ("position_book", "executor.alpha", "execution_agent")
PUT, CALL = STRANGLE[0].symbol, STRANGLE[1].symbol


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def standing_strangle(desk, quantity: int = LOT) -> str:
    desk.broker.script = lambda r: 0 if r.price_type == "SL" else r.quantity
    intent = make_intent(
        StrategyType.SHORT_STRANGLE, STRANGLE, quantity=quantity, naked_approved=True
    )
    desk.propose(intent)
    desk.run(3)
    return intent.strategy_id


def next_day(desk) -> None:
    """The machine was off over night: day orders are gone from the broker's book, unseen."""
    for name in ACTORS:
        desk.kill(name)
    desk.now_ns += seconds(86_400)
    for order_id, row in list(desk.broker.book.items()):
        if not row.is_final:
            # Another's row keeps the count of ids going.
            desk.broker.book[order_id] = replace(row, order_id=f"other{order_id}", symbol="OTHER")
    for name in ACTORS:
        desk.begin(name)
    desk.settle()


def read_for(desk, duration_s: int) -> None:
    for _ in range(duration_s):
        desk.run(1)
        desk._read_book()
        desk.settle()


def working_stops(desk) -> dict[str, int]:
    rows = [r for r in desk.broker.book.values() if r.price_type == "SL" and not r.is_final]
    return {row.symbol: row.quantity for row in rows if row.symbol != "OTHER"}


def close(strategy_id: str, key: str = "c:1", reason: str = "manual") -> CloseStructure:
    return CloseStructure(strategy_id=strategy_id, reason=reason, key=key, by="x")


def test_a_stop_that_ended_with_its_day_is_placed_again(desk) -> None:
    standing_strangle(desk)
    assert working_stops(desk) == {PUT: LOT, CALL: LOT}

    next_day(desk)
    assert working_stops(desk) == {}
    read_for(desk, 15)

    assert working_stops(desk) == {PUT: LOT, CALL: LOT}


def test_a_stop_that_ended_with_its_day_does_not_hold_up_the_close(desk) -> None:
    strategy_id = standing_strangle(desk)
    next_day(desk)
    desk.deliver("execution_agent", close(strategy_id))
    read_for(desk, 20)

    assert desk.broker.net() == {}
    assert [row.reason for row in desk.announced(StructureClosed)] == ["manual"]


def test_an_order_missing_on_its_own_day_stays_unknown(desk) -> None:
    standing_strangle(desk)
    for order_id, row in list(desk.broker.book.items()):
        if row.price_type == "SL":
            desk.broker.book[order_id] = replace(row, order_id=f"other{order_id}", symbol="OTHER")
    read_for(desk, 15)

    stops = [row for row in desk.store.unfinished() if row.price_type == "SL"]
    assert [row.needs_reconcile for row in stops] == [True, True]


def test_a_short_bought_back_by_hand_is_booked_and_its_resting_stop_taken_out(desk) -> None:
    strategy_id = standing_strangle(desk)
    correction = CorrectBook(
        position_key=f"{PUT}|{strategy_id}|0",
        units=LOT,
        price=Decimal(40),
        reason="MISSING_AT_BROKER at alpha",
        key="correction:1",
    )
    desk.deliver("execution_agent", correction)
    desk.run(3)

    held = desk.announced(PositionChanged)[-1].book.open_positions
    assert [row.symbol for row in held] == [CALL]
    assert working_stops(desk) == {CALL: LOT}


def test_a_repeated_close_that_has_ended_is_answered_again(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    desk.deliver("execution_agent", close(intent.strategy_id))
    desk.run(4)
    sent = len(desk.broker.requests)
    ends = [m.status for m in desk.announced(CommandEnded) if m.is_exit]
    assert ends == ["DONE"]

    desk.deliver("execution_agent", close(intent.strategy_id))
    desk.run(2)

    assert [m.status for m in desk.announced(CommandEnded) if m.is_exit] == ["DONE", "DONE"]
    assert len(desk.broker.requests) == sent


def test_the_reason_of_a_closed_structure_is_that_of_the_close_that_traded(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    desk._hand("execution_agent", close(intent.strategy_id, "c:1", "tp_hit"))
    desk._hand("execution_agent", close(intent.strategy_id, "c:2", "manual"))
    desk.run(6)

    assert [row.reason for row in desk.announced(StructureClosed)] == ["tp_hit"]


def test_a_structure_taken_off_by_other_hands_was_closed_externally(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    for leg_no, leg in enumerate(intent.structure.legs):
        units = LOT if leg.direction == "SELL" else -LOT
        correction = CorrectBook(
            position_key=f"{leg.symbol}|{intent.strategy_id}|{leg_no}",
            units=units,
            price=Decimal(50),
            reason="MISSING_AT_BROKER at alpha",
            key=f"correction:{leg_no}",
        )
        desk.deliver("execution_agent", correction)
    desk.deliver("execution_agent", close(intent.strategy_id))
    desk.run(2)

    assert [row.reason for row in desk.announced(StructureClosed)] == ["external"]


def test_a_new_life_of_anybody_hears_the_book(desk) -> None:
    desk.propose(make_intent())
    desk.run(3)
    before = len(desk.announced(PositionChanged))
    desk.deliver(
        "position_book",
        NodeRestarted(name="position_manager", life=2, reason="killed", handles_orders=True),
    )

    assert len(desk.announced(PositionChanged)) == before + 1
    assert len(desk.announced(PositionChanged)[-1].book.open_positions) == 2


def test_an_order_that_fills_in_parts_pays_its_brokerage_once(desk) -> None:
    desk.broker.script = lambda r: r.quantity if r.action == "BUY" else 0
    desk.propose(make_intent(quantity=2 * LOT))
    desk.run(3)
    short = next(key for key, row in desk.broker.book.items() if row.action == "SELL")
    for units in (LOT, 2 * LOT):
        desk.broker.fill(short, units)
        desk._read_book()
        desk.run(1)

    book = desk.announced(PositionChanged)[-1].book
    rates = rates_on(exchange_time(desk.now_ns).date())
    # both orders whole, by their limits: 50.10 bought, 49.90 sold
    whole = [order_charges("BUY", 2 * LOT, Decimal("50.10"), rates).total]
    whole.append(order_charges("SELL", 2 * LOT, Decimal("49.90"), rates).total)
    assert abs(book.charges_today - sum(whole)) <= Decimal("0.04")  # each part is rounded


@pytest.mark.parametrize(
    ("opened_s", "product", "always_open", "code"),
    [
        (899, "NRML", False, "FIRST_MINUTES"),
        (899, "NRML", True, ""),
        (7200, "MIS", False, "TOO_LATE_FOR_INTRADAY"),
        (7200, "NRML", False, ""),
        (7100, "MIS", False, ""),
    ],
)
def test_entries_keep_to_the_hours_for_entries(desk, opened_s, product, always_open, code) -> None:
    """Opened so long ago; intraday structures leave two hours after the opening."""
    opens_ns = desk.now_ns - seconds(opened_s)
    session = SessionOpened(
        day=exchange_time(desk.now_ns).date(),
        opens_ns=opens_ns,
        closes_ns=opens_ns + seconds(20_000),
        intraday_exit_ns=opens_ns + seconds(7200),
        square_off_ns=0,
        always_open=always_open,
    )
    desk.deliver("execution_agent", session)
    desk.propose(replace(make_intent(), product=product))
    desk.run(0.75)

    assert bool(desk.broker.requests) is not bool(code)
    assert code in desk.store.recent_commands(1)[0].last_error


def test_a_refusal_that_only_the_book_tells_is_a_fact_and_a_cry_for_an_exit(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    desk.broker.script = lambda request: 0
    desk.deliver("execution_agent", close(intent.strategy_id))
    resting = next(key for key, row in desk.broker.book.items() if not row.is_final)
    desk.broker.reject(resting, "margin")
    desk._read_book()
    desk._read_book()
    desk.settle()

    told = [(m.error_class, m.reason) for m in desk.announced(OrderRejected)]
    assert told == [("broker_reject", "margin")]
    assert any("was refused: margin" in text for text in desk.alerts())


def test_a_close_that_arrived_but_stands_in_no_order_book_is_not_sent_again(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    desk.broker.requests.clear()
    arrived: list[int] = []

    def vanish(request):
        if arrived:
            return request.quantity
        arrived.append(request.quantity)
        raise OutcomeUnknown("read time-out")

    desk.broker.script, desk.broker.arrives = vanish, False
    positions = desk.broker.positions
    # The buy-back filled at the broker; its order book forgot it, its positions did not.
    desk.broker.positions = lambda: [row for row in positions() if row.quantity > 0]
    desk.deliver("execution_agent", close(intent.strategy_id))
    desk.run(45)

    assert [(row.action, row.quantity) for row in desk.broker.requests] == [("BUY", LOT)]
    short = intent.structure.legs[0]
    correction = CorrectBook(
        position_key=f"{short.symbol}|{intent.strategy_id}|0",
        units=LOT,
        price=Decimal(50),
        reason="MISSING_AT_BROKER at alpha",
        key="correction:1",
    )
    desk.deliver("execution_agent", correction)
    desk.run(5)
    assert [row.action for row in desk.broker.requests] == ["BUY", "SELL"]
    assert desk.statuses() == ["DONE", "DONE"]


def test_a_stop_never_stands_for_more_than_the_short_it_guards(desk) -> None:
    strategy_id = standing_strangle(desk, 2 * LOT)
    assert working_stops(desk) == {PUT: 2 * LOT, CALL: 2 * LOT}
    correction = CorrectBook(
        position_key=f"{PUT}|{strategy_id}|0",
        units=LOT,
        price=Decimal(40),
        reason="QTY at alpha",
        key="correction:1",
    )
    desk.deliver("execution_agent", correction)
    desk.run(6)

    assert working_stops(desk) == {PUT: LOT, CALL: 2 * LOT}
