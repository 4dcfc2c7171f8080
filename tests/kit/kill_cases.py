"""The cases of the kill matrix: which step, who is killed at it, how; which fault of the broker.

A case's name holds all of it, so that the name repeats the case:
`marked_sending.2/itself/SIGKILL/BULL_PUT_SPREAD` and, with a fault, `.../http_500.1.placeorder`.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.intents import StrategyType
from tests.kit.crashing_actors import POINTS

ITSELF, EVERYTHING, NOBODY = "itself", "everything", "nobody"
SPREAD, CONDOR = StrategyType.BULL_PUT_SPREAD, StrategyType.IRON_CONDOR
# Processes by the first 15 letters of their names, as the system lists them; + is both at once.
LEAVES = (
    "directory", "recorder", "journaling_agen", "broker_session.", "account_sync.al",
    "position_book", "executor.alpha", "execution_agent", "reconciler", "breaker.daily_m",
    "breaker.order_r", "breaker.gross_n", "breaker.per_und", "breaker.unhedge", "breaker.connect",
    "breaker_gate", "risk_agent",
)  # fmt: skip
SUPERVISORS = ("supervision", "journal", "brokers", "execution", "executors", "risk", "breakers")
RUNTIME = ("admin", "logger", "root", "launcher")
PAIRS = (
    "itself+executor.alpha", "itself+execution_agent", "itself+position_book",
    "itself+account_sync.al", "itself+breaker_gate", "itself+recorder",
    "executor.alpha+execution_agent", "position_book+reconciler", "breaker_gate+breaker.order_r",
    "recorder+journaling_agen", "account_sync.al+broker_session.",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """`point` is reached for the `nth` time: `number` (a signal's name) goes to `victim`.

    `fault` is a switch of the broker, thrown before the structure is opened; its `fault_nth`
    matching call on `endpoint` is struck.
    """

    point: str
    nth: int
    victim: str
    number: str
    strategy: StrategyType
    fault: str = ""
    fault_nth: int = 1
    endpoint: str = ""

    @property
    def name(self) -> str:
        """What `case_named` takes."""
        parts = [f"{self.point}.{self.nth}", self.victim, self.number, self.strategy.value]
        if self.fault:
            parts.append(f"{self.fault}.{self.fault_nth}.{self.endpoint}")
        return "/".join(parts)


def case_named(name: str) -> Case:
    """The case with that name; ValueError for a name that is none."""
    place, victim, number, strategy, *fault = name.split("/")
    point, _, nth = place.partition(".")
    case = Case(point, int(nth or 1), victim, number, StrategyType(strategy))
    if fault:
        word, turn, endpoint = fault[0].split(".")
        case = Case(*place_of(case), word, int(turn), endpoint)
    return case


def place_of(case: Case) -> tuple[str, int, str, str, StrategyType]:
    """The part of a case that is a kill."""
    return case.point, case.nth, case.victim, case.number, case.strategy


def kills() -> list[Case]:
    """Every step with every victim."""
    cases = []
    victims = [(ITSELF, number) for number in ("SIGKILL", "SIGSEGV", "SIGSTOP")]
    victims += [(name, "SIGKILL") for name in (*LEAVES, *SUPERVISORS, *RUNTIME, *PAIRS, EVERYTHING)]
    for point, times in POINTS.items():
        for place, (victim, number) in enumerate(victims):
            nth = place % times + 1
            strategy = CONDOR if place % 4 == 3 else SPREAD
            cases.append(Case(point, nth, victim, number, strategy))
    return cases


def all_cases(*, faults: bool, pairs: bool) -> list[Case]:
    """The matrix that was asked for."""
    return kills()
