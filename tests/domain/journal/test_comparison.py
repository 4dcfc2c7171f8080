"""Two runs' decisions held against each other: same, missing, extra, changed; and what is no
strategy's doing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.clock import NS_PER_S
from domain.journal.comparison import changed_keys, compare, told
from domain.tape import TapedFact

T0 = 1_787_119_020 * NS_PER_S  # 2026-08-19 11:27 at the exchange
COUNT = iter(range(10_000))


def fact(kind: str, at_s: float = 0.0, *, cause: str = "", **body: Any) -> TapedFact:
    return TapedFact(f"a:1.1:{next(COUNT)}", cause, kind, T0 + round(at_s * NS_PER_S), body)


def raised(at_s: float = 0.0, **more: Any) -> TapedFact:
    signal = {
        "correlation_id": f"vol:{at_s}", "source": "VOLATILITY", "instrument": "NIFTY",
        "strategy": "IRON_CONDOR", "strength": 70.0, "reason": "rich", "lots_max": 2, **more,
    }  # fmt: skip
    return fact("SignalRaised", at_s, signal=signal)


def mode(at_s: float = 0.0, *, cause: str = "", **more: Any) -> TapedFact:
    body = {"mode": "halted", "killed": False, "reason": "", "since_ns": 0, **more}
    return fact("TradingModeChanged", at_s, cause=cause, **body)


def denied(code: str) -> TapedFact:
    refusal = {"code": code, "text": "a breaker did not answer"}
    return fact("OrderDenied", 9, command_id=4, refusal=refusal, breaker="x")


def words(then: list[TapedFact], now: list[TapedFact], *, exact: bool = True) -> list[str]:
    return [row.what for row in compare(then, now, exact=exact).differences]


SIGNAL, LATER = raised(), raised(60)


@pytest.mark.parametrize(
    ("then", "now", "exact", "expected"),
    [
        ([SIGNAL, LATER], [SIGNAL, LATER], True, []),
        ([SIGNAL, LATER], [SIGNAL], True, ["missing"]),
        ([SIGNAL], [SIGNAL, LATER], True, ["extra"]),
        ([SIGNAL], [raised(lots_max=3)], True, ["changed"]),
        # exact: a nanosecond later is another decision; in real time five seconds are the same
        ([SIGNAL], [raised(1e-9)], True, ["missing", "extra"]),
        ([SIGNAL], [raised(5.0)], False, []),
        ([SIGNAL], [raised(5.1)], False, ["missing", "extra"]),
        # in real time readings may shift by two in a hundred, whole numbers not at all
        ([SIGNAL], [raised(strength=71.0)], True, ["changed"]),
        ([SIGNAL], [raised(strength=71.0)], False, []),
        ([SIGNAL], [raised(strength=75.0)], False, ["changed"]),
        ([SIGNAL], [raised(lots_max=3)], False, ["changed"]),
        ([SIGNAL], [raised(reason="dear", correlation_id="z")], False, []),
        ([SIGNAL], [raised(strategy="SHORT_STRANGLE")], False, ["extra", "missing"]),
        # one lost at the beginning does not shift all that follow
        ([SIGNAL, LATER, raised(120)], [LATER, raised(120)], False, ["missing"]),
        # what people asked is no decision
        ([fact("DeskRequest", action="stop")], [], True, []),
    ],
)
def test_decisions_are_same_missing_extra_or_changed(
    then: list[TapedFact], now: list[TapedFact], exact: bool, expected: list[str]
) -> None:
    assert words(then, now, exact=exact) == expected


def test_a_changed_decision_says_each_field_in_plain_words() -> None:
    (found,) = compare([SIGNAL], [raised(lots_max=3, strength=60.0)], exact=True).differences
    assert found.fields == (
        "signal strength: 70.0 then, 60.0 now",
        "signal lots max: 2 then, 3 now",
    )
    assert "NIFTY iron condor" in found.line


def test_what_only_a_runs_machine_measures_is_not_compared() -> None:
    def filled(latency_ms: float, listing_id: int) -> TapedFact:
        fill = {"symbol": "S", "action": "BUY", "quantity": 65, "price": "101.5"}
        more = {"latency_ms": latency_ms, "listing_id": listing_id}
        return fact("OrderFilled", fill=fill, broker="alpha", **more)

    found = compare([filled(3.0, 7)], [filled(9.0, 8)], exact=True)
    assert (found.same, found.differences) == (1, ())


def test_a_death_and_what_came_of_it_is_told_and_not_counted() -> None:
    death = fact("NodeRestarted", 1, name="breaker_gate", reason="killed", handles_orders=True)
    halted = mode(2, cause=death.message_id)
    of_that = mode(3, cause=halted.message_id, mode="active")
    found = compare([of_that, death, SIGNAL, halted], [SIGNAL], exact=True)  # in any order
    assert (found.same, found.differences) == (1, ())
    assert len(found.machine) == 3
    assert found.machine[1] == "then: 11:27:01 breaker_gate had a new life: killed"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("BREAKER_SILENT", []),
        ("GATE_SILENT", []),
        ("NO_ANSWER", []),
        ("DAILY_MAX_LOSS", ["missing"]),
    ],
)
def test_a_refusal_because_nobody_answered_is_the_machines(code: str, expected: list[str]) -> None:
    assert words([denied(code)], []) == expected


def test_the_first_choice_of_a_feed_is_no_event_of_the_machine() -> None:
    def switched(before: str) -> TapedFact:
        return fact("FeedSwitched", from_broker=before, to_broker="b", reason="r")

    assert compare([switched("")], [], exact=True).machine == ()
    assert len(compare([switched("a")], [], exact=True).machine) == 1


def test_decisions_after_the_end_of_a_killed_run_are_left_out() -> None:
    found = compare([SIGNAL], [SIGNAL, LATER], exact=True, until_ns=T0 + 30 * NS_PER_S)
    assert (found.same, found.differences) == (1, ())


def test_the_page_has_a_line_for_each_difference_and_the_sum() -> None:
    lines = told(compare([SIGNAL, replace(LATER, at_ns=T0)], [raised(lots_max=3)], exact=True))
    assert [line.split()[1] for line in lines if line.startswith("11:27:00")] == [
        "changed", "missing",
    ]  # fmt: skip
    assert lines[-1] == "Decisions: 0 same, 1 missing, 0 extra, 1 changed"


def test_settings_and_nodes_that_differ_are_named() -> None:
    then = {"settings": {"capital": "1000000"}, "nodes": {"tape": {"settings": {"days_kept": 30}}}}
    now = {"settings": {"capital": "500000"}, "nodes": {}}
    assert changed_keys(then, now) == [
        "settings capital: 1000000 then, 500000 now",
        "nodes tape settings days kept: 30 then, absent now",
    ]
