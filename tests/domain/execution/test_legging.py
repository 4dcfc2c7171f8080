"""Legging as a function of the rows: hedge first, never a short beyond its hedge, always an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.clock import seconds
from domain.execution.closing import close_step
from domain.execution.commands import draft_rows, entry_command, entry_orders, leg_template, resized
from domain.execution.flattening import in_flight
from domain.execution.legging import next_step
from domain.execution.planning import Role, plan_of
from domain.execution.pricing import Quote
from domain.execution.slicing import slices, whole_lots
from domain.intents import STRATEGY_TRAITS, StrategyType
from domain.orders import CommandStatus, OrderStatus, Purpose
from tests.kit.trading_desk import CONDOR, LONG_CALL, LOT, SPREAD, STRANGLE, leg, make_intent

NOW = 1_000_000_000_000
REVERSAL = (leg(25500, "P", "SELL"), leg(25300, "P", "BUY"), leg(26400, "C", "BUY"))
LIZARD = (leg(25500, "P", "SELL"), leg(26400, "C", "SELL"), leg(26600, "C", "BUY"))
CALENDAR = (leg(25900, "C", "SELL"), leg(25900, "C", "BUY", expiry=date(2026, 12, 29)))
STRUCTURES = {
    StrategyType.BULL_PUT_SPREAD: SPREAD,
    StrategyType.IRON_CONDOR: CONDOR,
    StrategyType.JADE_LIZARD: LIZARD,
    StrategyType.SHORT_STRANGLE: STRANGLE,
    StrategyType.RISK_REVERSAL: REVERSAL,
    StrategyType.CALENDAR_DIAGONAL: CALENDAR,
    StrategyType.DITM_CALL: LONG_CALL,
    StrategyType.GAMMA_CAPTURE: (leg(25900, "C", "BUY"), leg(25900, "P", "BUY")),
}


def begin(strategy, quantity=LOT):
    intent = make_intent(strategy, STRUCTURES[strategy], quantity=quantity, naked_approved=True)
    command = entry_command(intent, "{}", "alpha", now_ns=NOW, ttl_s=0)
    return intent, command, entry_orders(intent, command)


@pytest.mark.parametrize(
    ("strategy", "roles"),
    [
        (StrategyType.BULL_PUT_SPREAD, [Role.SHORT, Role.HEDGE]),
        (StrategyType.IRON_CONDOR, [Role.SHORT, Role.HEDGE, Role.SHORT, Role.HEDGE]),
        (StrategyType.JADE_LIZARD, [Role.SHORT, Role.SHORT, Role.HEDGE]),
        (StrategyType.SHORT_STRANGLE, [Role.SHORT, Role.SHORT]),
        (StrategyType.RISK_REVERSAL, [Role.LEAD, Role.COVER, Role.COVER]),
        (StrategyType.CALENDAR_DIAGONAL, [Role.SHORT, Role.HEDGE]),
        (StrategyType.DITM_CALL, [Role.LONG]),
        (StrategyType.GAMMA_CAPTURE, [Role.LONG, Role.LONG]),
    ],
)
def test_each_strategy_has_the_roles_of_its_policy(strategy, roles) -> None:
    intent, _, _ = begin(strategy)
    assert [row.role for row in plan_of(intent).legs] == roles


def test_every_strategy_that_trades_has_a_structure_here_or_a_twin_of_one() -> None:
    covered = {STRATEGY_TRAITS[row].legging for row in STRUCTURES}
    assert {row.legging for row in STRATEGY_TRAITS.values()} <= covered


@pytest.mark.parametrize(
    ("strategy", "first"),
    [
        (StrategyType.BULL_PUT_SPREAD, {1}),
        (StrategyType.IRON_CONDOR, {1, 3}),
        (StrategyType.JADE_LIZARD, {2}),
        (StrategyType.SHORT_STRANGLE, {0, 1}),
        (StrategyType.RISK_REVERSAL, {0}),
        (StrategyType.CALENDAR_DIAGONAL, {1}),
        (StrategyType.DITM_CALL, {0}),
    ],
)
def test_the_first_step_is_the_policys(strategy, first) -> None:
    intent, _, orders = begin(strategy)
    step = next_step(plan_of(intent), orders, NOW)
    assert {draft.leg_no for draft in step.send} == first


def test_naked_legs_ask_for_a_guard_before_they_go() -> None:
    intent, _, orders = begin(StrategyType.SHORT_STRANGLE)
    step = next_step(plan_of(intent), orders, NOW)
    assert all(draft.guarded for draft in step.send)


def test_a_cover_that_does_not_fill_in_three_seconds_buys_the_lead_back() -> None:
    intent, _command, orders = begin(StrategyType.RISK_REVERSAL)
    lead, cover = orders[0], orders[1]
    other = orders[2]
    filled = replace(lead, status=OrderStatus.FILLED, filled_quantity=LOT, sent_ns=NOW)
    resting = replace(cover, status=OrderStatus.OPEN, sent_ns=NOW + seconds(1), broker_order_id="1")
    done = replace(other, status=OrderStatus.FILLED, filled_quantity=LOT, sent_ns=NOW + seconds(1))
    plan = plan_of(intent)
    assert next_step(plan, [filled, resting, done], NOW + seconds(3.9)).cancel == ()
    step = next_step(plan, [filled, resting, done], NOW + seconds(4.0))
    assert [row.leg_no for row in step.cancel] == [1]
    gone = replace(resting, status=OrderStatus.CANCELLED)
    step = next_step(plan, [filled, gone, done], NOW + seconds(5))
    assert [(d.leg_no, d.action, d.price_type) for d in step.send] == [(0, "BUY", "MARKET")]


def test_a_refused_short_is_tried_once_more_within_five_seconds_only() -> None:
    intent, _, orders = begin(StrategyType.BULL_PUT_SPREAD)
    short, hedge = orders
    refused = replace(
        short, status=OrderStatus.FAILED, sent_ns=NOW + seconds(1), updated_ns=NOW + seconds(1)
    )
    bought = replace(hedge, status=OrderStatus.FILLED, filled_quantity=LOT, sent_ns=NOW)
    plan = plan_of(intent)
    again = next_step(plan, [refused, bought], NOW + seconds(2))
    assert [(d.leg_no, d.action, d.attempt) for d in again.send] == [(0, "SELL", 1)]
    late = next_step(plan, [refused, bought], NOW + seconds(6.1))
    assert [(d.leg_no, d.action, d.purpose) for d in late.send] == [(1, "SELL", Purpose.UNWIND)]


def test_an_unknown_hedge_holds_everything() -> None:
    intent, _, orders = begin(StrategyType.BULL_PUT_SPREAD)
    short, hedge = orders
    unknown = replace(hedge, status=OrderStatus.SENDING, needs_reconcile=True, sent_ns=NOW)
    step = next_step(plan_of(intent), [short, unknown], NOW + seconds(20))
    assert (step.send, step.cancel, step.withdraw, step.end) == ((), (), (), None)


def test_an_unknown_cover_buys_the_short_back_all_the_same() -> None:
    intent, _, orders = begin(StrategyType.RISK_REVERSAL)
    lead, cover, other = orders
    filled = replace(lead, status=OrderStatus.FILLED, filled_quantity=LOT, sent_ns=NOW)
    unknown = replace(
        cover, status=OrderStatus.SENDING, needs_reconcile=True, sent_ns=NOW + seconds(1)
    )
    rest = replace(other, status=OrderStatus.FILLED, filled_quantity=LOT, sent_ns=NOW + seconds(1))
    step = next_step(plan_of(intent), [filled, unknown, rest], NOW + seconds(4.5))
    assert [(d.leg_no, d.action) for d in step.send] == [(0, "BUY")]


# -- a market that does what it likes --


class Market:
    """Carries steps out on rows, with outcomes drawn by hypothesis; kind after `patience` steps."""

    def __init__(self, strategy, quantity, draw) -> None:
        self.intent, self.command, self.rows = begin(strategy, quantity)
        self.plan = plan_of(self.intent)
        self.draw, self.now_ns, self.count = draw, NOW, 0
        self.kind = False
        self.keys = {row.client_order_id for row in self.rows}

    def outcome(self, *choices):
        return choices[0] if self.kind else self.draw(st.sampled_from(choices))

    def put(self, row, **changes) -> None:
        index = next(i for i, r in enumerate(self.rows) if r.client_order_id == row.client_order_id)
        self.rows[index] = replace(self.rows[index], updated_ns=self.now_ns, **changes)

    def carry_out(self, step) -> None:
        for row in step.withdraw:
            self.put(row, status=OrderStatus.CANCELLED)
        for row in step.cancel:
            self.put(row, cancel_ns=self.now_ns)
            if self.outcome(True, False):
                self.put(row, status=OrderStatus.CANCELLED)
        for draft in step.send:
            self.send(draft)

    def send(self, draft) -> None:
        if draft.waiting:
            for key, quantity in resized(draft.waiting, draft.quantity).items():
                row = next(r for r in self.rows if r.client_order_id == key)
                if quantity:
                    self.put(row, quantity=quantity, price_type=draft.price_type)
                    self.go(next(r for r in self.rows if r.client_order_id == key))
                else:
                    self.put(row, status=OrderStatus.CANCELLED)
            return
        shape = leg_template(self.intent, plan_of(self.intent).legs[draft.leg_no], self.command)
        fresh = draft_rows(draft, shape, self.command, now_ns=self.now_ns, quote=Quote())
        for row in fresh:
            assert row.client_order_id not in self.keys, "a key was used twice"
            self.keys.add(row.client_order_id)
            self.rows.append(row)
            self.go(row)

    def go(self, row) -> None:
        fate = self.outcome("fill", "rest", "refuse", "partial", "unknown")
        self.put(row, sent_ns=self.now_ns, sends=1)
        if fate == "refuse":
            self.put(row, status=OrderStatus.FAILED, error_kind="broker_reject")
        elif fate == "unknown":
            self.put(row, status=OrderStatus.SENDING, needs_reconcile=True)
        elif fate == "fill":
            self.fill(row, row.quantity)
        else:
            self.put(row, status=OrderStatus.OPEN, broker_order_id=row.client_order_id)
            if fate == "partial":
                self.fill(row, whole_lots(row.quantity // 2, LOT))

    def fill(self, row, units) -> None:
        status = OrderStatus.FILLED if units == row.quantity else OrderStatus.PARTIALLY_FILLED
        if units:
            self.put(row, status=status, filled_quantity=units, average_price=Decimal(50))

    def drift(self) -> None:
        """Between two looks: resting orders may fill, unknown ones may be found or not."""
        for row in list(self.rows):
            if row.needs_reconcile and not row.is_final:
                found = self.outcome("found", "wait", "absent")
                if found == "found":
                    self.put(row, needs_reconcile=False, status=OrderStatus.OPEN)
                    self.fill(row, row.quantity)
                elif found == "absent":
                    self.put(
                        row,
                        needs_reconcile=False,
                        status=OrderStatus.FAILED,
                        error_kind="never_arrived",
                    )
            elif row.is_working and self.outcome(True, False, False):
                self.fill(row, row.quantity)

    def check(self) -> None:
        """No covered short stands beyond the longs that are filled, at any moment."""
        net = {}
        for row in self.rows:
            net[row.leg_no] = net.get(row.leg_no, 0) + row.signed_filled
        for leg_row in self.plan.legs:
            if leg_row.role is Role.SHORT and not leg_row.naked:
                longs = sum(
                    max(net.get(other.leg_no, 0), 0)
                    for other in self.plan.legs
                    if other.action == "BUY" and other.kind == leg_row.kind
                )
                possible = sum(
                    row.quantity
                    for row in self.rows
                    if row.leg_no == leg_row.leg_no and row.action == "SELL" and in_flight(row)
                )
                filled = sum(
                    row.filled_quantity
                    for row in self.rows
                    if row.leg_no == leg_row.leg_no and row.action == "SELL" and in_flight(row)
                )
                assert -net.get(leg_row.leg_no, 0) + possible - filled <= longs
            # what is taken off never overshoots, whatever is in flight
            sign = 1 if leg_row.action == "BUY" else -1
            leaving = sum(
                row.quantity - row.filled_quantity
                for row in self.rows
                if row.leg_no == leg_row.leg_no and row.purpose is Purpose.UNWIND and in_flight(row)
            )
            assert net.get(leg_row.leg_no, 0) * sign - leaving >= 0


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    strategy=st.sampled_from(sorted(STRUCTURES)),
    lots=st.integers(1, 4),
    abort_at=st.integers(0, 60),
)
def test_no_short_beyond_its_hedge_and_every_way_ends(data, strategy, lots, abort_at) -> None:
    market = Market(strategy, lots * LOT, data.draw)
    end = None
    for number in range(1500):
        market.kind = number > 40
        abort = abort_at < 30 and number >= abort_at
        step = next_step(market.plan, market.rows, market.now_ns, abort=abort)
        if step.end:
            end = step.end
            break
        market.carry_out(step)
        market.check()
        market.now_ns += seconds(0.5)
        market.drift()
        market.check()

    assert end is not None, "the structure never came to an end"
    status, _ = end
    assert not any(in_flight(row) for row in market.rows if row.purpose is Purpose.ENTRY)
    net = {}
    for row in market.rows:
        net[row.leg_no] = net.get(row.leg_no, 0) + row.signed_filled
    sizes = {abs(net.get(row.leg_no, 0)) // row.ratio for row in market.plan.legs}
    if status is CommandStatus.DONE:
        assert len(sizes) == 1
        assert sizes.pop() > 0
    elif status is CommandStatus.FAILED:
        assert sizes == {0}
    else:
        shorts = [net.get(row.leg_no, 0) for row in market.plan.legs if row.action == "SELL"]
        assert all(units >= 0 for units in shorts)


@given(quantity=st.integers(0, 5000), lot=st.integers(1, 120), freeze=st.integers(0, 2000))
def test_slices_are_whole_lots_below_the_freeze_and_lose_nothing(quantity, lot, freeze) -> None:
    wanted = whole_lots(quantity, lot)
    parts = slices(wanted, lot, freeze)
    assert sum(parts) == wanted
    assert all(part % lot == 0 for part in parts)
    if freeze >= lot:
        assert all(part <= freeze for part in parts)


def test_both_shorts_of_a_condor_go_in_the_size_of_the_smaller_hedge() -> None:
    intent, _, orders = begin(StrategyType.IRON_CONDOR, 2 * LOT)
    rows = list(orders)
    rows[1] = replace(rows[1], status=OrderStatus.FILLED, filled_quantity=2 * LOT, sent_ns=NOW)
    rows[3] = replace(
        rows[3],
        status=OrderStatus.REJECTED,
        filled_quantity=LOT,
        sent_ns=NOW,
        updated_ns=NOW,
    )
    step = next_step(plan_of(intent), rows, NOW + seconds(1))
    assert {draft.leg_no: draft.quantity for draft in step.send} == {0: LOT, 2: LOT}


def test_once_unwinding_has_begun_no_entry_goes_out_any_more() -> None:
    intent, _, orders = begin(StrategyType.BULL_PUT_SPREAD)
    short, hedge = orders
    bought = replace(hedge, status=OrderStatus.FILLED, filled_quantity=LOT, sent_ns=NOW)
    unwind = replace(
        hedge, client_order_id="u", purpose=Purpose.UNWIND, action="SELL", is_exit=True
    )
    step = next_step(plan_of(intent), [short, bought, unwind], NOW + seconds(1))
    assert step.withdraw == (short,)
    gone = replace(short, status=OrderStatus.CANCELLED)
    step = next_step(plan_of(intent), [gone, bought, unwind], NOW + seconds(1))
    assert [(d.leg_no, d.action) for d in step.send] == [(1, "SELL")]


def test_a_close_takes_out_every_order_of_the_strategy_even_on_a_flat_leg() -> None:
    _, _, orders = begin(StrategyType.BULL_PUT_SPREAD)
    short, hedge = orders
    resting = replace(short, status=OrderStatus.OPEN, sent_ns=NOW, broker_order_id="1")
    bought = replace(hedge, status=OrderStatus.FILLED, filled_quantity=LOT, sent_ns=NOW)
    step = close_step([resting, bought], 99, NOW + seconds(9), urgent=False)
    assert step.cancel == (resting,)
    assert step.send == ()
