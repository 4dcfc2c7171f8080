"""Judges one structure's whole life by the broker's own books: lost, doubled, unguarded, waiting.

The broker's order, trade and position books are the truth. Our rows, our position book and the
journal are held against them; none of them is believed by itself. Everything is a row as its own
interface gives it: HTTP fields of the broker, columns of our tables.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.clock import EXCHANGE_ZONE, epoch_ns
from domain.instruments import parse_symbol

Row = dict[str, Any]
Felt = Callable[[int, int], float]
ENDED = ("DONE", "FAILED")
NEVER_LEFT = ("WAITING", "FAILED", "REJECTED_RISK", "CANCELLED", "REJECTED")
AT_BROKER = {"complete": "FILLED", "cancelled": "CANCELLED", "rejected": "REJECTED"}
UNHEDGED_MAX_S = 5.0  # `tomic.md` 8.8, S2
ROUND_TRIP_S = 1.0
STAMP_S = 1.0  # the broker's trade book tells whole seconds


def wall_s(from_ns: int, to_ns: int) -> float:
    """Seconds between two moments, on a machine that is never late itself."""
    return (to_ns - from_ns) / 1e9


@dataclass(frozen=True)
class Books:
    """What is known of one structure: `theirs` of the broker, `ours` of our tables.

    `answered` is False for a proposal that got neither a row nor a refusal. `positions` are signed
    units by symbol, of the whole account; `facts` the fill ids that the journal tells, `cleared`
    the commands that it says the gate let pass. `felt_s` gives the seconds between two moments by
    which limits go.
    """

    their_orders: Sequence[Row]
    their_trades: Sequence[Row]
    their_positions: dict[str, int]
    commands: Sequence[Row]
    orders: Sequence[Row]
    fills: Sequence[Row]
    our_positions: dict[str, int]
    facts: Sequence[int]
    journal: Sequence[Row]
    guards: Sequence[Row] = ()
    cleared: Collection[int] = ()
    answered: bool = True
    felt_s: Felt = wall_s


@dataclass
class Verdict:
    """Sentences by what they prove; empty lists are what a good system gives."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unguarded: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """True when nothing is wrong; what waits for a person, and says why, is not."""
        return not (self.lost or self.doubled or self.unguarded)


def judge(books: Books) -> Verdict:
    """All that can be said against one structure, `theirs` being only the orders of its tags."""
    verdict = Verdict()
    _commands(books, verdict)
    _orders(books, verdict)
    _fills(books, verdict)
    _positions(books, verdict)
    _gate(books, verdict)
    if any(row.get("naked_approved") for row in books.orders):
        verdict.unguarded += unstopped(books)
    else:
        verdict.unguarded += uncovered(books.their_trades, books.felt_s)
    return verdict


def _commands(books: Books, verdict: Verdict) -> None:
    if not books.answered:
        verdict.lost.append("the proposal got neither a row nor a refusal")
    for row in books.commands:
        name = f"command {row['command_id']} ({row['event_type']})"
        why = row["last_error"] or row["error_code"]
        if row["status"] == "DEAD_LETTER" and why:
            verdict.waiting.append(f"{name} waits for a person: {why}")
        elif row["status"] not in ENDED:
            verdict.lost.append(f"{name} came to no end, it is {row['status']}: {why or 'no word'}")


def _orders(books: Books, verdict: Verdict) -> None:
    theirs: dict[str, list[Row]] = defaultdict(list)
    for row in books.their_orders:
        theirs[row["strategy"]].append(row)
    ids = Counter(row["broker_order_id"] for row in books.orders if row["broker_order_id"])
    twice = [key for key, rows in ids.items() if rows > 1]
    verdict.doubled += [f"several rows have the id {key}" for key in twice]
    for row in books.orders:
        name = f"{row['client_order_id']} ({row['action']} {row['quantity']} {row['symbol']})"
        taken = theirs.pop(row["tag"], [])
        if len(taken) > 1:
            verdict.doubled.append(f"the broker took {name} {len(taken)} times")
        if not taken:
            if row["broker_order_id"] or row["status"] not in NEVER_LEFT:
                verdict.lost.append(f"{name} is {row['status']} here, the broker has none")
            continue
        order = taken[0]
        if row["broker_order_id"] != order["orderid"]:
            verdict.lost.append(f"the broker has {name} as {order['orderid']}; we do not know it")
        elif AT_BROKER.get(order["order_status"]) != row["status"] or int(
            order["filled_quantity"]
        ) != int(row["filled_quantity"]):
            verdict.lost.append(
                f"{name} is {row['status']} {row['filled_quantity']} here,"
                f" {order['order_status']} {order['filled_quantity']} there"
            )
    for tag, rows in theirs.items():
        verdict.doubled.append(f"the broker took {len(rows)} orders of tag {tag}, which is no row")
    wanted: dict[int, int] = {}
    bought: Counter[int] = Counter()
    for row in books.orders:
        if row["purpose"] == "ENTRY":
            wanted.setdefault(row["leg_no"], int(row["quantity"]))
            bought[row["leg_no"]] += int(row["filled_quantity"])
    for leg_no, units in bought.items():
        if units > wanted[leg_no]:
            verdict.doubled.append(f"leg {leg_no} filled {units}, wanted were {wanted[leg_no]}")


def _fills(books: Books, verdict: Verdict) -> None:
    """Broker's trades, our fill rows and the journal's facts, by order."""
    traded: Counter[str] = Counter()
    for row in books.their_trades:
        traded[row["orderid"]] += int(row["quantity"])
    ids = {row["client_order_id"]: row["broker_order_id"] for row in books.orders}
    folded: Counter[str] = Counter()
    for row in books.fills:
        folded[ids.get(row["client_order_id"], "")] += int(row["quantity"])
    for order_id in traded.keys() | folded.keys():
        if traded[order_id] != folded[order_id]:
            side = verdict.lost if traded[order_id] > folded[order_id] else verdict.doubled
            side.append(f"{order_id}: the broker traded {traded[order_id]}, we {folded[order_id]}")
    untold = {int(row["fill_id"]) for row in books.fills} - set(books.facts)
    if untold:
        verdict.lost.append(f"the journal has no fact of fill(s) {sorted(untold)}")
    if books.fills and len(books.journal) != 1:
        verdict.lost.append(f"the journal has {len(books.journal)} trades of it")
    if books.fills and any(row["exit_ns"] is None for row in books.journal):
        verdict.lost.append("the journal does not know that it was closed")


def _positions(books: Books, verdict: Verdict) -> None:
    for symbol in sorted(books.their_positions.keys() | books.our_positions.keys()):
        ours, theirs = books.our_positions.get(symbol, 0), books.their_positions.get(symbol, 0)
        if ours != theirs:
            verdict.lost.append(f"{symbol}: our book holds {ours}, the broker {theirs}")
    standing = {symbol: units for symbol, units in books.their_positions.items() if units}
    if standing and not verdict.waiting:
        verdict.lost.append(f"the broker still holds {standing} of a closed structure")


def _gate(books: Books, verdict: Verdict) -> None:
    """No entry is at the broker that the gate did not let pass."""
    taken = {row["strategy"] for row in books.their_orders}
    entries = [row for row in books.orders if row["purpose"] == "ENTRY" and row["tag"] in taken]
    for command_id in sorted({row["command_id"] for row in entries} - set(books.cleared)):
        verdict.unguarded.append(f"command {command_id} was sent and the gate never cleared it")


def unstopped(books: Books) -> list[str]:
    """Naked shorts without the guard that must be armed before they are sent, or for which no stop
    was sent, nor anything bought back, within the limit from when their fill was known.

    A stop whose own outcome is unknown counts: it is looked for through the grace as any order,
    and the armed guard watches meanwhile (`tomic.md` 8.4, 8.7).
    """
    limit_s = UNHEDGED_MAX_S + ROUND_TRIP_S
    armed = {row["leg_no"]: int(row["armed_ns"]) for row in books.guards}
    rows = {row["client_order_id"]: row for row in books.orders}
    covers = [row for row in books.orders if row["action"] == "BUY" and row["sent_ns"]]
    found = []
    for fill in books.fills:
        short = rows[fill["client_order_id"]]
        if short["action"] != "SELL":
            continue
        if not 0 < armed.get(short["leg_no"], 0) <= int(short["sent_ns"]):
            found.append(f"{short['symbol']} was sold naked and no guard was armed before")
        known_ns, leg_no = int(fill["at_ns"]), short["leg_no"]
        sent = [int(row["sent_ns"]) for row in covers if row["leg_no"] == leg_no]
        if not any(books.felt_s(known_ns, at_ns) <= limit_s for at_ns in sent):
            found.append(f"{short['symbol']} was sold naked and no stop was sent in time")
    return found


def uncovered(trades: Iterable[Row], felt_s: Felt = wall_s) -> list[str]:
    """Where calls or puts of one underlying and expiry were net short for longer than the limit."""
    limit_s = UNHEDGED_MAX_S + ROUND_TRIP_S
    held: Counter[Any] = Counter()
    since: dict[Any, datetime] = {}
    found = []
    moment = None
    for row in trades:
        contract = parse_symbol(row["symbol"])
        assert contract, row["symbol"]
        key = (contract.name, contract.expiry, contract.kind)
        moment = datetime.fromisoformat(row["timestamp"])
        held[key] += int(row["quantity"]) * (1 if row["action"] == "BUY" else -1)
        if held[key] < 0:
            since.setdefault(key, moment)
        elif key in since:
            stood_s = felt_s(_ns(since.pop(key)), _ns(moment))
            if stood_s > limit_s + STAMP_S:
                found.append(f"{key[0]} {key[2].value}: short without cover for {stood_s:.0f} s")
    found += [f"{key[0]} {key[2].value}: short without cover at the end" for key in since]
    return found


def _ns(moment: datetime) -> int:
    """Of a time as the broker tells it, by the exchange's wall."""
    return epoch_ns(moment.replace(tzinfo=EXCHANGE_ZONE))
