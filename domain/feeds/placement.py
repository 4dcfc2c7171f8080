"""Which shard carries which listing: balanced to a difference of one, with as few moves as can
be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Parts = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Placement:
    """Listings by shard, and those that found no room (in order of preference)."""

    parts: Parts
    unplaced: tuple[int, ...] = ()


def place(
    current: Mapping[str, Sequence[int]],
    wanted: Sequence[int],
    shards: Sequence[str],
    *,
    capacity: int,
) -> Placement:
    """Carries `wanted` (most important first) on the living `shards`, `capacity` listings each.

    What a living shard carries stays with it, the rest goes to the shard with the fewest (ties to
    the first), then the newest of the fullest move until no two differ by more than one
    (`subscriptions.md` 6). With no living shard everything is unplaced.
    """
    carried = list(dict.fromkeys(wanted))[: capacity * len(shards)]
    unplaced = tuple(dict.fromkeys(wanted))[len(carried) :]
    keep = set(carried)
    parts = {name: [row for row in current.get(name, ()) if row in keep] for name in shards}
    placed = {row for rows in parts.values() for row in rows}
    for row in carried:
        if row not in placed:
            parts[_emptiest(parts)].append(row)
    while parts and len(parts[full := _fullest(parts)]) - len(parts[low := _emptiest(parts)]) > 1:
        parts[low].append(parts[full].pop())
    return Placement({name: tuple(rows) for name, rows in parts.items()}, unplaced)


def _emptiest(parts: Mapping[str, list[int]]) -> str:
    return min(parts, key=lambda name: len(parts[name]))


def _fullest(parts: Mapping[str, list[int]]) -> str:
    return max(parts, key=lambda name: len(parts[name]))
