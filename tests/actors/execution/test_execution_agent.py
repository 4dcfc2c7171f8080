"""The order's path with a broker in hand: entries, refusals, unwinding, closes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.errors import BrokerRejected, NotSent, OutcomeUnknown, RateLimited
from domain.intents import StrategyType
from domain.orders import OrderStatus
from domain.readings import Phase
from messages.control import ApproveCommand
from messages.trading import (
    ClearOrder,
    CloseStructure,
    CommandEnded,
    FlattenLeg,
    OrderFilled,
    PlaceOrders,
    PositionChanged,
    ProposalRecorded,
    StructureClosed,
    StructureOpened,
    TradingModeChanged,
)
from tests.kit.trading_desk import (
    CONDOR,
    LONG_CALL,
    LOT,
    STRANGLE,
    Desk,
    denied,
    fill_but_stops,
    leg,
    make_intent,
)

OTHER = (leg(25600, "P", "SELL"), leg(25400, "P", "BUY"))


def lose_only(strike: str):
    """Nobody answers for orders of that strike; all others fill."""

    def script(request):
        if request.symbol.endswith(strike):
            raise OutcomeUnknown("timed out")
        return request.quantity

    return script


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def test_a_spread_is_bought_before_it_is_sold(desk) -> None:
    desk.propose(make_intent())
    desk.run(3)

    assert [(r.action, r.symbol[-7:]) for r in desk.broker.requests] == [
        ("BUY", "25300PE"),
        ("SELL", "25500PE"),
    ]
    assert desk.statuses() == ["DONE"]
    assert desk.broker.net() == {"NIFTY24NOV2625300PE": LOT, "NIFTY24NOV2625500PE": -LOT}
    opened = desk.announced(StructureOpened)
    assert [message.intent.quantity for message in opened] == [LOT]
    assert [message.status for message in desk.announced(CommandEnded)] == ["DONE"]
    book = desk.announced(PositionChanged)[-1].book
    assert {row.symbol: row.signed_quantity for row in book.open_positions} == desk.broker.net()


def test_steps_are_at_least_half_a_second_apart(desk) -> None:
    desk.propose(make_intent())
    desk.run(3)

    buy, sell = (desk.store.order(r.client_order_id) for r in desk.broker.requests)
    assert sell.sent_ns - buy.sent_ns >= 500_000_000


def test_a_limit_stands_two_ticks_from_the_mid_towards_the_touch(desk) -> None:
    desk.propose(make_intent())
    desk.run(3)

    buy, sell = desk.broker.requests
    # mid 50.00, tick 0.05: 50.10 is the ask, 49.90 the bid.
    assert (buy.price_type, buy.price) == ("LIMIT", Decimal("50.10"))
    assert (sell.price_type, sell.price) == ("LIMIT", Decimal("49.90"))


def test_the_rows_stand_before_the_gate_is_asked(desk) -> None:
    seen = []

    def gate(ask: ClearOrder):
        seen.append([row.status.value for row in desk.store.orders_of(ask.command_id)])

    desk.gate = gate
    desk.propose(make_intent())

    assert seen == [["WAITING", "WAITING"]]
    assert desk.broker.requests == []


def test_a_row_is_sending_on_disk_while_the_broker_is_asked(desk) -> None:
    seen = []
    desk.broker.during_place = lambda: seen.append(
        [row.status.value for row in desk.store.orders_of(1)]
    )
    desk.propose(make_intent())
    desk.run(3)

    # legs in order of the structure: the short put first in the rows, its hedge second
    assert seen[0] == ["WAITING", "SENDING"]
    assert seen[1] == ["SENDING", "FILLED"]


def test_the_same_proposal_twice_is_one_order(desk) -> None:
    desk.propose(make_intent())
    desk.propose(make_intent())
    desk.run(3)

    recorded = [m for _, m in desk.told if isinstance(m, ProposalRecorded)]
    assert [m.duplicate for m in recorded] == [False, True]
    assert recorded[0].command_id == recorded[1].command_id
    assert len(desk.broker.requests) == 2


def test_a_signal_evaluated_twice_finds_its_first_row(desk) -> None:
    first = make_intent(number=1)
    again = replace(make_intent(number=2), correlation_id=first.correlation_id)
    desk.propose(first)
    desk.propose(again)
    desk.run(3)

    recorded = [m for _, m in desk.told if isinstance(m, ProposalRecorded)]
    assert [m.duplicate for m in recorded] == [False, True]
    assert len(desk.broker.requests) == 2


def test_a_condor_buys_both_wings_before_it_sells(desk) -> None:
    desk.propose(make_intent(StrategyType.IRON_CONDOR, CONDOR))
    desk.run(3)

    assert [r.action for r in desk.broker.requests] == ["BUY", "BUY", "SELL", "SELL"]
    assert desk.statuses() == ["DONE"]
    placed = [m for _, m in desk.told if isinstance(m, PlaceOrders)]
    assert [len(m.requests) for m in placed] == [2, 2]


def test_a_denied_order_is_never_sent_and_says_why(desk) -> None:
    desk.gate = denied("GROSS_NOTIONAL")
    desk.propose(make_intent())
    desk.run(2)

    assert desk.broker.requests == []
    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("FAILED", "GROSS_NOTIONAL")
    assert {row.status for row in desk.store.orders_of(1)} == {OrderStatus.REJECTED_RISK}


def test_a_throttle_only_defers(desk) -> None:
    answers = [denied("ORDER_RATE", retry_after_s=2.0), desk.gate]
    desk.gate = lambda ask: answers.pop(0)(ask)
    desk.propose(make_intent())
    desk.run(1)
    assert desk.broker.requests == []
    desk.run(4)

    assert desk.statuses() == ["DONE"]


def test_a_silent_gate_lets_nothing_pass_and_the_entry_expires(desk) -> None:
    desk.gate = lambda ask: None
    desk.propose(make_intent())
    desk.run(15)

    assert desk.broker.requests == []
    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("FAILED", "STALE")
    assert "GATE_SILENT" in ended.refusal.text


def test_stale_data_defers_until_the_entry_expires(desk) -> None:
    desk.fresh = lambda: None
    desk.now_ns += 20_000_000_000
    desk.contexts["execution_agent"].advance(20)
    desk.propose(make_intent())
    desk.run(12)

    assert desk.broker.requests == []
    assert desk.announced(CommandEnded)[0].refusal.code == "STALE"


def test_a_refused_hedge_ends_the_entry_with_nothing_sold(desk) -> None:
    def refuse(request):
        raise BrokerRejected("margin is short")

    desk.broker.script = refuse
    desk.propose(make_intent())
    desk.run(3)

    assert [r.action for r in desk.broker.requests] == ["BUY"]
    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("FAILED", "BROKER_REJECT")
    assert desk.broker.net() == {}


def test_a_short_refused_twice_sells_the_hedge(desk) -> None:
    def refuse_shorts(request):
        if request.symbol.endswith("25500PE"):
            raise BrokerRejected("not allowed")
        return request.quantity

    desk.broker.script = refuse_shorts
    desk.propose(make_intent())
    desk.run(10)

    assert [(r.action, r.symbol[-7:]) for r in desk.broker.requests] == [
        ("BUY", "25300PE"),
        ("SELL", "25500PE"),
        ("SELL", "25500PE"),
        ("SELL", "25300PE"),
    ]
    assert len({r.client_order_id for r in desk.broker.requests}) == 4
    assert desk.broker.net() == {}
    assert desk.statuses() == ["FAILED"]


def test_a_hedge_that_rests_is_repriced_once_then_taken_at_market(desk) -> None:
    desk.broker.script = lambda r: r.quantity if r.price_type == "MARKET" else 0
    desk.propose(make_intent(StrategyType.BULL_PUT_SPREAD))
    desk.run(4)

    hedges = [r for r in desk.broker.requests if r.symbol.endswith("25300PE")]
    assert [r.price_type for r in hedges] == ["LIMIT", "LIMIT", "MARKET"]
    assert len(desk.broker.cancelled) == 2
    assert desk.broker.net()["NIFTY24NOV2625300PE"] == LOT


def test_shorts_never_go_beyond_what_the_hedge_filled(desk) -> None:
    def half_hedge(request):
        if request.action == "BUY":
            if request.price_type == "MARKET":
                raise BrokerRejected("no more")
            return LOT if not desk.broker.book else 0
        return request.quantity

    desk.broker.script = half_hedge
    desk.propose(make_intent(quantity=2 * LOT))
    desk.run(10)

    sold = [r for r in desk.broker.requests if r.action == "SELL"]
    assert [r.quantity for r in sold] == [LOT]
    assert desk.statuses() == ["DONE"]
    assert desk.announced(StructureOpened)[0].intent.quantity == LOT


@pytest.mark.parametrize(
    ("failure", "times", "status"),
    [
        (NotSent, 2, "DONE"),
        (NotSent, 3, "DEAD_LETTER"),
        (RateLimited, 4, "DONE"),
        (RateLimited, 5, "DEAD_LETTER"),
    ],
)
def test_only_what_was_not_taken_is_sent_again(desk, failure, times, status) -> None:
    tries = []

    def fail_first(request):
        tries.append(request.client_order_id)
        if len(tries) <= times:
            raise failure("no")
        return request.quantity

    desk.broker.script = fail_first
    desk.propose(make_intent())
    desk.run(20)

    assert desk.statuses() == [status]
    assert len(set(tries[:times])) == 1
    assert len(tries) == (times + 2 if status == "DONE" else times)


def test_an_unknown_order_that_arrived_is_adopted_and_never_sent_again(desk) -> None:
    def lose_first(request):
        if len(desk.broker.requests) == 1:
            raise OutcomeUnknown("timed out")
        return request.quantity

    desk.broker.script = lose_first
    desk.propose(make_intent())
    desk.run(10)

    assert [r.action for r in desk.broker.requests] == ["BUY", "SELL"]
    assert desk.statuses() == ["DONE"]
    assert desk.store.orders_of(1)[1].broker_order_id == "B1"


def test_an_unknown_order_is_found_by_likeness_where_no_tag_is_carried(desk) -> None:
    desk.broker.carries_tag = False

    def lose_first(request):
        if len(desk.broker.requests) == 1:
            raise OutcomeUnknown("timed out")
        return request.quantity

    desk.broker.script = lose_first
    desk.propose(make_intent())
    desk.run(10)

    assert [r.action for r in desk.broker.requests] == ["BUY", "SELL"]
    assert desk.statuses() == ["DONE"]


def test_an_entry_that_never_arrived_is_given_up_after_the_grace(desk) -> None:
    desk.broker.arrives = False

    def lose(request):
        raise OutcomeUnknown("timed out")

    desk.broker.script = lose
    desk.propose(make_intent())
    desk.run(29)
    assert desk.statuses() == ["UNKNOWN_OUTCOME"]
    desk.run(20)

    assert len(desk.broker.requests) == 1
    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("FAILED", "NEVER_ARRIVED")


def test_a_short_that_never_arrived_sells_its_hedge(desk) -> None:
    desk.broker.arrives = False

    def lose_shorts(request):
        if request.action == "SELL" and request.symbol.endswith("25500PE"):
            raise OutcomeUnknown("timed out")
        return request.quantity

    desk.broker.script = lose_shorts
    desk.propose(make_intent())
    desk.run(60)

    assert desk.broker.net() == {}
    assert desk.statuses() == ["FAILED"]
    shorts = [r for r in desk.broker.requests if r.symbol.endswith("25500PE")]
    assert len(shorts) == 1


def test_what_a_close_took_off_during_an_unknown_entry_is_not_sold_again(desk) -> None:
    desk.broker.arrives = False

    def lose_the_call(request):
        if request.action == "BUY" and request.symbol.endswith("CE"):
            raise OutcomeUnknown("its executor ended")
        return request.quantity

    desk.broker.script = lose_the_call
    intent = make_intent(StrategyType.IRON_CONDOR, CONDOR)
    desk.propose(intent)
    desk.run(5)
    assert desk.statuses() == ["UNKNOWN_OUTCOME"]
    close = CloseStructure(strategy_id=intent.strategy_id, reason="drill", key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(60)

    assert desk.broker.net() == {}
    sales = [r.quantity for r in desk.broker.requests if r.action == "SELL"]
    assert sales == [LOT]


def test_an_unreadable_book_keeps_the_outcome_unknown_and_cries(desk) -> None:
    desk.broker.arrives = False

    def lose(request):
        raise OutcomeUnknown("timed out")

    desk.broker.script = lose
    desk.book_ok = False
    desk.propose(make_intent())
    desk.run(300, step_s=1.0)

    assert desk.statuses() == ["UNKNOWN_OUTCOME"]
    assert len(desk.broker.requests) == 1
    assert any("cannot be read" in text for text in desk.alerts())


def test_several_like_orders_wait_for_a_person(desk) -> None:
    desk.broker.carries_tag = False

    def lose_twice(request):
        if len(desk.broker.requests) == 1:
            desk.broker.book["HAND"] = _by_hand(request, desk.now_ns)
            raise OutcomeUnknown("timed out")
        return request.quantity

    desk.broker.script = lose_twice
    desk.propose(make_intent())
    desk.run(60)

    assert desk.statuses() == ["UNKNOWN_OUTCOME"]
    assert len(desk.broker.requests) == 1
    assert any("a person must decide" in text for text in desk.alerts())


def _by_hand(request, now_ns):
    from domain.brokers import BrokerOrder

    return BrokerOrder(
        order_id="HAND", exchange="NFO", symbol=request.symbol, action=request.action,
        quantity=request.quantity, price_type=request.price_type, product=request.product,
        price=request.price, trigger_price=Decimal(0), status="open", filled_quantity=0,
        average_price=Decimal(0), rejection="", tag="", ordered_at_ns=now_ns,
    )  # fmt: skip


def test_no_entry_goes_to_a_broker_whose_book_hides_the_fate_of_an_order(desk) -> None:
    desk.broker.arrives = False
    desk.book_ok = False
    desk.broker.script = lose_only("25300PE")
    desk.propose(make_intent(number=1))
    desk.run(2)
    desk.propose(make_intent(number=1, underlying="BANKNIFTY", legs=OTHER))
    desk.run(5)
    assert len(desk.broker.requests) == 1
    assert "BOOK_UNREADABLE" in desk.store.command(2).last_error

    desk.book_ok = True
    desk.run(5)
    assert desk.statuses()[1] == "DONE"


def test_a_new_life_lets_no_entry_go_before_it_has_read_the_book(desk) -> None:
    desk.broker.arrives = False
    desk.book_ok = False
    desk.broker.script = lose_only("25300PE")
    desk.propose(make_intent(number=1))
    desk.run(2)
    desk.kill("execution_agent")
    desk.begin("execution_agent")
    desk.propose(make_intent(number=1, underlying="BANKNIFTY", legs=OTHER))
    desk.run(15)

    assert len(desk.broker.requests) == 1
    assert desk.statuses() == ["UNKNOWN_OUTCOME", "FAILED"]
    assert "BOOK_UNREADABLE" in desk.announced(CommandEnded)[-1].refusal.text


def test_an_outcome_with_several_candidates_halts_its_underlying_and_no_other(desk) -> None:
    desk.broker.carries_tag = False
    desk.broker.arrives = False
    lose = lose_only("25300PE")

    def lose_beside_a_stranger(request):
        if request.symbol.endswith("25300PE"):
            for number in (1, 2):
                by_hand = replace(_by_hand(request, desk.now_ns), order_id=f"HAND{number}")
                desk.broker.book[by_hand.order_id] = by_hand
        return lose(request)

    desk.broker.script = lose_beside_a_stranger
    desk.propose(make_intent(number=1))
    desk.run(3)
    call = make_intent(StrategyType.GAMMA_CAPTURE, (CONDOR[3], CONDOR[1]), number=2)
    desk.propose(replace(call, signal=replace(call.signal, direction="BUY")))
    desk.propose(make_intent(number=1, underlying="BANKNIFTY", legs=OTHER))
    desk.run(8)

    assert desk.statuses() == ["UNKNOWN_OUTCOME", "PENDING", "DONE"]
    assert "SEVERAL_CANDIDATES" in desk.store.command(2).last_error


def test_naked_shorts_get_a_stop_at_twice_their_credit(desk) -> None:
    desk.broker.script = lambda r: 0 if r.price_type == "SL" else r.quantity
    intent = make_intent(StrategyType.SHORT_STRANGLE, STRANGLE, naked_approved=True)
    desk.propose(intent)
    desk.run(3)

    stops = [r for r in desk.broker.requests if r.price_type == "SL"]
    assert sorted(r.symbol for r in stops) == sorted(leg.symbol for leg in STRANGLE)
    # sold at the limit 49.90: the trigger is 99.80, the limit ten per cent through it
    assert {r.trigger_price for r in stops} == {Decimal("99.80")}
    assert {r.price for r in stops} == {Decimal("109.80")}
    assert desk.statuses() == ["DONE"]
    assert desk.store.armed_guards(intent.strategy_id) == {0, 1}


def test_a_guard_is_armed_before_a_naked_short_is_sent(desk) -> None:
    armed = []
    intent = make_intent(StrategyType.SHORT_STRANGLE, STRANGLE, naked_approved=True)
    desk.broker.during_place = lambda: armed.append(desk.store.armed_guards(intent.strategy_id))
    desk.propose(intent)
    desk.run(1)

    assert armed[0] == {0, 1}


def test_a_naked_short_without_approval_is_refused(desk) -> None:
    desk.propose(make_intent(StrategyType.SHORT_STRANGLE, STRANGLE))
    desk.run(2)

    recorded = [m for _, m in desk.told if isinstance(m, ProposalRecorded)]
    assert recorded[0].refusal.code == "NAKED_NOT_APPROVED"
    assert desk.broker.requests == []


def test_a_short_whose_stop_is_refused_three_times_is_closed(desk) -> None:
    def refuse_stops(request):
        if request.price_type == "SL":
            raise BrokerRejected("no stops today")
        return request.quantity

    desk.broker.script = refuse_stops
    desk.propose(make_intent(StrategyType.SHORT_STRANGLE, STRANGLE, naked_approved=True))
    desk.run(20)

    assert desk.broker.net() == {}
    assert any("its stop was refused three times" in text for text in desk.alerts())


def test_a_close_buys_shorts_back_before_it_sells_longs(desk) -> None:
    intent = make_intent(StrategyType.IRON_CONDOR, CONDOR)
    desk.propose(intent)
    desk.run(3)
    desk.broker.requests.clear()
    close = CloseStructure(
        strategy_id=intent.strategy_id, reason="tp_hit", key="k:close:1", by="position_manager"
    )
    desk.deliver("execution_agent", close)
    desk.deliver("execution_agent", close)
    desk.run(3)

    assert [r.action for r in desk.broker.requests] == ["BUY", "BUY", "SELL", "SELL"]
    assert desk.broker.net() == {}
    closed = desk.announced(StructureClosed)
    assert [message.reason for message in closed] == ["tp_hit"]
    assert closed[0].net == closed[0].gross - closed[0].charges
    assert desk.statuses() == ["DONE", "DONE"]


def test_a_close_takes_the_stop_out_before_it_buys_back(desk) -> None:
    desk.broker.script = lambda r: 0 if r.price_type == "SL" else r.quantity
    intent = make_intent(StrategyType.SHORT_STRANGLE, STRANGLE, naked_approved=True)
    desk.propose(intent)
    desk.run(3)
    desk.deliver(
        "execution_agent",
        CloseStructure(strategy_id=intent.strategy_id, reason="sl_hit", key="c", by="x"),
    )
    desk.run(6)

    assert desk.broker.net() == {}
    assert all(row.is_final for row in desk.broker.book.values())
    assert len(desk.announced(StructureClosed)) == 1


def test_a_close_that_is_refused_goes_on_until_the_short_is_gone(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    refusals = []

    def refuse_some(request):
        if request.action == "BUY" and len(refusals) < 7:
            refusals.append(request.client_order_id)
            raise BrokerRejected("try later")
        return request.quantity

    desk.broker.script = refuse_some
    desk.deliver(
        "execution_agent",
        CloseStructure(
            strategy_id=intent.strategy_id, reason="sl_hit", key="c", by="x", force=True
        ),
    )
    desk.run(20)

    assert desk.broker.net() == {}
    assert len(set(refusals)) == 7
    assert any("was refused" in text for text in desk.alerts())


def test_the_kill_switch_fails_what_waits_and_unwinds_what_is_in_flight(desk) -> None:
    desk.broker.script = lambda r: 0 if r.symbol.endswith("25500PE") else r.quantity
    desk.propose(make_intent())
    desk.run(2)
    assert desk.broker.net() == {"NIFTY24NOV2625300PE": LOT}
    desk.deliver(
        "execution_agent",
        TradingModeChanged(mode="halted", killed=True, reason="daily loss", since_ns=desk.now_ns),
    )
    desk.run(5)

    assert desk.broker.net() == {}
    assert all(row.is_final for row in desk.broker.book.values())
    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("FAILED", "KILLED")


def test_semi_automatic_waits_for_a_person(tmp_path, monkeypatch) -> None:
    desk = Desk(tmp_path, monkeypatch, mode="semi_auto")
    desk.propose(make_intent())
    desk.run(20)
    assert desk.statuses() == ["AWAITING_APPROVAL"]
    desk.deliver("execution_agent", ApproveCommand(command_id=1, approved=True, by="me"))
    desk.run(3)
    assert desk.statuses() == ["DONE"]


def test_an_approval_nobody_gives_expires_after_a_minute(tmp_path, monkeypatch) -> None:
    desk = Desk(tmp_path, monkeypatch, mode="semi_auto")
    desk.propose(make_intent())
    desk.run(62)

    assert desk.announced(CommandEnded)[0].refusal.code == "APPROVAL_EXPIRED"
    assert desk.broker.requests == []


def test_a_quantity_above_the_freeze_goes_in_slices_with_keys_of_their_own(desk) -> None:
    legs = (leg(25500, "C", "BUY", freeze_quantity=2 * LOT + 1),)
    desk.turn(phase=Phase.BULLISH)
    desk.propose(make_intent(StrategyType.DITM_CALL, legs, quantity=5 * LOT))
    desk.run(3)

    bought = [r for r in desk.broker.requests if r.action == "BUY"]
    assert [r.quantity for r in bought] == [2 * LOT, 2 * LOT, LOT]
    assert len({r.client_order_id for r in bought}) == 3
    assert [r.quantity for r in desk.broker.requests if r.price_type == "SL"] == [
        2 * LOT, 2 * LOT, LOT,
    ]  # fmt: skip
    assert desk.statuses() == ["DONE"]


def test_nothing_reaches_a_host_that_is_not_proven_a_sandbox(desk) -> None:
    desk.broker.sandbox = False
    desk.turn(phase=Phase.BULLISH)
    desk.propose(make_intent(StrategyType.DITM_CALL, LONG_CALL))
    desk.run(3)

    assert desk.broker.requests == []
    assert desk.announced(CommandEnded)[0].refusal.code == "SANDBOX_NOT_ACTIVE"


def test_a_fill_is_told_once_however_often_the_book_is_read(desk) -> None:
    desk.propose(make_intent())
    desk.run(10)

    fills = desk.announced(OrderFilled)
    assert sorted((m.fill.action, m.fill.quantity) for m in fills) == [("BUY", LOT), ("SELL", LOT)]


def test_slippage_is_counted_in_ticks_from_the_deciding_price(desk) -> None:
    desk.propose(make_intent())
    desk.run(3)

    slippage = {m.fill.action: m.slippage_ticks for m in desk.announced(OrderFilled)}
    assert slippage == {"BUY": 2.0, "SELL": 2.0}


def test_two_closes_and_a_flatten_at_once_take_off_no_more_than_what_stands(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    desk.broker.requests.clear()
    key = f"NIFTY24NOV2625500PE|{intent.strategy_id}|0"
    for message in (
        CloseStructure(strategy_id=intent.strategy_id, reason="sl_hit", key="c1", by="a"),
        CloseStructure(strategy_id=intent.strategy_id, reason="manual", key="c2", by="b"),
        FlattenLeg(position_key=key, quantity=LOT, reason="unhedged"),
    ):
        desk._hand("execution_agent", message)
    desk.run(6)

    assert [(r.action, r.quantity) for r in desk.broker.requests] == [("BUY", LOT), ("SELL", LOT)]
    assert desk.broker.net() == {}


def test_a_close_while_opening_ends_flat(desk) -> None:
    desk.broker.script = lambda r: 0 if r.symbol.endswith("25500PE") else r.quantity
    intent = make_intent()
    desk.propose(intent)
    desk.run(2)
    desk.deliver(
        "execution_agent",
        CloseStructure(strategy_id=intent.strategy_id, reason="manual", key="c", by="x"),
    )
    desk.run(6)

    assert desk.broker.net() == {}
    assert desk.statuses() == ["FAILED", "DONE"]


def test_a_stop_that_fills_closes_its_structure_and_takes_strays_out(desk) -> None:
    desk.broker.script = lambda r: 0 if r.price_type == "SL" else r.quantity
    intent = make_intent(StrategyType.SHORT_STRANGLE, STRANGLE, naked_approved=True)
    desk.propose(intent)
    desk.run(3)
    for row in list(desk.broker.book.values()):
        if row.price_type == "SL":
            desk.broker.fill(row.order_id)
    desk._read_book()
    desk.run(2)

    assert desk.broker.net() == {}
    assert [message.reason for message in desk.announced(StructureClosed)] == ["sl_hit"]


@pytest.mark.parametrize("in_the_book", [False, True])
def test_what_must_be_a_multiple_of_another_lot_is_sent_once_more_floored_to_it(
    desk, in_the_book
) -> None:
    words = "Quantity should be in multiple of 75"

    def lots_of_75(request):
        if request.quantity % 75 == 0:
            return fill_but_stops(request)
        if in_the_book:
            return 0
        raise BrokerRejected(words)

    desk.broker.script = lots_of_75
    desk.turn(phase=Phase.BULLISH)
    desk.propose(make_intent(StrategyType.DITM_CALL, LONG_CALL, quantity=3 * LOT))
    if in_the_book:
        desk.broker.reject("B1", words)
        desk._read_book()
    desk.run(3)

    assert [r.quantity for r in desk.broker.requests if r.action == "BUY"] == [195, 150]
    assert desk.statuses() == ["DONE"]
    assert desk.announced(StructureOpened)[0].intent.quantity == 150
    assert desk.broker.net() == {LONG_CALL[0].symbol: 150}


def test_a_structure_goes_in_the_brokers_lots_when_nothing_of_it_was_taken(desk) -> None:
    def lots_of_75(request):
        if request.quantity % 75:
            raise BrokerRejected("quantity must be a multiple of 75")
        return request.quantity

    desk.broker.script = lots_of_75
    desk.propose(make_intent(quantity=3 * LOT))
    desk.run(4)

    assert [(r.action, r.quantity) for r in desk.broker.requests] == [
        ("BUY", 195),
        ("BUY", 150),
        ("SELL", 150),
    ]
    assert desk.statuses() == ["DONE"]


def test_another_lot_is_not_tried_beside_an_order_that_was_taken(desk) -> None:
    def calls_in_75(request):
        if request.symbol.endswith("CE"):
            raise BrokerRejected("quantity must be a multiple of 75")
        return request.quantity

    desk.broker.script = calls_in_75
    desk.propose(make_intent(StrategyType.IRON_CONDOR, CONDOR, quantity=3 * LOT))
    desk.run(6)

    assert [(r.action, r.quantity) for r in desk.broker.requests] == [
        ("BUY", 195),
        ("BUY", 195),
        ("SELL", 195),
    ]
    assert desk.broker.net() == {}
    assert desk.announced(CommandEnded)[0].refusal.code == "BROKER_REJECT"


def test_a_lot_larger_than_what_was_approved_is_not_bought(desk) -> None:
    def lots_of_75(request):
        raise BrokerRejected("quantity must be a multiple of 75")

    desk.broker.script = lots_of_75
    desk.propose(make_intent())
    desk.run(3)

    assert len(desk.broker.requests) == 1
    assert desk.statuses() == ["FAILED"]


def test_a_broker_that_refuses_its_own_lot_too_is_asked_no_third_time(desk) -> None:
    def never(request):
        raise BrokerRejected("quantity must be a multiple of 75")

    desk.broker.script = never
    desk.propose(make_intent(quantity=3 * LOT))
    desk.run(5)

    assert [r.quantity for r in desk.broker.requests] == [195, 150]
    assert desk.statuses() == ["FAILED"]
