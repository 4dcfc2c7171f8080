"""kill -9 at every step of an order's life, judged by the broker's own books.

    python bench/kill_matrix.py [--cases N] [--seed S] [--faults] [--pairs] [--whole]
                                [--case NAME] [--json FILE]

A case opens a structure and closes it again while something is killed at a named step of it:
whoever reaches the step, any other process of the tree, the broker, two at once, or everything. The
whole matrix is every step with every victim, in an order that the seed gives; --cases takes the
first N. Trees are small (tests/kit/order_tree.py: what feeds an order's way is one driver) and are
used for many cases, one after another; every tenth case has a fresh tree, and so has the case after
one that failed. --faults throws a switch of the broker in place of the kill, --pairs does both.
--whole kills every process of the default tree once, its exchange too, at a step of an order that
a posted signal became. --case repeats one by its name, on a fresh tree. Exit 1 if an order was lost
or doubled or a short stood unguarded.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kit import machine, options, tell
from tests.kit.broker_oracle import Verdict
from tests.kit.kill_cases import Case, case_named, fault_cases, kills, pair_cases, whole_cases
from tests.kit.kill_run import Outcome, run_case
from tests.kit.order_tree import OrderTree
from tests.kit.whole_tree import WholeTree

FRESH_EVERY = 10
CASES_A_TREE_MAX = 60
STARTS_MAX = 3
TREES_A_CORE = 4  # a case mostly waits: for a book to be read, for a tree to be made again


class Matrix:
    """Cases shared out to workers, and what came of them."""

    def __init__(self, cases: list[Case], command: str, kind: type[Any]) -> None:
        self._cases, self._kind = iter(enumerate(cases, 1)), kind
        self._command = command
        self._lock = threading.Lock()
        self.total: Counter[str] = Counter()
        self.bad: list[Case] = []
        self.slowest_s = self.naked_s = 0.0

    def work(self) -> None:
        """One worker: a tree at a time, until no case is left."""
        tree: Any = None
        used = 0
        for number, case in self._taken():
            if tree is None or number % FRESH_EVERY == 0 or used >= CASES_A_TREE_MAX:
                if tree:
                    tree.end()
                try:
                    tree, used = fresh_tree(self._kind), 0
                except (AssertionError, RuntimeError) as failure:
                    tree = None
                    self._note(number, case, no_end(failure, used + 1))
                    continue
            outcome = judged(tree, case, used + 1)
            used += 1
            self._note(number, case, outcome)
            if not outcome.can_go_on:
                tree.end()
                tree = None
        if tree:
            tree.end()

    def _taken(self) -> Iterator[tuple[int, Case]]:
        while True:
            with self._lock:
                taken = next(self._cases, None)
            if taken is None:
                return
            yield taken

    def _note(self, number: int, case: Case, outcome: Outcome) -> None:
        verdict = outcome.verdict
        with self._lock:
            self.total.update(
                cases=1,
                lost=int(bool(verdict.lost)),
                doubled=int(bool(verdict.doubled)),
                unguarded=int(bool(verdict.unguarded)),
                waiting=int(bool(verdict.waiting)),
                struck=int(outcome.struck),
                fresh=int(outcome.number == 1),
            )
            self.slowest_s = max(self.slowest_s, outcome.took_s)
            self.naked_s = max(self.naked_s, outcome.naked_s)
            if not verdict.is_good:
                self.bad.append(case)
                print(f"FAILED {number} {case.name} after {outcome.took_s:.1f} s")
                for line in words(verdict) + outcome.told:
                    print(f"    {line}")
                print(f"    again: {self._command} --case {case.name}", flush=True)
            elif not outcome.struck:
                print(f"missed {number} {case.name}: its step or its call never came")
                print("    " + "\n    ".join(outcome.told), flush=True)
            elif verdict.waiting:
                print(f"waits {number} {case.name}: {verdict.waiting[0]}", flush=True)
            elif number % 50 == 0:
                print(f"... {number} cases", flush=True)


def judged(tree: Any, case: Case, number: int) -> Outcome:
    """What came of it."""
    try:
        return run_case(tree, case, number)
    except Exception as failure:
        return no_end(failure, number)


def no_end(failure: Exception, number: int) -> Outcome:
    """A case that the bench itself could not bring to its end proves nothing, so it has failed."""
    verdict = Verdict(lost=[f"the bench came to no end: {failure!r}"])
    return Outcome(verdict, False, number, 0.0, can_go_on=False)


def words(verdict: Verdict) -> list[str]:
    """What is wrong, in lines."""
    groups = (
        ("lost", verdict.lost),
        ("doubled", verdict.doubled),
        ("unguarded", verdict.unguarded),
    )
    return [f"{word}: {text}" for word, texts in groups for text in texts]


def fresh_tree(kind: type[Any]) -> Any:
    """A tree of that kind in a folder of its own; one whose port another took is made again."""
    left = STARTS_MAX
    while True:
        tree, left = None, left - 1
        try:
            tree = kind(Path(tempfile.mkdtemp(prefix="tomic-kill-")))
            tree.start()
            return tree
        except (AssertionError, RuntimeError):
            if tree:
                tree.end()
            if not left:
                raise


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--cases", type=int, default=0, help="how many; all when left out")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the cases")
    parser.add_argument("--faults", action="store_true", help="the broker's faults, no kills")
    parser.add_argument("--pairs", action="store_true", help="a kill and a fault in each case")
    parser.add_argument("--whole", action="store_true", help="the default tree, each process once")
    parser.add_argument(
        "--trees",
        type=int,
        default=0,
        help="how many run side by side; as the cores allow when left out",
    )
    parser.add_argument("--case", action="append", default=[], help="only this one, by its name")
    given = parser.parse_args()
    cases = [case_named(name) for name in given.case]
    if not cases:
        parts = ((given.whole, whole_cases), (given.pairs, pair_cases), (given.faults, fault_cases))
        cases = next((part() for wanted, part in parts if wanted), kills())
        random.Random(given.seed).shuffle(cases)
        if given.cases:
            cases = [cases[number % len(cases)] for number in range(given.cases)]
    command = "python bench/kill_matrix.py" + " --whole" * given.whole
    matrix = Matrix(cases, command, WholeTree if given.whole else OrderTree)
    began = time.monotonic()
    trees = given.trees or TREES_A_CORE * len(os.sched_getaffinity(0)) // (2 if given.whole else 1)
    workers = [threading.Thread(target=matrix.work) for _ in range(min(trees, len(cases)))]
    with contextlib.suppress(KeyboardInterrupt):
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    total = matrix.total
    print(
        f"{total['struck']} of {total['cases']} struck, {total['fresh']} on a tree of their own,"
        f" slowest {matrix.slowest_s:.1f} s, all in {time.monotonic() - began:.0f} s,"
        f" a short naked for {matrix.naked_s:.0f} s at most"
    )
    print(
        f"cases {total['cases']}: lost {total['lost']}, doubled {total['doubled']},"
        f" unguarded {total['unguarded']}, waiting {total['waiting']}"
    )
    figures = {**total, "slowest_s": matrix.slowest_s, "bad": [case.name for case in matrix.bad]}
    tell(figures, machine("thespian", "sqlalchemy"), given.json)
    return 1 if matrix.bad or total["cases"] < len(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
