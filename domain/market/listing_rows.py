"""Which row of its columns a listing has: dense, by order of coming, found without a dictionary."""

from __future__ import annotations

import numpy as np

_ROOM_FIRST = 64


class ListingRows:
    """Rows of listings; a row once given stays."""

    def __init__(self) -> None:
        self.listings = np.zeros(0, np.uint32)
        self.row_of = np.full(1, -1, np.int32)  # by listing_id; its last is of no listing

    def __len__(self) -> int:
        return len(self.listings)

    def find(self, listing_ids: np.ndarray) -> np.ndarray:
        """Their rows; -1 for one that has none."""
        rows: np.ndarray = self.row_of.take(listing_ids, mode="clip")
        return rows

    def add(self, listing_ids: np.ndarray) -> int:
        """Gives rows to those that have none; returns how many these were."""
        wanted = np.asarray(listing_ids, np.int64)
        fresh = np.sort(wanted[self.find(wanted) < 0])  # np.unique takes ten times as long
        fresh = fresh[np.flatnonzero(np.diff(fresh, prepend=-1))]
        if not len(fresh):
            return 0
        if fresh[-1] >= len(self.row_of) - 1:
            longer = np.full(int(fresh[-1]) * 2 + _ROOM_FIRST, -1, np.int32)
            longer[: len(self.row_of)] = self.row_of
            self.row_of = longer
        self.row_of[fresh] = np.arange(len(self), len(self) + len(fresh))
        self.listings = np.append(self.listings, fresh.astype(np.uint32))
        return len(fresh)
