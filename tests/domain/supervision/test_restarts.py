"""Restart strategies: what happened goes in, what to do comes out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.supervision.restarts import (
    HEALTHY_AFTER_NS,
    Action,
    Finished,
    GiveUp,
    Restarts,
    Start,
    Stop,
    backoff_s,
)
from domain.supervision.topology import Node

SECOND = 1_000_000_000
NAMES = ("a", "b", "c")


def machine(strategy: str, **keys: object) -> Restarts:
    """Three children, all ready at 0."""
    nodes = tuple(Node(name=name, actor="x", **keys) for name in NAMES)  # type: ignore[arg-type]
    made = Restarts(strategy, nodes, lambda: 0.0)
    actions = made.begin(0)
    while actions:
        actions = [more for start in actions for more in made.ready(start.name, 0)]  # type: ignore[union-attr]
    return made


def die(made: Restarts, name: str, now_ns: int = SECOND, clean: bool = False) -> list[Action]:
    return made.gone(name, now_ns, clean=clean, reason="died")


def test_one_for_one_starts_all_children_at_once() -> None:
    made = Restarts("one_for_one", [Node(name=name) for name in NAMES], lambda: 0.0)
    assert made.begin(0) == [Start(name, "") for name in NAMES]


def test_one_for_one_restarts_only_the_dead_child_and_at_once() -> None:
    assert die(machine("one_for_one"), "b") == [Start("b", "died")]


def test_rest_for_one_starts_each_child_when_the_one_before_is_ready() -> None:
    made = Restarts("rest_for_one", [Node(name=name) for name in NAMES], lambda: 0.0)
    assert made.begin(0) == [Start("a", "")]
    assert made.ready("a", 0) == [Start("b", "")]
    assert made.ready("b", 0) == [Start("c", "")]
    assert made.ready("c", 0) == []


def test_rest_for_one_stops_those_after_the_dead_child_last_first_then_starts_in_order() -> None:
    made = machine("rest_for_one")
    assert die(made, "a") == [Stop("c")]
    assert made.gone("c", SECOND, clean=True, reason="") == [Stop("b")]
    assert made.gone("b", SECOND, clean=True, reason="") == [Start("a", "died")]
    assert made.ready("a", SECOND) == [Start("b", "a: died")]


def test_rest_for_one_wakes_for_the_first_that_waits_when_two_died_together() -> None:
    made = machine("rest_for_one", backoff_s=(0.0, 10.0))
    assert die(made, "a") == [Stop("c")]
    assert made.gone("c", SECOND, clean=True, reason="") == [Stop("b")]
    assert made.gone("b", SECOND, clean=True, reason="") == [Start("a", "died")]
    for name in NAMES:
        made.ready(name, SECOND)
    assert die(made, "b", 2 * SECOND) == [Stop("c")]
    assert die(made, "a", 2 * SECOND) == []
    assert made.gone("c", 2 * SECOND, clean=True, reason="") == []
    due_ns = 2 * SECOND + SECOND // 10  # a failed for the second time; b would be due at once
    assert made.next_due_ns() == due_ns
    assert made.wake(due_ns) == [Start("a", "died")]


def test_rest_for_one_leaves_those_before_the_dead_child_alone() -> None:
    assert die(machine("rest_for_one"), "c") == [Start("c", "died")]


def test_one_for_all_stops_every_sibling_before_any_child_starts() -> None:
    made = machine("one_for_all")
    assert die(made, "b") == [Stop("c")]
    assert made.gone("c", SECOND, clean=True, reason="") == [Stop("a")]
    started = made.gone("a", SECOND, clean=True, reason="")
    assert [action.name for action in started if isinstance(action, Start)] == ["a", "b", "c"]


def test_a_sibling_that_dies_while_it_should_stop_is_not_counted_as_a_failure() -> None:
    made = machine("one_for_all", max_restarts=1)
    die(made, "b")
    made.gone("c", SECOND, clean=False, reason="killed")
    made.gone("a", SECOND, clean=False, reason="killed")
    for name in NAMES:
        made.ready(name, SECOND)
    assert die(made, "c", 2 * SECOND) == [Stop("b")]


def test_siblings_killed_together_all_return() -> None:
    made = machine("one_for_one", max_restarts=1)
    assert [die(made, name) for name in NAMES] == [[Start(name, "died")] for name in NAMES]


def test_a_child_that_dies_more_often_than_it_may_ends_the_supervisor() -> None:
    made = machine("one_for_one", max_restarts=2, window_s=120.0, backoff_s=(0.0, 0.0))
    for second in (1, 2):
        assert die(made, "a", second * SECOND) == [Start("a", "died")]
    given_up = die(made, "a", 3 * SECOND)
    assert isinstance(given_up[0], GiveUp)
    assert "max_restarts 2" in given_up[0].reason


def test_deaths_older_than_the_window_do_not_count() -> None:
    made = machine("one_for_one", max_restarts=1, window_s=10.0, backoff_s=(0.0, 0.0))
    die(made, "a", SECOND)
    assert die(made, "a", 12 * SECOND) == [Start("a", "died")]


def test_a_start_that_fails_is_counted_and_waits_longer_each_time() -> None:
    made = machine("one_for_one", max_restarts=9)
    assert die(made, "a", 0) == [Start("a", "died")]
    assert die(made, "a", 0) == []
    assert made.next_due_ns() == SECOND // 10
    assert made.wake(SECOND // 10) == [Start("a", "died")]
    die(made, "a", SECOND // 10)
    assert made.next_due_ns() == SECOND // 10 + SECOND // 5


def test_ten_minutes_of_health_forgive_earlier_failures() -> None:
    made = machine("one_for_one", max_restarts=9)
    die(made, "a", 0)
    made.ready("a", 0)
    assert die(made, "a", HEALTHY_AFTER_NS) == [Start("a", "died")]


def test_a_transient_child_that_ends_by_itself_is_not_started_again() -> None:
    assert die(machine("one_for_one", restart="transient"), "a", clean=True) == []
    assert die(machine("one_for_one", restart="transient"), "a") == [Start("a", "died")]


def test_a_temporary_child_is_never_started_again() -> None:
    assert die(machine("one_for_one", restart="temporary"), "a") == []


def test_a_restart_that_was_asked_for_stops_the_child_first_and_counts_as_no_failure() -> None:
    made = machine("one_for_one", max_restarts=0)
    assert made.request("a", SECOND, "asked") == [Stop("a")]
    assert made.gone("a", SECOND, clean=True, reason="") == [Start("a", "asked")]


def test_the_end_stops_all_last_first_and_starts_nothing_any_more() -> None:
    made = machine("one_for_one")
    assert made.end(0) == [Stop("c")]
    assert made.gone("c", 0, clean=True, reason="") == [Stop("b")]
    assert made.gone("a", 0, clean=False, reason="died by itself") == []
    assert made.gone("b", 0, clean=True, reason="") == [Finished()]


@given(st.integers(1, 60), st.floats(0, 0.999), st.floats(0, 5), st.floats(5, 60))
def test_a_delay_is_never_beyond_its_bound(
    failures: int, draw: float, first_s: float, longest_s: float
) -> None:
    assert 0 <= backoff_s(failures, (first_s, longest_s), draw) <= longest_s


@given(
    st.lists(st.sampled_from(NAMES), max_size=12),
    st.sampled_from(["one_for_all", "rest_for_one", "one_for_one"]),
)
def test_whatever_dies_in_whatever_order_all_children_come_back(
    deaths: list[str], strategy: str
) -> None:
    made = machine(strategy, max_restarts=100, backoff_s=(0.0, 0.0))
    alive = set(NAMES)
    pending: list[Action] = []

    def carry_out() -> None:
        while pending:
            action = pending.pop(0)
            if isinstance(action, Start):
                alive.add(action.name)
                pending.extend(made.ready(action.name, 0))
            elif isinstance(action, Stop) and action.name in alive:
                alive.discard(action.name)
                pending.extend(made.gone(action.name, 0, clean=True, reason="stopped"))

    for name in deaths:
        if name in alive:
            alive.discard(name)
            pending.extend(die(made, name, 0))
        carry_out()
    assert alive == set(NAMES)
