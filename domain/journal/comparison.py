"""What two runs over the same ticks decided, held against each other: the proof of a replay.

A decision is the same, missing (only then), extra (only now) or changed, field by field. What a
run's machine did (a death, a call nobody answered, a dropped message) and what came of it, by the
causes that facts carry, is told and not counted: no replay can repeat it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.clock import NS_PER_S, exchange_time
from domain.journal.report import MEASURED
from domain.journal.sentences import decision_kinds, decision_line
from domain.tape import TapedFact

ASKED = "DeskRequest"  # what people asked, which a replay asks again
BEGUN = "StartTrading"  # told by the last branch of a tree: from then on all of it ran
MACHINE_KINDS = (
    "NodeRestarted", "BranchGaveUp", "DeadLetter", "OrderUnknown", "FeedSwitched",
)  # fmt: skip
# Refusals of a run in which somebody did not answer in time, or a disk took nothing.
MACHINE_CODES = frozenset({"BREAKER_SILENT", "GATE_SILENT", "NO_ANSWER", "STORAGE", "BROKER_AWAY"})
TAPED_KINDS = tuple(dict.fromkeys((*decision_kinds(), *MACHINE_KINDS, ASKED, BEGUN)))
COMPARED_KINDS = frozenset(decision_kinds()) - set(MACHINE_KINDS)

# A listing's number is its row in one installation's database.
NEVER_COMPARED = frozenset({*MEASURED, "listing_id"})
# Of a run in real time: numbers that count what happened, ids made of the time, words with figures.
LOOSE = frozenset({
    "correlation_id", "strategy_id", "client_order_id", "command_id", "plan_id", "fill_id",
    "trade_id", "broker_order_id", "idempotency_key", "key", "cycle", "version", "regime_version",
    "text", "reason", "rationale", "detail", "notes", "inputs", "signals", "days_to_expiry",
})  # fmt: skip
NEAR_NS = 5 * NS_PER_S  # a decision of real time may come so much sooner or later
NEAR_SHARE = 0.02  # and a reading may differ by so much, for its last tick was another
LIFE = " had a new life"
SHOWN_MAX, FIELDS_SHOWN_MAX = 50, 8


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is missing, extra or changed; `fields` say in words how, one each."""

    at_ns: int
    what: str
    line: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """`same` counts decisions; `machine` has a sentence for each thing no replay can repeat."""

    same: int
    differences: tuple[Difference, ...]
    machine: tuple[str, ...]


def compare(
    then: Sequence[TapedFact], now: Sequence[TapedFact], *, exact: bool, until_ns: int = 0
) -> Comparison:
    """Holds the decisions of two runs against each other, in time.

    `exact` for two stepped runs: equal times, equal fields. Else times may differ by NEAR_NS and
    readings by NEAR_SHARE, and ids, counts and figures in words are left out. Decisions after
    `until_ns` (0: none) are left out: the tape ends there.
    """
    then_left, then_machine = _of_the_market(then)
    now_left, now_machine = _of_the_market(now)
    theirs, ours = _by_subject(then_left, until_ns), _by_subject(now_left, until_ns)
    same, found = 0, []
    for subject in {**theirs, **ours}:
        for before, after in _pairs(theirs[subject], ours[subject], 0 if exact else NEAR_NS):
            difference = _difference(before, after, exact)
            if difference is None:
                same += 1
            else:
                found.append(difference)
    found.sort(key=lambda row: (row.at_ns, row.what, row.line))
    machine = (
        *(f"then: {text}" for text in then_machine),
        *(f"now: {text}" for text in now_machine),
    )
    return Comparison(same, tuple(found), machine)


def changed_keys(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How what decides (settings, topology, calendars) differs, a sentence each."""
    before, after = dict(_leaves(then)), dict(_leaves(now))
    return [
        _changed(path, before.get(path, "absent"), after.get(path, "absent"))
        for path in dict.fromkeys((*before, *after))
        if before.get(path, "absent") != after.get(path, "absent")
    ]


def told(comparison: Comparison) -> list[str]:
    """The comparison as lines for a terminal."""
    found = comparison.differences
    counts = defaultdict(int, {"same": comparison.same})
    for row in found:
        counts[row.what] += 1
    lines = []
    for row in found[:SHOWN_MAX]:
        lines.append(f"{exchange_time(row.at_ns):%H:%M:%S}  {row.what:<8} {row.line}")
        lines += [f"{'':19}{text}" for text in row.fields[:FIELDS_SHOWN_MAX]]
        if len(row.fields) > FIELDS_SHOWN_MAX:
            lines.append(f"{'':19}and {len(row.fields) - FIELDS_SHOWN_MAX} fields more")
    if len(found) > SHOWN_MAX:
        lines.append(f"and {len(found) - SHOWN_MAX} more")
    lines += [f"not counted  {text}" for text in comparison.machine[:SHOWN_MAX]]
    if len(comparison.machine) > SHOWN_MAX:
        lines.append(f"not counted  and {len(comparison.machine) - SHOWN_MAX} more of its kind")
    if any(text.startswith("now: ") and LIFE in text for text in comparison.machine):
        lines.append("Nodes of this replay died on the way: replay again before you judge it")
    words = ", ".join(f"{counts[word]} {word}" for word in ("same", "missing", "extra", "changed"))
    return [*lines, f"Decisions: {words}"]


def _of_the_market(facts: Iterable[TapedFact]) -> tuple[list[TapedFact], list[str]]:
    """Decisions that a replay must repeat, and sentences of what it can not."""
    known = list(facts)
    tainted = _came_of_the_machine(known)
    kept, told_of = [], []
    for fact in known:
        if fact.message_id not in tainted:
            kept += [fact] if fact.kind in COMPARED_KINDS else []
        elif fact.kind in COMPARED_KINDS or fact.kind in MACHINE_KINDS:
            told_of.append(f"{exchange_time(fact.at_ns):%H:%M:%S} {_machine_line(fact)}")
    return kept, told_of


def _came_of_the_machine(facts: Sequence[TapedFact]) -> set[str]:
    """The machine's own facts and all that they caused; a journal may hold a cause behind what
    came of it."""
    fresh = {
        fact.message_id
        for fact in facts
        if (fact.kind in MACHINE_KINDS and fact.body.get("from_broker", "-"))
        or _code(fact) in MACHINE_CODES
    }
    found: set[str] = set()
    while fresh:
        found |= fresh
        fresh = {fact.message_id for fact in facts if fact.cause in found} - found
    return found


def _machine_line(fact: TapedFact) -> str:
    body = fact.body
    if fact.kind == "NodeRestarted":
        return f"{body['name']}{LIFE}: {body['reason']}"
    if fact.kind == "BranchGaveUp":
        return f"{body['name']} gave up: {body['reason']}"
    if fact.kind == "DeadLetter":
        return f"{body['kind']} for {body['target']} was lost: {body['why']}"
    return _line(fact)


def _code(fact: TapedFact) -> str:
    refusal = fact.body.get("refusal")
    return str(refusal["code"]) if refusal else ""


def _line(fact: TapedFact) -> str:
    return decision_line(fact.kind, fact.body) or fact.kind


def _by_subject(
    facts: Iterable[TapedFact], until_ns: int
) -> defaultdict[tuple[str, ...], list[TapedFact]]:
    """Facts that may be each other's like, in time."""
    found = defaultdict[tuple[str, ...], list[TapedFact]](list)
    for fact in sorted(facts, key=lambda row: row.at_ns):
        if not until_ns or fact.at_ns <= until_ns:
            found[(fact.kind, *_subject(fact.body))].append(fact)
    return found


def _subject(body: Mapping[str, Any]) -> Iterator[str]:
    """What a decision is about: an underlying and a structure, a symbol, an agent."""
    about = body.get("signal") or body.get("plan") or body.get("fill") or {}
    about = body["intent"]["signal"] if "intent" in body else about
    for name in ("source", "instrument", "strategy", "symbol", "action"):
        yield str(about.get(name, ""))
    for name in ("source", "strategy_tag", "status", "mode", "breaker"):
        yield str(body.get(name, ""))
    yield _code(TapedFact("", "", "", 0, body))


def _pairs(
    then: Sequence[TapedFact], now: Sequence[TapedFact], near_ns: int
) -> Iterator[tuple[TapedFact | None, TapedFact | None]]:
    """Each with its like of nearly the same time, or with none."""
    left, right = list(then), list(now)
    while left and right:
        if abs(left[0].at_ns - right[0].at_ns) <= near_ns:
            yield left.pop(0), right.pop(0)
        elif left[0].at_ns < right[0].at_ns:
            yield left.pop(0), None
        else:
            yield None, right.pop(0)
    yield from ((fact, None) for fact in left)
    yield from ((None, fact) for fact in right)


def _difference(
    before: TapedFact | None, after: TapedFact | None, exact: bool
) -> Difference | None:
    if before is None or after is None:
        fact = before or after
        assert fact is not None  # of a pair one is there
        return Difference(fact.at_ns, "missing" if after is None else "extra", _line(fact))
    theirs, ours = (dict(_kept(fact.body, exact)) for fact in (before, after))
    fields = tuple(
        _changed(path, theirs.get(path, "absent"), ours.get(path, "absent"))
        for path in dict.fromkeys((*theirs, *ours))
        if not _is_same(theirs.get(path, "absent"), ours.get(path, "absent"), exact)
    )
    return Difference(before.at_ns, "changed", _line(before), fields) if fields else None


def _kept(body: Mapping[str, Any], exact: bool) -> Iterator[tuple[tuple[str, ...], Any]]:
    for path, value in _leaves(body):
        if NEVER_COMPARED.intersection(path):
            continue
        if exact or not (LOOSE.intersection(path) or path[-1].endswith("_ns")):
            yield path, value


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every plain value inside, with the way to it; places of a list count from 1."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value, start=1):
            yield from _leaves(item, (*path, str(place)))
    else:
        yield path, value


def _is_same(before: Any, after: Any, exact: bool) -> bool:
    if before == after or (before != before and after != after):  # NaN is its own like
        return True
    if exact or isinstance(before, (bool, int)) or isinstance(after, (bool, int)):
        return False
    try:
        first, second = float(before), float(after)
    except (TypeError, ValueError):
        return False
    return abs(first - second) <= NEAR_SHARE * max(abs(first), abs(second), 1.0)


def _changed(path: Sequence[str], before: Any, after: Any) -> str:
    return f"{' '.join(path).replace('_', ' ')}: {before} then, {after} now"
