"""The rules of `tomic.md` 16 as checks of a finished run, from its tables and its journal.

`broken_rules` gives a sentence for each breach. Nothing here asks the code that decided: what was
sent, filled and told is held against the session and against itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.calendar import TradingSession
from domain.clock import NS_PER_S, exchange_time
from domain.intents import STRATEGY_TRAITS, StrategyType
from domain.orders import CommandRow, CommandStatus, Fill
from domain.positions import Position, unhedged_shorts
from persistence.commands import CommandStore
from persistence.database import open_engine
from persistence.journal import Fact, JournalStore
from persistence.positions import PositionStore

OPENING_BLOCK_S = 900  # `tomic.md` 8.2: no entry in the first quarter of an hour
COMMANDS_MAX = 10_000
ENDED = (CommandStatus.DONE, CommandStatus.FAILED)


@dataclass(frozen=True)
class Run:
    """What a run left."""

    session: TradingSession
    facts: Sequence[Fact]
    commands: Sequence[CommandRow]
    positions: Sequence[Position]
    fills: Sequence[Fill]


def read_run(data_dir: Path, session: TradingSession) -> Run:
    """From the databases of a data folder."""
    main = open_engine(f"sqlite:///{data_dir / 'tomic.db'}")
    journal = open_engine(f"sqlite:///{data_dir / 'journal.db'}")
    book = PositionStore(main)
    run = Run(
        session=session,
        facts=list(JournalStore(journal).facts()),
        commands=CommandStore(main).recent_commands(COMMANDS_MAX),
        positions=[kept.position for kept in book.positions()],
        fills=[fill for fill, _ in book.unfolded(0)],
    )
    main.dispose()
    journal.dispose()
    return run


def broken_rules(run: Run) -> list[str]:
    """A sentence for each breach; empty when every rule held."""
    return [text for check in CHECKS for text in check(run)]


def _reasons(run: Run) -> Iterator[str]:
    """Every refusal has a code and a text."""
    for fact in run.facts:
        body = fact.body
        refusals = [*(body.get("notes") or []), *([body["refusal"]] if body.get("refusal") else [])]
        for row in refusals:
            if not (row["code"].strip() and row["text"].strip()):
                yield f"{fact.kind} {fact.message_id} refused without a code or a sentence"


def _commands(run: Run) -> Iterator[str]:
    """No command is lost: each has come to an end that is known."""
    for row in run.commands:
        if row.status not in ENDED:
            yield f"command {row.command_id} of {row.strategy_tag} ended as {row.status}"


def _shorts(run: Run) -> Iterator[str]:
    """No short stands without its cover but one that was approved naked."""
    for short in unhedged_shorts(run.positions):
        yield f"naked at the end: {short}"


def _single(run: Run) -> Iterator[str]:
    """No key was accepted under two orders, no order under two keys."""
    by_key: dict[str, str] = {}
    by_order: dict[str, str] = {}
    for _, body in _told(run, "OrderAccepted"):
        key, order = body["client_order_id"], f"{body['broker']}:{body['broker_order_id']}"
        if by_key.setdefault(key, order) != order:
            yield f"{key} was sent twice: {by_key[key]} and {order}"
        if by_order.setdefault(order, key) != key:
            yield f"{order} stands for two orders of ours: {by_order[order]} and {key}"


def _hours(run: Run) -> Iterator[str]:
    """Nothing is sent outside of the session; nothing is entered while it opens."""
    session, entries = run.session, _entries(run)
    settles_ns = session.opens_ns + OPENING_BLOCK_S * NS_PER_S
    for at_ns, body in _told(run, "OrderAccepted"):
        when, key = f"{exchange_time(at_ns):%H:%M:%S}", body["client_order_id"]
        if not session.opens_ns <= at_ns < session.closes_ns:
            yield f"{key} was sent out of session, at {when}"
        elif body["command_id"] in entries and at_ns < settles_ns:
            yield f"{key} was entered in the opening block, at {when}"


def _modes(run: Run) -> Iterator[str]:
    """Nothing is entered while the gate is not active: killed, halted, or exits only."""
    entries, mode, reason = _entries(run), "halted", "not told yet"
    for fact in run.facts:
        if fact.kind == "TradingModeChanged":
            mode, reason = fact.body["mode"], fact.body["reason"]
        elif fact.kind == "OrderCleared" and fact.body["command_id"] in entries:
            if mode != "active":
                yield f"command {fact.body['command_id']} was cleared while {mode} ({reason})"


def _knowledge(run: Run) -> Iterator[str]:
    """What was entered knew its regime and its margin, and premium sold the volatility index."""
    for _, body in _told(run, "StructureOpened"):
        intent = body["intent"]
        name, strategy = intent["strategy_id"], StrategyType(intent["signal"]["strategy"])
        is_premium = STRATEGY_TRAITS[strategy].premium_selling
        if intent["regime_version"] <= 0:
            yield f"{name} was entered without a regime"
        if is_premium and intent["vix"] <= 0:
            yield f"{name} sold premium without a volatility index"
        if is_premium and float(intent["margin_required"]) <= 0:
            yield f"{name} sold premium without a known margin"


def _one_each(run: Run) -> Iterator[str]:
    """One structure an underlying at a time (`tomic.md` 2.3)."""
    standing: dict[str, str] = {}
    for fact in run.facts:
        if fact.kind == "StructureOpened":
            intent = fact.body["intent"]
            name, underlying = intent["strategy_id"], intent["signal"]["instrument"]
            if standing.setdefault(underlying, name) != name:
                yield f"{name} was opened on {underlying} beside {standing[underlying]}"
        elif fact.kind == "StructureClosed":
            gone = fact.body["strategy_id"]
            standing = {name: one for name, one in standing.items() if one != gone}


def _agreement(run: Run) -> Iterator[str]:
    """Book, fills and journal agree: what is held is what was filled, and each fill was told."""
    filled: Counter[str] = Counter()
    for fill in run.fills:
        filled[fill.symbol] += fill.quantity if fill.action == "BUY" else -fill.quantity
    held: Counter[str] = Counter()
    for row in run.positions:
        held[row.symbol] += row.quantity if row.direction == "BUY" else -row.quantity
    for symbol in sorted(filled.keys() | held.keys()):
        if filled[symbol] != held[symbol]:
            yield f"{symbol}: {filled[symbol]} units filled, {held[symbol]} in the book"
    told = {body["fill"]["fill_id"] for _, body in _told(run, "OrderFilled")}
    for fill in run.fills:
        if fill.fill_id not in told:
            yield f"fill {fill.fill_id} of {fill.symbol} is not in the journal"


CHECKS = (
    _reasons, _commands, _shorts, _single, _hours, _modes, _knowledge, _one_each, _agreement,
)  # fmt: skip


def _told(run: Run, kind: str) -> Iterator[tuple[int, Any]]:
    return ((fact.at_ns, fact.body) for fact in run.facts if fact.kind == kind)


def _entries(run: Run) -> set[int]:
    return {row.command_id for row in run.commands if not row.is_exit}
