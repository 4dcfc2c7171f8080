"""From a broker's token to the instrument's row number, for whole columns at once.

Works like a processor's page table: per segment a directory of pages, a page for each block of
tokens that holds at least one. Three array reads a tick and no hashing; memory follows the listed
tokens (4 kB a touched block), so an index token of a hundred million costs a small directory only.
"""

from __future__ import annotations

import numpy as np

from adapters.packets import UNKNOWN_ROW

PAGE_BITS = 10
PAGE_TOKENS = 1 << PAGE_BITS
SEGMENTS_MAX = 256
TOKEN_MAX = 2**31 - 1  # keeps a directory below 8 MB a segment


class TokenTable:
    """Row numbers by (segment, token), fixed for the day once built."""

    def __init__(self, segments: np.ndarray, tokens: np.ndarray, rows: np.ndarray) -> None:
        """Three columns of equal length. Raises ValueError for a token listed twice in a segment,
        and for a segment, token or row out of range."""
        segments, tokens, rows = (
            np.asarray(column, np.int64) for column in (segments, tokens, rows)
        )
        _check("segment", segments, SEGMENTS_MAX - 1)
        _check("token", tokens, TOKEN_MAX)
        _check("row", rows, 2**31 - 1)
        self._limits = np.zeros(SEGMENTS_MAX, np.int64)
        np.maximum.at(self._limits, segments, tokens + 1)
        blocks = (self._limits + PAGE_TOKENS - 1) >> PAGE_BITS
        self._bases = np.concatenate([[0], np.cumsum(blocks)[:-1]])
        entries = self._bases[segments] + (tokens >> PAGE_BITS)
        used, page_of = np.unique(entries, return_inverse=True)
        self._directory = np.zeros(int(blocks.sum()) or 1, np.int32)
        self._directory[used] = np.arange(1, len(used) + 1)  # page 0 is for what is not listed
        self._pages = np.full((len(used) + 1) * PAGE_TOKENS, UNKNOWN_ROW, np.int32)
        places = ((page_of + 1) << PAGE_BITS) | (tokens & (PAGE_TOKENS - 1))
        twice = np.flatnonzero(np.bincount(np.unique(places, return_inverse=True)[1]) > 1)
        if len(twice):
            place = np.unique(places)[twice[0]]
            at = int(np.flatnonzero(places == place)[0])
            raise ValueError(f"token {tokens[at]} of segment {segments[at]} is listed twice")
        self._pages[places] = rows

    @property
    def size_bytes(self) -> int:
        """Memory of the table."""
        return self._directory.nbytes + self._pages.nbytes

    def rows_of(self, segments: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """int32 rows of two columns of whole numbers; UNKNOWN_ROW where nothing is listed.
        Segments are 0 to 255, tokens anything."""
        known = (tokens >= 0) & (tokens < self._limits[segments])
        inside = np.where(known, tokens, 0)
        entries = np.where(known, self._bases[segments] + (inside >> PAGE_BITS), 0)
        pages = np.where(known, self._directory[entries], 0).astype(np.int64)
        return self._pages[(pages << PAGE_BITS) | (inside & (PAGE_TOKENS - 1))]


def _check(name: str, column: np.ndarray, most: int) -> None:
    wrong = column[(column < 0) | (column > most)]
    if len(wrong):
        raise ValueError(f"{name} {wrong[0]} is outside 0 to {most}")
