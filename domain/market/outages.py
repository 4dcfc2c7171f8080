"""When which listings were not heard: bars of those minutes are partial until history tells them.

An outage is of all listings, or of some that no socket carried.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from domain.clock import NS_PER_MINUTE


class Outages:
    """The outages of a session: past ones, and the listings that are not carried now."""

    def __init__(self) -> None:
        self.uncarried: dict[int, int] = {}
        self._past: list[tuple[int, int, np.ndarray | None]] = []

    def clear(self) -> None:
        """A new session begins; what is not carried stays so."""
        self._past.clear()

    def add(self, from_ns: int, to_ns: int, listings: np.ndarray | None = None) -> None:
        """Nothing was heard in [from, to) of these listings, or of any."""
        self._past.append((from_ns, to_ns, listings))

    def now_uncarried(self, since_ns: Mapping[int, int]) -> dict[int, int]:
        """Takes which listings are not carried now, and since when. Returns those that are carried
        again, with the beginning of their outage. One that stays keeps its earliest beginning."""
        before = self.uncarried
        self.uncarried = {
            row: min(since, before.get(row, since)) for row, since in since_ns.items()
        }
        return {row: since for row, since in before.items() if row not in since_ns}

    def touched(self, minute_ns: int, listings: np.ndarray) -> np.ndarray:
        """True for each of these listings of which that minute was not heard whole."""
        starts = np.array([minute_ns])
        gone = [row for row, since in self.uncarried.items() if since < minute_ns + NS_PER_MINUTE]
        found: np.ndarray = np.isin(listings, gone)
        for from_ns, to_ns, of in self._past:
            if overlaps(starts, from_ns, to_ns)[0]:
                found |= True if of is None else np.isin(listings, of)
        return found


def overlaps(starts_ns: np.ndarray, from_ns: int, to_ns: int) -> np.ndarray:
    """True where the minute that begins at `starts_ns` overlaps [from, to)."""
    inside: np.ndarray = (starts_ns < to_ns) & (starts_ns + NS_PER_MINUTE > from_ns)
    return inside
