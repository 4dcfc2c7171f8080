"""The cases of the kill matrix: which step, who is struck at it, how; which fault of the broker.

A case's name holds all of it, so that the name repeats the case:
`marked_sending.2/itself/SIGKILL/BULL_PUT_SPREAD`, `legs_handed.1/clock/-3600/IRON_CONDOR` and, with
a fault of the broker, `.../SIGKILL/BULL_PUT_SPREAD/http_500.placeorder.nth.2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domain.intents import StrategyType
from domain.supervision.topology import Node
from launch.topology_file import load_topology
from tests.kit.crashing_actors import HALF_SENT, POINTS, UNANSWERED
from tests.kit.default_system import ROOT

ITSELF, EVERYTHING, NOBODY = "itself", "everything", "nobody"
# Points where nothing is on its way: trading was stopped; another instance took the control lease.
LATCHED, FENCED = "latched", "fenced"
# What is not a process: the machine's clock, its disk, its database.
CLOCK, DISK, DATABASE = "clock", "disk", "database"
SPREAD, CONDOR = StrategyType.BULL_PUT_SPREAD, StrategyType.IRON_CONDOR
STRANGLE = StrategyType.SHORT_STRANGLE
# The exchange beside the small tree. In the whole one it is a node.
EXCHANGE = "broker"
GROUP = "group"  # the runtime's whole process group, without the launcher
SMALL, WHOLE = Path(__file__).with_name("order_tree.yaml"), ROOT / "topology.yaml"
RUNTIME = ("admin", "logger", "launcher")
WITH_ITSELF = (
    "executor.alpha", "execution_agent", "position_book", "account_sync.alpha", "breaker_gate",
    "recorder",
)  # fmt: skip
PAIRS_EVERY = 3  # a pair is killed at one step of so many
# Of a call that places an order: what may become of it, and of its answer.
PLACING_FAULTS = (
    "timeout_before_accept", "timeout_after_accept", "connection_reset", "http_429", "http_500",
    "http_502", "empty_answer", "drop_ids", "reject", "late_fill", "duplicate_fill",
    "partial_fill",
)  # fmt: skip
ANY_CALL = ("late_fill", "duplicate_fill", "partial_fill")  # they strike no call, but a fill
READING_FAULTS = ("connection_reset", "http_429", "http_500", "http_502", "empty_answer", "delay")
READS = ("orderbook", "positionbook", "funds", "analyzer")
READ_BY_A_NEW_LIFE = READS[1:]  # else once a minute, which is longer than a case
READERS = "account_sync.alpha+broker_session.alpha"
ORDERS_OF = {SPREAD: 4, CONDOR: 8, STRANGLE: 6}
FILLS_OF = {SPREAD: 4, CONDOR: 8, STRANGLE: 4}  # its stops rest, and are cancelled
CANCELS_OF = {SPREAD: 0, CONDOR: 0, STRANGLE: 2}


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


def tree_of(path: Path) -> Node:
    """The nodes of a topology, as a start makes them."""
    return load_topology(path, {}).tree


def victims_of(tree: Node) -> list[str]:
    """Every process that can be killed: what the topology names, and what carries it."""
    return [*(node.name for node in tree.walk()), *RUNTIME, GROUP, EVERYTHING]


def siblings(tree: Node) -> list[str]:
    """Neighbours under one supervisor; they die together."""
    return [
        f"{one.name}+{other.name}"
        for node in tree.walk()
        for one, other in zip(node.children, node.children[1:], strict=False)
    ]


def kills() -> list[Case]:
    """Every step with every victim and with every trouble of the machine; pairs at some steps."""
    tree, cases = tree_of(SMALL), []
    victims = [(ITSELF, number) for number in ("SIGKILL", "SIGSEGV", "SIGSTOP")]
    victims += [(name, "SIGKILL") for name in (*victims_of(tree), EXCHANGE)]
    victims += [(CLOCK, "3600"), (CLOCK, "-3600"), (DISK, "2"), (DATABASE, "7")]
    pairs = [f"{ITSELF}+{name}" for name in WITH_ITSELF] + siblings(tree)
    pairs += ["executor.alpha+execution_agent", "position_book+reconciler"]
    for row, (point, times) in enumerate(POINTS.items()):
        some = [(pair, "SIGKILL") for pair in pairs[row % PAIRS_EVERY :: PAIRS_EVERY]]
        for place, (victim, blow) in enumerate([*victims, *some]):
            nth = place % times + 1
            strategy = (SPREAD, STRANGLE, SPREAD, CONDOR)[place % 4]
            cases.append(Case(point, nth, victim, blow, strategy))
    for name in ("breaker_gate", "execution_agent", "root", EVERYTHING):
        cases += [Case(point, 1, name, "SIGKILL", SPREAD) for point in (LATCHED, FENCED)]
    return cases


def whole_cases() -> list[Case]:
    """Every process of the default tree once, each at another step of a condor."""
    points = [point for point in POINTS if point not in (HALF_SENT, "marked_sending")]
    return [
        Case(points[place * 7 % len(points)], 1, victim, "SIGKILL", CONDOR)
        for place, victim in enumerate(victims_of(tree_of(WHOLE)))
    ]


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
    """Every fault with every structure that reaches it; who reads has a new life where he must."""
    return [
        Case("legs_handed", 1, READERS, "SIGKILL", strategy, fault)
        if fault.endpoint in READ_BY_A_NEW_LIFE
        else Case("nowhere", 1, NOBODY, "nothing", strategy, fault)
        for fault in faults()
        for strategy in ORDERS_OF
        if _reaches(strategy, fault)
    ]


def _reaches(strategy: StrategyType, fault: Fault) -> bool:
    """True when the life of such a structure has what the fault strikes."""
    if fault.endpoint == "cancelorder":
        return bool(CANCELS_OF[strategy])
    struck = FILLS_OF if fault.switch in ANY_CALL else ORDERS_OF
    return fault.terms != "nth" or fault.value <= struck[strategy]


def pair_cases() -> list[Case]:
    """Every fault with a kill at some step of the order that it strikes."""
    points = [point for point in POINTS if point not in (HALF_SENT, UNANSWERED)]
    victims = [(ITSELF, "SIGKILL"), ("root", "SIGKILL"), (EVERYTHING, "SIGKILL"),
               ("executor.alpha+execution_agent", "SIGKILL"), (ITSELF, "SIGSTOP")]  # fmt: skip
    cases = []
    for place, case in enumerate(fault_cases()):
        point = points[place * 7 % len(points)]  # 7 and the number of points share no divisor
        victim, blow = victims[place % len(victims)]
        if case.victim == READERS:
            victim, blow = f"{ITSELF}+{READERS}", "SIGKILL"
        nth = place % POINTS[point] + 1
        cases.append(Case(point, nth, victim, blow, case.strategy, case.fault))
    return cases
