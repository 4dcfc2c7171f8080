"""The cases of the kill matrix: which step, who is struck at it, how; which fault of the broker.

A case's name holds all of it, so that the name repeats the case:
`marked_sending.2/itself/SIGKILL/BULL_PUT_SPREAD`, `legs_handed.1/clock/-3600/IRON_CONDOR` and, with
a fault of the broker, `.../SIGKILL/BULL_PUT_SPREAD/http_500.placeorder.nth.2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from domain.intents import StrategyType
from tests.kit.crashing_actors import HALF_SENT, POINTS, UNANSWERED

ITSELF, EVERYTHING, NOBODY = "itself", "everything", "nobody"
# Points where nothing is on its way: trading was stopped; another instance took the control lease.
LATCHED, FENCED = "latched", "fenced"
# What is not a process: the machine's clock, its disk, its database.
CLOCK, DISK, DATABASE = "clock", "disk", "database"
SPREAD, CONDOR = StrategyType.BULL_PUT_SPREAD, StrategyType.IRON_CONDOR
STRANGLE = StrategyType.SHORT_STRANGLE
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
# Of a call that places an order: what may become of it, and of its answer.
PLACING_FAULTS = (
    "timeout_before_accept", "timeout_after_accept", "connection_reset", "http_429", "http_500",
    "http_502", "empty_answer", "drop_ids", "reject", "late_fill", "duplicate_fill",
    "partial_fill",
)  # fmt: skip
ANY_CALL = ("late_fill", "duplicate_fill", "partial_fill")  # they strike no call, but a fill
READING_FAULTS = ("connection_reset", "http_429", "http_500", "http_502", "empty_answer", "delay")
READS = ("orderbook", "positionbook", "funds", "analyzer")
ORDERS_OF = {SPREAD: 4, CONDOR: 8, STRANGLE: 6}


@dataclass(frozen=True)
class Fault:
    """A switch of the broker: the `nth` call, the first `times`, or all for `for_s` are struck."""

    switch: str
    endpoint: str
    terms: str
    value: int

    @property
    def name(self) -> str:
        """What a case's name says of it."""
        return f"{self.switch}.{self.endpoint or 'any'}.{self.terms}.{self.value}"


@dataclass(frozen=True)
class Case:
    """`point` is reached for the `nth` time: `blow` (a signal's name, or a number of seconds) goes
    to `victim`. `fault` is thrown before the structure is opened.
    """

    point: str
    nth: int
    victim: str
    blow: str
    strategy: StrategyType
    fault: Fault | None = None

    @property
    def name(self) -> str:
        """What `case_named` takes."""
        parts = [f"{self.point}.{self.nth}", self.victim, self.blow, self.strategy.value]
        return "/".join([*parts, self.fault.name] if self.fault else parts)

    @property
    def lots(self) -> int:
        """Two where a fill is to come in parts."""
        return 2 if self.fault and self.fault.switch == "partial_fill" else 1


def case_named(name: str) -> Case:
    """The case with that name; ValueError for a name that is none."""
    place, victim, blow, strategy, *faults = name.split("/")
    point, nth = place.split(".")
    fault = None
    if faults:
        switch, endpoint, terms, value = faults[0].split(".")
        fault = Fault(switch, endpoint.replace("any", ""), terms, int(value))
    return Case(point, int(nth), victim, blow, StrategyType(strategy), fault)


def kills() -> list[Case]:
    """Every step with every victim; every step with every trouble of the machine."""
    cases = []
    victims = [(ITSELF, number) for number in ("SIGKILL", "SIGSEGV", "SIGSTOP")]
    victims += [(name, "SIGKILL") for name in (*LEAVES, *SUPERVISORS, *RUNTIME, *PAIRS, EVERYTHING)]
    victims += [(CLOCK, "3600"), (CLOCK, "-3600"), (DISK, "2"), (DATABASE, "7")]
    for point, times in POINTS.items():
        for place, (victim, blow) in enumerate(victims):
            nth = place % times + 1
            strategy = (SPREAD, STRANGLE, SPREAD, CONDOR)[place % 4]
            cases.append(Case(point, nth, victim, blow, strategy))
    for name in ("breaker_gate", "execution_agent", "root", EVERYTHING):
        cases += [Case(point, 1, name, "SIGKILL", SPREAD) for point in (LATCHED, FENCED)]
    return cases


def faults() -> Iterator[Fault]:
    """Every fault of every call that matters to an order."""
    for switch in PLACING_FAULTS:
        endpoint = "" if switch in ANY_CALL else "placeorder"
        for nth in range(1, 9):
            yield Fault(switch, endpoint, "nth", nth)
        for times in (2, 4):
            yield Fault(switch, endpoint, "times", times)
    for endpoint in READS:
        for switch in READING_FAULTS:
            yield Fault(switch, endpoint, "nth", 1)
            yield Fault(switch, endpoint, "times", 4)
            yield Fault(switch, endpoint, "for_s", 2 if switch == "delay" else 10)
    yield Fault("late_book", "orderbook", "for_s", 5)
    yield Fault("http_500", "orderbook", "for_s", 60)
    for switch in ("http_500", "timeout_after_accept", "connection_reset"):
        yield Fault(switch, "cancelorder", "times", 1)


def fault_cases() -> list[Case]:
    """Every fault with every structure that reaches it."""
    return [
        Case("nowhere", 1, NOBODY, "nothing", strategy, fault)
        for fault in faults()
        for strategy, orders in ORDERS_OF.items()
        if fault.terms != "nth" or fault.value <= orders
    ]


def pair_cases() -> list[Case]:
    """Every fault with a kill at some step of the order that it strikes."""
    points = [point for point in POINTS if point not in (HALF_SENT, UNANSWERED)]
    victims = [(ITSELF, "SIGKILL"), ("root", "SIGKILL"), (EVERYTHING, "SIGKILL"),
               ("executor.alpha+execution_agent", "SIGKILL"), (ITSELF, "SIGSTOP")]  # fmt: skip
    cases = []
    for place, case in enumerate(fault_cases()):
        point = points[place * 7 % len(points)]  # 7 and the number of points share no divisor
        victim, blow = victims[place % len(victims)]
        nth = place % POINTS[point] + 1
        cases.append(Case(point, nth, victim, blow, case.strategy, case.fault))
    return cases
