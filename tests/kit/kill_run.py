"""One case of the kill matrix on a tree: open, strike, recover, close, and let it be judged."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from signal import Signals
from typing import Any

import psutil

from actors.risk.breaker import BreakerSettings
from domain.clock import seconds
from domain.risk.trading_mode import ACTIVE
from tests.kit import crash_points
from tests.kit.broker_oracle import Books, Verdict, judge
from tests.kit.kill_cases import (
    CLOCK,
    DATABASE,
    DISK,
    EVERYTHING,
    EXCHANGE,
    FENCED,
    GROUP,
    ITSELF,
    LATCHED,
    NOBODY,
    Case,
)
from tests.kit.naked_time import naked_s
from tests.kit.order_tree import OrderTree
from tests.kit.pressure import Deadline, Pressure

LOOK_EVERY_S = 0.05
JUDGE_EVERY_S = 0.2  # three reads of the broker, which takes 50 a second
# A book that cannot be read for a minute, and 30 s of grace for what nobody knows after it.
ENDS_WITHIN_S = 120.0  # as all of these: without what the machine made everybody wait
AGREE_WITHIN_S = 45.0  # mail that was dropped on its way comes again after 20 s
GUARDED_WITHIN_S = 8.0  # longer than the judge allows: a close must not hide a missing stop
WHOLE_WITHIN_S = 30.0
READY_WITHIN_S = 120.0
GATE = "breaker_gate"
FORBIDDEN = (LATCHED, FENCED)
ATTEMPT = 100_000  # more than a tree has cases
FENCED_NUMBER = 1  # of the control lease under which a fenced entry was decided
KILLED = "SELECT 1 FROM latches WHERE name = 'kill' AND engaged"
# What denies the next entry for a reason of this case: the kill switch, or a breaker that opened.
STOPPED = "SELECT 1 FROM latches WHERE (name = 'kill' OR name LIKE 'breaker.%') AND engaged"
OPEN = ("PENDING", "AWAITING_APPROVAL", "PROCESSING", "UNKNOWN_OUTCOME")
Row = dict[str, Any]


@dataclass
class Outcome:
    """What came of a case. `told` is what a person needs who looks into a failure."""

    verdict: Verdict
    struck: bool
    number: int
    took_s: float
    can_go_on: bool
    told: list[str] = field(default_factory=list)
    naked_s: float = 0.0  # the longest that a short stood without cover or stop


class CaseRun:
    """One structure on one tree."""

    def __init__(self, tree: OrderTree, case: Case, number: int) -> None:
        self._tree, self._case, self._number = tree, case, number
        self._strategy_id = ""
        self._pressure = Pressure()

    def run(self) -> Outcome:
        """The whole of it; the tree is whole again at the end, or the verdict says otherwise."""
        began = time.monotonic()
        case, tree = self._case, self._tree
        if tree.MAY_REST:
            self._wait(lambda: tree.is_ready_to_trade(tree.readiness()), READY_WITHIN_S)
        self._wait(lambda: not self._is_frozen() and self._is_whole(), WHOLE_WITHIN_S)
        self._wait(self._takes_entries, READY_WITHIN_S)
        self._arm()
        self._throw()
        if case.point in FORBIDDEN:
            self._forbid()
        for attempt in range(tree.ENTRIES_MAX):
            if attempt:
                self._wait(lambda: self._takes_entries() and self._has_cooled(), READY_WITHIN_S)
            entered = self._open_and_close(self._number + attempt * ATTEMPT)
            if self._has_struck() or tree.rows(KILLED):
                break
        felt = self._fault_struck()
        self._calm()  # the judge reads the broker's books as they are
        self._wait(lambda: judge(self._books()).is_good, AGREE_WITHIN_S, every_s=JUDGE_EVERY_S)
        whole = self._wait(self._is_whole, WHOLE_WITHIN_S)
        struck = felt and self._has_struck()
        crash_points.disarm(tree.data_dir)
        books = self._books()
        verdict = judge(books)
        if not entered and not tree.MAY_REST:
            verdict.lost.append(f"the entry came to no end within {tree.ENTERS_WITHIN_S:g} s")
        if case.point in FORBIDDEN:
            taken = [row["tag"] for row in books.orders if row["broker_order_id"]]
            verdict.unguarded += [f"{tag} was sent though {case.point}" for tag in taken]
        if not whole:
            verdict.lost.append(f"the tree is not whole: {tree.NAMES - set(tree.pids())} are away")
        told = [] if verdict.is_good and struck else self._told()
        stopped = bool(tree.rows(STOPPED))
        return Outcome(
            verdict=verdict,
            struck=struck,
            number=self._number,
            took_s=time.monotonic() - began,
            can_go_on=(
                verdict.is_good
                and not verdict.waiting
                and not stopped
                and case.victim != CLOCK
                and case.point != FENCED
            ),
            told=told,
            naked_s=naked_s(books.their_orders, books.their_trades),
        )

    def _open_and_close(self, number: int) -> bool:
        """One structure's life; False when its entry came to no end by itself."""
        case, tree = self._case, self._tree
        fence = FENCED_NUMBER if case.point == FENCED else 0
        self._strategy_id = tree.propose(number, case.strategy, case.lots, fence)
        entered = self._wait(self._has_entered, tree.ENTERS_WITHIN_S)
        self._wait(self._is_guarded, GUARDED_WITHIN_S)
        if self._entry_stands() or not entered:
            tree.close(self._strategy_id, number)
        self._wait(self._has_ended, ENDS_WITHIN_S)
        return entered

    def _has_struck(self) -> bool:
        case = self._case
        is_kill = case.victim != NOBODY and case.point not in FORBIDDEN
        return not is_kill or crash_points.has_struck(self._tree.data_dir, case.point)

    # -- the blow --

    def _arm(self) -> None:
        case, tree = self._case, self._tree
        if case.victim == NOBODY or case.point in FORBIDDEN:
            return
        machine = {CLOCK: "clock_s", DISK: "full_s", DATABASE: "locked_s"}
        if case.victim in machine:
            blow: Row = {machine[case.victim]: float(case.blow)}
        else:
            blow = {"signal": int(Signals[case.blow]), "pids": self._victims(tree.pids())}
        crash_points.arm(tree.data_dir, case.point, blow, case.nth)

    def _forbid(self) -> None:
        """No entry may go from now on; then the victim dies, and all must still know it."""
        tree, pids = self._tree, self._tree.pids()
        if self._case.point == LATCHED:
            tree.pause(self._number)
            latched = "SELECT 1 FROM latches WHERE name = 'kill' AND engaged"
            self._wait(lambda: bool(tree.rows(latched)), AGREE_WITHIN_S)
        else:
            tree.take_lease_away(FENCED_NUMBER)
        victims = self._victims(pids)
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, Signals[self._case.blow])
        self._wait(lambda: self._is_whole() and not set(victims) & set(tree.pids().values()), 30.0)

    def _victims(self, pids: dict[str, int]) -> list[int]:
        if self._case.victim == EVERYTHING:
            itself = [] if self._case.point in FORBIDDEN else [crash_points.ITSELF]
            ours = [pid for name, pid in pids.items() if name not in (EXCHANGE, GROUP)]
            return [*ours, *itself]
        names = self._case.victim.split("+")
        return [crash_points.ITSELF if name == ITSELF else pids[name] for name in names]

    def _throw(self) -> None:
        """The broker's fault switch; it stays on, and strikes as often as it says."""
        fault = self._case.fault
        if fault is None:
            return
        terms: Row = {fault.terms: fault.value}
        if fault.endpoint:
            terms["endpoint"] = fault.endpoint
        with self._tree.control() as control:
            control.fault_on(fault.switch, **terms)

    def _calm(self) -> None:
        if self._case.fault:
            with self._tree.control() as control:
                control.fault_off(self._case.fault.switch)

    def _fault_struck(self) -> bool:
        """True where there is no fault, too; one whose time is over struck in it."""
        fault = self._case.fault
        if fault is None:
            return True
        with self._tree.control() as control:
            rows = {row["fault"]: row for row in control.faults()}
        return not rows[fault.switch]["on"] or bool(rows[fault.switch]["struck"])

    def _wait(
        self, fact: Callable[[], bool], within_s: float, every_s: float = LOOK_EVERY_S
    ) -> bool:
        """Until it is true; a launcher that was killed is started again, as a person would."""
        deadline = Deadline(within_s)
        pause = threading.Event()
        while not deadline.is_over():
            self._tree.revive()
            self._pressure.sample()
            with contextlib.suppress(sqlite3.OperationalError, OSError, http.client.HTTPException):
                if fact():
                    return True
            pause.wait(every_s)
        return False

    # -- how far it is --

    def _commands(self) -> list[Row]:
        query = "SELECT * FROM commands WHERE strategy_id = ? ORDER BY command_id"
        return self._tree.rows(query, self._strategy_id)

    def _entry_stands(self) -> bool:
        return any(row["status"] == "DONE" for row in self._commands())

    def _has_entered(self) -> bool:
        commands = self._commands()
        if not commands:
            return bool(self._tree.answer(self._strategy_id))
        return commands[0]["status"] not in OPEN

    def _is_guarded(self) -> bool:
        """Every naked short that filled has a stop that was sent, or there is none."""
        query = "SELECT * FROM orders WHERE strategy_id = ? AND naked_approved"
        rows = self._tree.rows(query, self._strategy_id)
        shorts = {
            row["leg_no"] for row in rows if row["action"] == "SELL" and row["filled_quantity"]
        }
        return shorts <= {
            row["leg_no"] for row in rows if row["purpose"] == "STOP" and row["sent_ns"]
        }

    def _has_ended(self) -> bool:
        """Nothing of it is open, and if it stood, its close is written and told: before that the
        next structure is one too many."""
        commands = self._commands()
        entries = [row for row in commands if row["event_type"] == ENTRY]
        stood = any(row["status"] == "DONE" for row in entries)
        told = all(row["closed_ns"] for row in entries if row["status"] == "DONE")
        closes = [row for row in commands if row["event_type"] != ENTRY]
        open_still = any(row["status"] in OPEN for row in commands)
        return not open_still and told and (bool(closes) or not stood)

    def _is_whole(self) -> bool:
        return set(self._tree.pids()) >= self._tree.NAMES

    def _is_frozen(self) -> bool:
        """Somebody the case before has stopped is not yet missed: his word is old, and an entry is
        refused for it."""
        for name, pid in self._tree.pids().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                if name != GROUP and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                    return True
        return False

    def _takes_entries(self) -> bool:
        """The gate's newest word: after a start the books are compared first."""
        query = "SELECT body FROM facts WHERE kind = ? ORDER BY id DESC LIMIT 1"
        rows = self._tree.rows(query, "TradingModeChanged", database="journal.db")
        return bool(rows) and json.loads(rows[0]["body"])["mode"] == ACTIVE

    def _has_cooled(self) -> bool:
        """No breaker of a connection is open, or it lets one order try."""
        now_ns = time.time_ns()
        rows = self._tree.rows("SELECT body FROM latches WHERE name LIKE 'breaker.connection.%'")
        opened = [int(json.loads(row["body"])["opened_ns"]) for row in rows if row["body"]]
        cool_ns = seconds(BreakerSettings(rule="connection").cool_down_s)
        return all(now_ns - at_ns > cool_ns for at_ns in opened)

    # -- what everybody says --

    def _books(self) -> Books:
        tree = self._tree
        orders = tree.rows("SELECT * FROM orders WHERE strategy_id = ?", self._strategy_id)
        known = {row["tag"] for row in orders}
        others = {row["tag"] for row in tree.rows("SELECT tag FROM orders")} - known
        theirs = [row for row in tree.ask("orderbook")["orders"] if row["strategy"] not in others]
        trades = [row for row in tree.ask("tradebook") if row["strategy"] not in others]
        held = tree.rows("SELECT symbol, direction, quantity FROM positions")
        ours: dict[str, int] = {}
        for row in held:
            units = int(row["quantity"]) * (1 if row["direction"] == "BUY" else -1)
            ours[row["symbol"]] = ours.get(row["symbol"], 0) + units
        facts = self._facts("OrderFilled")
        return Books(
            their_orders=sorted(theirs, key=lambda row: row["orderid"]),
            their_trades=trades_in_order(trades),
            their_positions={r["symbol"]: int(r["quantity"]) for r in tree.ask("positionbook")},
            commands=self._commands(),
            orders=orders,
            fills=tree.rows("SELECT * FROM fills WHERE strategy_id = ?", self._strategy_id),
            our_positions=ours,
            facts=[int(body["fill"]["fill_id"]) for body in facts],
            cleared=self._cleared(),
            journal=tree.rows(
                "SELECT * FROM journal_entries WHERE strategy_id = ?",
                self._strategy_id,
                database="journal.db",
            ),
            guards=tree.rows("SELECT * FROM guards WHERE strategy_id = ?", self._strategy_id),
            answered=bool(self._commands()) or bool(tree.answer(self._strategy_id)),
            felt_s=self._pressure.felt_s,
        )

    def _cleared(self) -> set[int]:
        """The gate's own words in the journal; where the gate died over one, that a command ended
        under it."""
        facts = self._facts("OrderCleared")
        facts += [
            body
            for body in self._facts("CommandEnded")
            if body["cleared_by"].startswith(f"{GATE}:")
        ]
        return {int(body["command_id"]) for body in facts}

    def _facts(self, kind: str) -> list[Row]:
        query = "SELECT body FROM facts WHERE kind = ?"
        return [
            json.loads(row["body"]) for row in self._tree.rows(query, kind, database="journal.db")
        ]

    def _told(self) -> list[str]:
        """Our rows of the structure, and what was said of it."""
        lines = [f"answer {self._tree.answer(self._strategy_id)!r}"]
        lines += [
            f"{row['event_type']} {row['status']} {row['error_code']} {row['last_error']}"
            for row in self._commands()
        ]
        query = "SELECT * FROM orders WHERE strategy_id = ? ORDER BY id"
        lines += [
            f"{row['purpose']} leg {row['leg_no']}.{row['attempt']} {row['action']} {row['status']}"
            f" {row['filled_quantity']}/{row['quantity']} id {row['broker_order_id'] or '-'}"
            f" {row['error_message']}"
            for row in self._tree.rows(query, self._strategy_id)
        ]
        return lines


ENTRY = "ORDER_REQUEST"


def trades_in_order(trades: list[Row]) -> list[Row]:
    """The trade book as it came about, each trade once; order ids count up as orders are taken."""
    once = {row["tradeid"]: row for row in trades}
    return sorted(once.values(), key=lambda row: (row["timestamp"], row["orderid"]))


def run_case(tree: OrderTree, case: Case, number: int) -> Outcome:
    """One case on a running tree; `number` is unique on it."""
    return CaseRun(tree, case, number).run()
