"""The judge of the kill matrix: what it calls lost, doubled, unguarded or waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.kit.broker_oracle import Books, judge
from tests.kit.naked_time import naked_s
from tests.kit.pressure import Pressure

PUT, LOWER_PUT = "NIFTY08DEC2624500PE", "NIFTY08DEC2624300PE"
Row = dict[str, Any]


def order(number: int, action: str, symbol: str, purpose: str) -> tuple[Row, Row, Row, Row]:
    """One filled order of 65 as row, broker's order, broker's trade and fill row."""
    leg_no = 0 if symbol == PUT else 1
    row = {
        "client_order_id": f"S:{number}", "command_id": 1, "tag": f"T#{number}", "leg_no": leg_no,
        "purpose": purpose, "action": action, "symbol": symbol, "quantity": 65,
        "status": "FILLED", "filled_quantity": 65, "broker_order_id": f"B{number}",
    }  # fmt: skip
    theirs = {
        "orderid": f"B{number}", "strategy": f"T#{number}", "order_status": "complete",
        "filled_quantity": 65,
    }  # fmt: skip
    trade = {
        "orderid": f"B{number}", "symbol": symbol, "action": action, "quantity": 65,
        "timestamp": f"2026-11-21 18:35:{number:02d}",
    }  # fmt: skip
    fill = {"fill_id": number, "client_order_id": f"S:{number}", "quantity": 65}
    return row, theirs, trade, fill


def a_closed_spread() -> Books:
    """Hedge bought, put sold, put bought back, hedge sold; everybody says the same."""
    rows, theirs, trades, fills = zip(
        order(1, "BUY", LOWER_PUT, "ENTRY"),
        order(2, "SELL", PUT, "ENTRY"),
        order(3, "BUY", PUT, "CLOSE"),
        order(4, "SELL", LOWER_PUT, "CLOSE"),
        strict=True,
    )
    return Books(
        their_orders=theirs,
        their_trades=trades,
        their_positions={PUT: 0, LOWER_PUT: 0},
        commands=[
            {"command_id": number, "event_type": kind, "status": "DONE", "last_error": "",
             "error_code": ""}
            for number, kind in enumerate(("ORDER_REQUEST", "CLOSE_REQUEST"), 1)
        ],
        orders=rows,
        fills=fills,
        our_positions={PUT: 0, LOWER_PUT: 0},
        facts=[1, 2, 3, 4],
        journal=[{"exit_ns": 5}],
        cleared=[1],
    )  # fmt: skip


def with_order(books: Books, number: int, **changes: Any) -> Books:
    rows = list(books.orders)
    rows[number - 1] = rows[number - 1] | changes
    return replace(books, orders=rows)


def test_a_structure_of_which_all_books_agree_is_good() -> None:
    verdict = judge(a_closed_spread())
    assert verdict.is_good
    assert verdict.waiting == []


def test_an_order_that_the_broker_took_and_we_do_not_know_is_lost() -> None:
    unknown = with_order(a_closed_spread(), 3, broker_order_id="")
    assert "we do not know it" in judge(unknown).lost[0]


def test_an_order_of_ours_that_the_broker_never_took_is_lost() -> None:
    books = a_closed_spread()
    gone = replace(books, their_orders=books.their_orders[:3])
    assert "the broker has none" in judge(gone).lost[0]


def test_one_row_that_the_broker_took_twice_is_doubled() -> None:
    books = a_closed_spread()
    again = books.their_orders[0] | {"orderid": "B9"}
    twice = replace(books, their_orders=[*books.their_orders, again])
    assert "2 times" in judge(twice).doubled[0]


def test_an_order_at_the_broker_that_is_no_row_of_ours_is_doubled() -> None:
    books = a_closed_spread()
    stranger = books.their_orders[0] | {"orderid": "B9", "strategy": "T#9"}
    assert judge(replace(books, their_orders=[*books.their_orders, stranger])).doubled


def test_a_leg_that_filled_twice_under_two_keys_is_doubled() -> None:
    books = a_closed_spread()
    row, theirs, trade, fill = order(5, "BUY", LOWER_PUT, "ENTRY")
    twice = replace(
        books,
        orders=[*books.orders, row],
        their_orders=[*books.their_orders, theirs],
        their_trades=[*books.their_trades, trade],
        fills=[*books.fills, fill],
        facts=[1, 2, 3, 4, 5],
    )
    assert "leg 1 filled 130, wanted were 65" in judge(twice).doubled


def test_a_trade_that_no_fill_row_tells_is_lost_and_one_told_twice_is_doubled() -> None:
    books = a_closed_spread()
    assert judge(replace(books, fills=books.fills[:3])).lost
    assert judge(replace(books, fills=[*books.fills, books.fills[0]])).doubled


def test_a_book_that_holds_what_the_broker_does_not_is_lost() -> None:
    wrong = replace(a_closed_spread(), our_positions={PUT: -65, LOWER_PUT: 0})
    assert judge(wrong).lost == [f"{PUT}: our book holds -65, the broker 0"]


def test_a_fill_or_an_end_that_the_journal_does_not_know_is_lost() -> None:
    books = a_closed_spread()
    assert judge(replace(books, facts=[1, 2, 3])).lost
    assert judge(replace(books, journal=[{"exit_ns": None}])).lost


def test_a_command_waits_only_with_a_reason() -> None:
    books = a_closed_spread()
    dead = [books.commands[0], books.commands[1] | {"status": "DEAD_LETTER"}]
    assert judge(replace(books, commands=dead)).lost
    told = [dead[0], dead[1] | {"last_error": "refused five times"}]
    verdict = judge(replace(books, commands=told))
    assert verdict.is_good
    assert verdict.waiting == ["command 2 (CLOSE_REQUEST) waits for a person: refused five times"]


def test_an_entry_at_the_broker_that_the_gate_never_cleared_is_unguarded() -> None:
    slipped = replace(a_closed_spread(), cleared=[2])
    assert judge(slipped).unguarded == ["command 1 was sent and the gate never cleared it"]


def test_a_proposal_without_an_answer_is_lost() -> None:
    silent = replace(a_closed_spread(), answered=False)
    assert judge(silent).lost == ["the proposal got neither a row nor a refusal"]


def test_a_short_without_cover_is_unguarded_after_five_seconds_and_a_round_trip() -> None:
    books = a_closed_spread()
    short_first = [
        books.their_trades[1] | {"timestamp": "2026-11-21 18:35:00"},
        books.their_trades[0] | {"timestamp": "2026-11-21 18:35:07"},
        *books.their_trades[2:],
    ]
    assert judge(replace(books, their_trades=short_first)).unguarded == []
    short_first[1] = short_first[1] | {"timestamp": "2026-11-21 18:35:08"}
    late = judge(replace(books, their_trades=short_first)).unguarded
    assert late == ["NIFTY PE: short without cover for 8 s"]


def a_stopped_short(*, armed_s: int = 1, stopped_s: int = 4) -> Books:
    """A naked put, sent at 2 s, whose fill was known at 3 s; guard and stop at seconds."""
    books = a_closed_spread()
    short, bought = (row | {"naked_approved": 1} for row in books.orders[1:3])
    second_ns = 10**9
    return replace(
        books,
        orders=[short | {"sent_ns": 2 * second_ns}, bought | {"sent_ns": stopped_s * second_ns}],
        their_orders=books.their_orders[1:3],
        their_trades=books.their_trades[1:3],
        fills=[row | {"at_ns": 3 * second_ns} for row in books.fills[1:3]],
        facts=[2, 3],
        guards=[{"leg_no": 0, "armed_ns": armed_s * second_ns}],
    )


def test_a_short_that_is_meant_to_be_naked_needs_a_guard_before_it_is_sent() -> None:
    assert judge(a_stopped_short()).is_good
    late = judge(a_stopped_short(armed_s=3)).unguarded
    assert late == [f"{PUT} was sold naked and no guard was armed before"]


def test_a_short_that_is_meant_to_be_naked_needs_a_stop_when_its_fill_is_known() -> None:
    assert judge(a_stopped_short(stopped_s=9)).is_good
    late = judge(a_stopped_short(stopped_s=10)).unguarded
    assert late == [f"{PUT} was sold naked and no stop was sent in time"]


def test_a_short_that_stays_without_cover_is_unguarded() -> None:
    books = a_closed_spread()
    assert judge(replace(books, their_trades=books.their_trades[1:2])).unguarded


def theirs(action: str, at_s: int, symbol: str = PUT, *, filled_s: int = -1) -> tuple[Row, Row]:
    """An order of 65 placed at one second and filled at another, as both books of the broker."""
    stamp = "2026-11-21 18:35:{:02d}".format
    placed = {"symbol": symbol, "action": action, "order_status": "complete"}
    trade = {"symbol": symbol, "action": action, "quantity": 65}
    return placed | {"timestamp": stamp(at_s)}, trade | {"timestamp": stamp(max(at_s, filled_s))}


@pytest.mark.parametrize(
    ("rows", "worst_s"),
    [
        ([theirs("BUY", 1, LOWER_PUT), theirs("SELL", 2)], 0),
        ([theirs("SELL", 2), theirs("BUY", 6, LOWER_PUT)], 4),  # its hedge came after it
        ([theirs("SELL", 2), theirs("BUY", 5, filled_s=40)], 3),  # its stop stood from 5 on
        ([theirs("SELL", 2, filled_s=9), theirs("BUY", 10, filled_s=40)], 1),
        ([theirs("BUY", 1, LOWER_PUT), theirs("SELL", 2), theirs("SELL", 8, LOWER_PUT),
          theirs("BUY", 13)], 5),  # the hedge was sold first
        ([theirs("SELL", 2), theirs("BUY", 20, "NIFTY08DEC2625000CE")], 18),  # no cover for a put
        ([], 0),
    ],
)  # fmt: skip
def test_the_time_of_a_naked_short_is_that_of_the_brokers_books(rows, worst_s) -> None:
    assert naked_s([order for order, _ in rows], [trade for _, trade in rows]) == worst_s


def test_a_buying_order_that_the_broker_rejected_guards_nothing() -> None:
    (sold, short), (refused, _), (bought, cover) = (
        theirs("SELL", 2), theirs("BUY", 3), theirs("BUY", 9),
    )  # fmt: skip
    refused["order_status"] = "rejected"
    assert naked_s([sold, refused, bought], [short, cover]) == 7


def test_what_the_machine_made_everybody_wait_is_not_held_against_a_stop_but_it_must_come() -> None:
    def felt_s(from_ns: int, to_ns: int) -> float:
        return (to_ns - from_ns) / 1e9 / 2  # half of the time nobody had a processor

    slow = replace(a_stopped_short(stopped_s=15), felt_s=felt_s)
    assert judge(slow).is_good
    later = replace(a_stopped_short(stopped_s=16), felt_s=felt_s)
    assert judge(later).unguarded == [f"{PUT} was sold naked and no stop was sent in time"]
    books = a_closed_spread()
    never = replace(books, their_trades=books.their_trades[1:2], felt_s=felt_s)
    assert judge(never).unguarded


def test_at_least_a_fifth_of_the_time_is_felt_however_late_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited = iter([10.0, 19.5])
    monkeypatch.setattr("tests.kit.pressure.waited_s", lambda: next(waited))
    moments = iter([0, 10 * 10**9])
    monkeypatch.setattr("tests.kit.pressure.time.time_ns", lambda: next(moments))
    pressure = Pressure()
    pressure.sample()
    assert pressure.felt_s(0, 10 * 10**9) == 2.0
