"""A process may die between any two lines: no order lost, none doubled, no short unguarded."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import pytest
from sqlalchemy import event

from domain.errors import NotSent, OutcomeUnknown, StorageFailure
from domain.intents import StrategyType
from domain.orders import OrderStatus
from messages.control import CloseRecorded
from messages.lifecycle import NodeRestarted
from messages.trading import (
    ClearOrder,
    CloseStructure,
    CommandEnded,
    OrderFilled,
    OrderUnknown,
    PlaceOrders,
    PositionChanged,
    ProposalRecorded,
    StructureClosed,
    StructureOpened,
)
from persistence.database import open_engine
from persistence.orders import OrderStore
from tests.kit.trading_desk import (
    BROKER,
    CONDOR,
    LOT,
    STRANGLE,
    Desk,
    fill_but_stops,
    make_intent,
)

AGENT, EXECUTOR, BOOK = "execution_agent", f"executor.{BROKER}", "position_book"
SPREAD_NET = {"NIFTY24NOV2625300PE": LOT, "NIFTY24NOV2625500PE": -LOT}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def restart(desk, name) -> None:
    desk.kill(name)
    desk.begin(name)
    for other in list(desk.actors):
        if other != name:
            message = NodeRestarted(name=name, life=2, reason="killed", handles_orders=True)
            desk._hand(other, message)
    desk.settle()


class Died(Exception):
    """The process ends here."""


def die_at(desk, name, method, after=False, times=1):
    """The actor's store dies in `method` (before or after its commit), `times` times."""
    store = desk.actors[name]._store
    real, left = getattr(store, method), [times]

    def dying(*args, **kwargs):
        if left[0] == 0:
            return real(*args, **kwargs)
        left[0] -= 1
        if after:
            real(*args, **kwargs)
        raise Died(method)

    setattr(store, method, dying)


def run_with_crashes(desk, name, duration_s) -> int:
    """Runs; whenever the named actor dies it begins again on the same files."""
    crashes = 0
    left = duration_s
    while left > 0:
        try:
            desk.run(0.25)
        except Died:
            crashes += 1
            restart(desk, name)
        left -= 0.25
    return crashes


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("name", "method"),
    [
        (AGENT, "move"),
        (AGENT, "change_waiting"),
        (AGENT, "record_book"),
        (AGENT, "mark_told"),
        (AGENT, "mark"),
        (EXECUTOR, "begin_sending"),
        (EXECUTOR, "record_answers"),
    ],
)
@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_death_at_any_write_leaves_one_structure_and_one_order_a_leg(
    desk, name, method, after, which
) -> None:
    store = desk.actors[name]._store
    real, count = getattr(store, method), [0]

    def dying(*args, **kwargs):
        count[0] += 1
        if count[0] != which:
            return real(*args, **kwargs)
        if after:
            real(*args, **kwargs)
        raise Died(method)

    setattr(store, method, dying)
    try:
        desk.propose(make_intent())
    except Died:
        restart(desk, name)
    run_with_crashes(desk, name, 70)

    net = desk.broker.net()
    sent = [r.client_order_id for r in desk.broker.requests]
    assert len(sent) == len(set(sent)), "an order was sent twice"
    assert net in (SPREAD_NET, {}), "a short stands alone, or a hedge is left over"
    # The row and its lease are one write: a death in it leaves no row, and nothing was sent.
    unwritten = (name, method, which) == (AGENT, "move", 1)
    assert desk.statuses() == (["DONE"] if net else [] if unwritten else ["FAILED"])
    assert not (unwritten and sent)
    held = desk.announced(PositionChanged)[-1].book.open_positions
    assert {row.symbol: row.signed_quantity for row in held} == net


@pytest.mark.parametrize("step", range(1, 13))
def test_an_agent_killed_at_any_moment_goes_on_where_it_was(desk, step) -> None:
    desk.propose(make_intent(StrategyType.IRON_CONDOR, CONDOR))
    desk.run(step * 0.25)
    restart(desk, AGENT)
    desk.run(5)

    assert desk.statuses() == ["DONE"]
    assert len(desk.broker.requests) == 4
    assert sorted(desk.broker.net().values()) == [-LOT, -LOT, LOT, LOT]


@pytest.mark.parametrize("step", range(1, 13))
def test_an_executor_killed_at_any_moment_sends_nothing_twice(desk, step) -> None:
    desk.propose(make_intent(StrategyType.IRON_CONDOR, CONDOR))
    desk.run(step * 0.25)
    restart(desk, EXECUTOR)
    desk.run(15)

    assert desk.statuses() == ["DONE"]
    assert len(desk.broker.requests) == 4


def test_a_waiting_row_is_placed_once_by_the_next_life(desk) -> None:
    desk.kill(EXECUTOR)
    desk.propose(make_intent())
    desk.run(1)
    assert [row.status for row in desk.store.orders_of(1)] == [OrderStatus.WAITING] * 2
    desk.kill(AGENT)
    desk.begin(EXECUTOR)
    desk.begin(AGENT)
    desk.run(3)

    assert [r.action for r in desk.broker.requests] == ["BUY", "SELL"]
    assert desk.statuses() == ["DONE"]


def test_a_row_found_sending_at_start_is_unknown_and_asked_for_not_sent(desk) -> None:
    def die(*args):
        raise Died

    desk.broker.during_place = die
    with pytest.raises(Died):
        desk.propose(make_intent())
    desk.broker.during_place = lambda: None
    desk.kill(EXECUTOR)
    desk.begin(EXECUTOR)
    desk.settle()

    assert len(desk.announced(OrderUnknown)) == 1
    desk.run(29)
    assert desk.broker.requests == []
    desk.run(10)
    assert desk.announced(CommandEnded)[0].refusal.code == "NEVER_ARRIVED"


def test_a_close_survives_the_death_of_everybody(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    close = CloseStructure(strategy_id=intent.strategy_id, reason="sl_hit", key="c:1", by="x")
    desk._hand(AGENT, close)
    for name in (AGENT, EXECUTOR, BOOK):
        desk.kill(name)
    for name in (BOOK, EXECUTOR, AGENT):
        desk.begin(name)
    desk.run(20)

    assert desk.broker.net() == {}
    assert len(desk.broker.requests) == 4
    assert len(desk.announced(StructureClosed)) == 1


def test_fills_are_folded_once_over_a_death_of_the_book(desk) -> None:
    desk.kill(BOOK)
    desk.propose(make_intent())
    desk.run(3)
    desk.begin(BOOK)
    desk.settle()
    restart(desk, BOOK)

    book = desk.announced(PositionChanged)[-1].book
    assert {row.symbol: row.signed_quantity for row in book.open_positions} == SPREAD_NET


def test_a_fill_that_was_recorded_but_not_told_is_told_by_the_next_life(desk) -> None:
    die_at(desk, AGENT, "untold_fills", times=1)
    store = desk.actors[AGENT]._store
    real = store.untold_fills
    store.untold_fills = list
    desk.propose(make_intent())
    desk.run(1)
    assert desk.announced(OrderFilled) == []
    store.untold_fills = real
    desk.kill(AGENT)
    desk.begin(AGENT)
    desk.run(3)

    assert len(desk.announced(OrderFilled)) == 2
    assert len(desk.announced(StructureOpened)) == 1


def test_a_stop_is_placed_by_the_next_life_when_the_first_died_after_the_fill(desk) -> None:
    from domain.execution.guarding import GuardNeeds

    desk.broker.script = lambda r: 0 if r.price_type == "SL" else r.quantity
    import actors.execution.guard_keeper as keeper

    real = keeper.missing_stops
    keeper.missing_stops = lambda orders: GuardNeeds()
    try:
        desk.propose(make_intent(StrategyType.SHORT_STRANGLE, STRANGLE, naked_approved=True))
        desk.run(2)
    finally:
        keeper.missing_stops = real
    assert [r for r in desk.broker.requests if r.price_type == "SL"] == []
    restart(desk, AGENT)
    desk.run(2)

    stops = [r for r in desk.broker.requests if r.price_type == "SL"]
    assert sorted(r.quantity for r in stops) == [LOT, LOT]


def test_a_guard_stands_over_every_restart_and_is_dropped_when_its_short_is_gone(desk) -> None:
    """Also by a next life: the first dies over the drop."""
    intent = make_intent(StrategyType.SHORT_STRANGLE, STRANGLE, naked_approved=True)
    desk.broker.script = fill_but_stops
    desk.propose(intent)
    desk.run(2)
    restart(desk, AGENT)
    desk.run(2)
    assert desk.store.armed_guards(intent.strategy_id) == {0, 1}

    die_at(desk, AGENT, "drop_guards")
    close = CloseStructure(strategy_id=intent.strategy_id, reason="manual", key="c", by="me")
    with pytest.raises(Died):
        desk.deliver(AGENT, close)
    assert desk.broker.net() == {}
    restart(desk, AGENT)
    desk.run(3)
    assert desk.store.armed_guards(intent.strategy_id) == set()
    assert len(desk.announced(StructureClosed)) == 1


def test_an_entry_that_waited_while_nothing_ran_is_given_up(desk) -> None:
    desk.gate = lambda ask: None
    desk.propose(make_intent())
    desk.kill(AGENT)
    desk.now_ns += 3_600_000_000_000
    desk.lives.clear()
    desk.gate = lambda ask: None
    desk.begin(AGENT)
    desk.settle()

    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("FAILED", "STALE")
    assert desk.broker.requests == []


def test_hedges_without_their_shorts_are_sold_when_too_long_passed(desk) -> None:
    desk.broker.script = lambda r: r.quantity
    desk.propose(make_intent())
    desk.run(0.25)
    assert [r.action for r in desk.broker.requests] == ["BUY"]
    desk.kill(AGENT)
    desk.now_ns += 120_000_000_000
    for name in (EXECUTOR, BOOK):
        desk.contexts[name].advance(120)
    desk.begin(AGENT)
    desk.run(5)

    assert [r.action for r in desk.broker.requests] == ["BUY", "SELL"]
    assert desk.broker.net() == {}
    assert desk.statuses() == ["FAILED"]


def test_a_full_disk_refuses_the_proposal_and_places_nothing(desk) -> None:
    engine = desk.actors[AGENT]._store._engine
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    for number in range(1, 60):
        desk.propose(make_intent(number=number))
    desk.run(1)

    recorded = [m for _, m in desk.told if isinstance(m, ProposalRecorded)]
    refused = [m for m in recorded if m.refusal]
    assert refused
    assert {m.refusal.code for m in refused} == {"STORAGE"}
    known = {row.correlation_id for row in desk.store.recent_commands(100)}
    assert known.isdisjoint(m.correlation_id for m in refused)
    placed = {r.client_order_id.rsplit(":", 3)[0] for r in desk.broker.requests}
    assert placed.isdisjoint(m.strategy_id for m in refused)


def test_an_executor_whose_disk_is_full_sends_nothing(desk) -> None:
    def full(*args, **kwargs):
        raise StorageFailure("disk is full")

    desk.actors[EXECUTOR]._store.begin_sending = full
    desk.propose(make_intent())
    desk.run(5)

    assert desk.broker.requests == []
    assert any("was not sent" in text for text in desk.alerts())


def test_an_answer_that_cannot_be_recorded_is_kept_until_it_can(desk) -> None:
    store = desk.actors[EXECUTOR]._store
    real, failures = store.record_answers, [1, 1]

    def sometimes(*args, **kwargs):
        if failures:
            failures.pop()
            raise StorageFailure("database is locked")
        return real(*args, **kwargs)

    store.record_answers = sometimes
    desk.propose(make_intent())
    desk.run(8)

    assert desk.statuses() == ["DONE"]
    assert len(desk.broker.requests) == 2


def test_an_entry_that_came_before_an_executors_first_freshness_mark_leaves_with_it(desk) -> None:
    desk.begin(EXECUTOR, is_marked=False)
    desk.propose(make_intent())
    assert desk.broker.requests == []
    assert {row.status for row in desk.store.orders_of(1)} == {OrderStatus.WAITING}
    desk.fresh()
    desk.settle()
    desk.run(1)
    assert desk.broker.net() == SPREAD_NET


def test_an_executor_told_twice_sends_once(desk) -> None:
    desk.propose(make_intent())
    desk.run(3)
    again = [m for target, m in desk.told if isinstance(m, PlaceOrders)]
    for message in again:
        desk.deliver(EXECUTOR, message)

    assert len(desk.broker.requests) == 2


def test_an_unknown_close_that_never_arrived_goes_again_under_a_new_key(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    lost = []

    def lose_first_buy(request):
        if request.action == "BUY" and not lost:
            lost.append(request.client_order_id)
            raise OutcomeUnknown("timed out")
        return request.quantity

    desk.broker.script, desk.broker.arrives = lose_first_buy, False
    desk.broker.requests.clear()
    desk.deliver(
        AGENT, CloseStructure(strategy_id=intent.strategy_id, reason="sl_hit", key="c", by="x")
    )
    desk.run(50)

    assert [r.action for r in desk.broker.requests] == ["BUY", "BUY", "SELL"]
    assert len({r.client_order_id for r in desk.broker.requests}) == 3
    assert desk.broker.net() == {}


def test_a_stopped_runtime_unwinds_what_is_half_open(desk) -> None:
    desk.broker.script = lambda r: 0 if r.symbol.endswith("25500PE") else r.quantity
    desk.propose(make_intent())
    desk.run(2)
    desk.contexts[AGENT].runtime_ends = True
    deadline = 40
    while not desk.agent.drain() and deadline:
        desk.settle()
        desk.run(0.25)
        deadline -= 1

    assert deadline
    assert desk.broker.net() == {}
    assert all(row.is_final for row in desk.broker.book.values())


def test_an_agent_that_is_only_restarted_leaves_its_entry_to_its_next_life(desk) -> None:
    desk.broker.script = lambda r: 0 if r.symbol.endswith("25500PE") else r.quantity
    desk.propose(make_intent())
    desk.run(2)

    assert desk.agent.drain()
    assert not any(row.abort_requested for row in desk.store.open_commands())
    assert len(desk.store.open_commands()) == 1


def test_what_was_not_sent_is_kept_for_the_next_life_when_stopped(desk) -> None:
    def unreachable(request):
        raise NotSent("connection refused")

    desk.gate = lambda ask: None
    desk.broker.script = unreachable
    desk.propose(make_intent())
    desk.contexts[AGENT].runtime_ends = True
    assert desk.agent.drain()
    assert desk.broker.requests == []


def test_another_process_may_hold_the_file_for_a_moment(desk, tmp_path) -> None:
    other = sqlite3.connect(tmp_path / "tomic.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    engine = desk.actors[AGENT]._store._engine
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    desk.propose(make_intent())
    recorded = [m for _, m in desk.told if isinstance(m, ProposalRecorded)]
    assert recorded[0].refusal.code == "STORAGE"
    other.execute("ROLLBACK")
    other.close()
    desk.propose(make_intent())
    desk.run(3)

    assert desk.statuses() == ["DONE"]


def test_the_order_tables_are_written_through_to_the_disk(tmp_path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'x.db'}", durable=True)
    with engine.connect() as connection:
        full = 2
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == full
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_short_without_cover_is_bought_back_after_five_seconds(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    # the hedge is sold by hand at the broker and the reconciler books it
    from messages.trading import CorrectBook

    desk.broker.book["HAND"] = desk.broker.book["B1"].__class__(
        **{
            **{f: getattr(desk.broker.book["B1"], f) for f in desk.broker.book["B1"].__slots__},
            "order_id": "HAND",
            "action": "SELL",
            "tag": "",
        }
    )
    desk.deliver(
        AGENT,
        CorrectBook(
            position_key=f"NIFTY24NOV2625300PE|{intent.strategy_id}|1",
            units=-LOT,
            price=Decimal(50),
            reason="QTY at alpha",
            key="fix:1",
        ),
    )
    desk.run(4.5)
    assert desk.broker.net() == {"NIFTY24NOV2625500PE": -LOT}
    desk.run(3)

    assert desk.broker.net() == {}
    book = desk.announced(PositionChanged)[-1].book
    assert book.open_positions == ()


def test_a_close_that_cannot_be_written_is_tried_until_it_can(desk) -> None:

    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    store = desk.agent._store
    real, failures = store.record, [1, 1]

    def sometimes(*args, **kwargs):
        if failures:
            failures.pop()
            raise StorageFailure("database is locked")
        return real(*args, **kwargs)

    store.record = sometimes
    close = CloseStructure(strategy_id=intent.strategy_id, reason="manual", key="c", by="me")
    desk.deliver(AGENT, close)
    assert desk.broker.net() == SPREAD_NET
    desk.run(8)
    assert desk.broker.net() == {}


def test_a_persons_close_is_answered_when_it_is_on_disk_and_outlives_the_agent_then(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    other = sqlite3.connect(desk.runtime.data_dir / "tomic.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with desk.agent._store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    wish = {"strategy_id": intent.strategy_id, "reason": "manual", "key": "c", "by": "me"}
    close = CloseStructure(**wish, request="r1", reply_to="control_desk")
    desk.deliver(AGENT, close)
    desk.run(1.5)
    assert [m for _, m in desk.told if isinstance(m, CloseRecorded)] == []
    other.execute("ROLLBACK")
    other.close()
    desk.run(1)
    told = [(whom, m) for whom, m in desk.told if isinstance(m, CloseRecorded)]
    assert [(whom, m.http_status, m.request) for whom, m in told] == [("control_desk", 202, "r1")]
    restart(desk, AGENT)
    desk.run(8)
    assert desk.broker.net() == {}


def test_a_close_of_what_nobody_knows_is_refused_with_a_sentence(desk) -> None:
    close = CloseStructure(
        strategy_id="S9", reason="manual", key="c", by="me", request="r1", reply_to="control_desk"
    )
    desk.deliver(AGENT, close)
    [(_, answer)] = [row for row in desk.told if isinstance(row[1], CloseRecorded)]
    assert (answer.http_status, answer.code) == (404, "UNKNOWN_STRATEGY")
    assert answer.text == "no strategy 'S9' is known here; nothing is closed"


def test_what_was_sending_is_called_unknown_when_the_disk_takes_it_again(desk, monkeypatch) -> None:
    """A start that the database keeps waiting ends in no death: deaths end in the kill switch."""
    desk.broker.arrives, desk.broker.script = False, raise_unknown
    desk.propose(make_intent())
    real, failures = OrderStore.change_order, [1, 1]

    def sometimes(store, row, **changes):
        if "needs_reconcile" in changes and failures:
            failures.pop()
            raise StorageFailure("database is locked")
        return real(store, row, **changes)

    sending = [row for row in desk.store.unfinished() if row.status is OrderStatus.SENDING]
    assert sending
    for row in sending:
        desk.store.change_order(row, needs_reconcile=False)
    desk.kill(EXECUTOR)
    monkeypatch.setattr(OrderStore, "change_order", sometimes)
    desk.begin(EXECUTOR)
    assert not any(row.needs_reconcile for row in desk.store.unfinished())
    desk.run(3)
    assert all(row.needs_reconcile for row in desk.store.unfinished() if row.sends)


def raise_unknown(request):
    raise OutcomeUnknown("timed out")


def test_a_row_whose_lease_cannot_be_written_is_not_recorded_and_the_gate_not_asked(desk) -> None:
    def full(*_args, **_kwargs):
        raise StorageFailure("disk full")

    desk.actors[AGENT]._store.move = full
    desk.propose(make_intent())

    assert desk.statuses() == []
    assert [m.refusal.code for _, m in desk.told if isinstance(m, ProposalRecorded)] == ["STORAGE"]
    assert not [m for _, m in desk.told if isinstance(m, ClearOrder)]


def test_an_entry_goes_to_the_gate_after_one_write_and_to_its_executor_after_another(desk) -> None:
    writes, seen = [], {}
    event.listen(desk.actors[AGENT]._store._engine, "commit", writes.append)
    tell = desk.contexts[AGENT].tell

    def telling(target, message) -> None:
        seen.setdefault(type(message), len(writes))
        tell(target, message)

    desk.contexts[AGENT].tell = telling
    desk.propose(make_intent(StrategyType.IRON_CONDOR, CONDOR))

    assert (seen[ClearOrder], seen[PlaceOrders]) == (1, 2)
