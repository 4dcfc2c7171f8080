"""Our book against the broker's: what differs, and what to do about it (`data_pipeline.md` 10).

The broker is the authority for quantity per symbol, we for which strategy owns it. A difference
counts when it was seen twice, five seconds apart, with no order of its symbol on the move.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.brokers import BrokerPosition
from domain.clock import seconds
from domain.positions import Position

CONFIRM_AFTER_S = 5.0
QUIET_S = 15.0

Symbol = tuple[str, str, str]  # exchange, symbol, product


class DifferenceKind(StrEnum):
    """What a difference is."""

    MISSING_AT_BROKER = "MISSING_AT_BROKER"
    UNTRACKED = "UNTRACKED"
    QTY = "QTY"
    SIGN = "SIGN"


@dataclass(frozen=True, slots=True)
class Difference:
    """One symbol on which the books do not agree; signed units."""

    symbol: Symbol
    ours: int
    theirs: int
    kind: DifferenceKind


@dataclass(frozen=True, slots=True)
class Sighting:
    """A difference and when it was first seen like this."""

    difference: Difference
    first_ns: int


@dataclass(frozen=True, slots=True)
class Correction:
    """Signed units to book on one of our positions, so that it says what the broker shows."""

    position_key: str
    units: int
    kind: DifferenceKind


def compare(
    ours: Iterable[Position], theirs: Iterable[BrokerPosition], skip: Collection[str]
) -> list[Difference]:
    """Differences by symbol, in a steady order; symbols in `skip` are on the move and left out."""
    mine: dict[Symbol, int] = {}
    for position in ours:
        key = (position.exchange, position.symbol, position.product)
        mine[key] = mine.get(key, 0) + position.signed_quantity
    broker: dict[Symbol, int] = {}
    for row in theirs:
        key = (row.exchange, row.symbol, row.product)
        broker[key] = broker.get(key, 0) + row.quantity
    keys = sorted(key for key in mine.keys() | broker.keys() if key[1] not in skip)
    pairs = ((key, mine.get(key, 0), broker.get(key, 0)) for key in keys)
    return [Difference(key, a, b, _kind(a, b)) for key, a, b in pairs if a != b]


def sightings(
    before: Mapping[Symbol, Sighting], differences: Iterable[Difference], now_ns: int
) -> dict[Symbol, Sighting]:
    """What is seen now, each with the time since when it looks exactly so."""
    now: dict[Symbol, Sighting] = {}
    for difference in differences:
        earlier = before.get(difference.symbol)
        same = earlier is not None and earlier.difference == difference
        first_ns = earlier.first_ns if same and earlier else now_ns
        now[difference.symbol] = Sighting(difference, first_ns)
    return now


def is_confirmed(sighting: Sighting, now_ns: int) -> bool:
    """True when it was seen before, long enough ago."""
    return now_ns - sighting.first_ns >= seconds(CONFIRM_AFTER_S)


def corrections(difference: Difference, ours: Iterable[Position]) -> list[Correction]:
    """How our rows of that symbol become what the broker shows; newest strategies give first.

    None for UNTRACKED (not ours) and SIGN (a person looks): no entry is ever made to mend a book.
    """
    if difference.kind not in (DifferenceKind.MISSING_AT_BROKER, DifferenceKind.QTY):
        return []
    rows = [
        row
        for row in ours
        if (row.exchange, row.symbol, row.product) == difference.symbol and row.quantity
    ]
    rows.sort(key=lambda row: (-row.entry_ns, row.key))
    left = difference.theirs - difference.ours
    made: list[Correction] = []
    for row in rows:
        same_side = (row.signed_quantity > 0) == (left < 0)
        if left and same_side:
            units = max(-row.quantity, -abs(left)) if left < 0 else min(row.quantity, left)
            made.append(Correction(row.key, units, difference.kind))
            left -= units
    if left and rows:
        made.append(Correction(rows[0].key, left, difference.kind))
    return made


def _kind(ours: int, theirs: int) -> DifferenceKind:
    if theirs == 0:
        return DifferenceKind.MISSING_AT_BROKER
    if ours == 0:
        return DifferenceKind.UNTRACKED
    return DifferenceKind.QTY if (ours > 0) == (theirs > 0) else DifferenceKind.SIGN
