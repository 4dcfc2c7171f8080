"""From a broker's token to the instrument's row number, for whole columns at once.

Works like a processor's page table: per segment a directory of pages, a page for each block of
tokens that holds at least one. Three array reads a tick and no hashing; memory follows the listed
tokens (4 kB a touched block), so an index token of a hundred million costs a small directory only.
"""

from __future__ import annotations

import numpy as np

from adapters.machine_code import CODE, address
from adapters.packets import UNKNOWN_ROW

PAGE_BITS = 10
PAGE_TOKENS = 1 << PAGE_BITS
SEGMENTS_MAX = 256
TOKEN_MAX = 2**31 - 1  # keeps a directory below 8 MB a segment
TOKEN_TWICE, BAD_TOKEN = "token_twice", "bad_token"


class TokenTable:
    """Row numbers by (segment, token), fixed for the day once built.

    `refused` says of each row that has no place here why: `token_twice` (several rows claim one
    token, so a price could be any of theirs: none gets it) or `bad_token` (out of range).
    """

    def __init__(
        self, segments: np.ndarray, tokens: np.ndarray, rows: np.ndarray, low_bits: int = 0
    ) -> None:
        """Three columns of equal length: segments of 0 to 255, rows of 0 to 2^31 - 1 (ValueError
        for others), and tokens, without so many low bits that those of packets have."""
        self._low_bits = low_bits
        segments, tokens, rows = (
            np.asarray(column, np.int64) for column in (segments, tokens, rows)
        )
        _check("segment", segments, SEGMENTS_MAX - 1)
        _check("row", rows, 2**31 - 1)
        outside = (tokens < 0) | (tokens > TOKEN_MAX)
        names = segments << 31 | np.where(outside, 0, tokens)
        _, name_of = np.unique(names[~outside], return_inverse=True)
        twice = np.zeros(len(rows), bool)
        twice[~outside] = (np.bincount(name_of) > 1)[name_of]
        self.refused = dict.fromkeys(rows[outside].tolist(), BAD_TOKEN)
        self.refused |= dict.fromkeys(rows[twice].tolist(), TOKEN_TWICE)
        good = ~(outside | twice)
        self._fill(segments[good], tokens[good], rows[good])

    def _fill(self, segments: np.ndarray, tokens: np.ndarray, rows: np.ndarray) -> None:
        self._limits = np.zeros(SEGMENTS_MAX, np.int64)
        np.maximum.at(self._limits, segments, tokens + 1)
        blocks = (self._limits + PAGE_TOKENS - 1) >> PAGE_BITS
        self._bases = np.concatenate([[0], np.cumsum(blocks)[:-1]])
        entries = self._bases[segments] + (tokens >> PAGE_BITS)
        used, page_of = np.unique(entries, return_inverse=True)
        self._directory = np.zeros(int(blocks.sum()) or 1, np.int32)
        self._directory[used] = np.arange(1, len(used) + 1)  # page 0 is for what is not listed
        self._pages = np.full((len(used) + 1) * PAGE_TOKENS, UNKNOWN_ROW, np.int32)
        self._pages[((page_of + 1) << PAGE_BITS) | (tokens & (PAGE_TOKENS - 1))] = rows
        columns = self._limits, self._bases, self._directory, self._pages
        self._addresses = [address(column) for column in columns]

    @property
    def size_bytes(self) -> int:
        """Memory of the table."""
        return self._directory.nbytes + self._pages.nbytes

    def name(self, packets: np.ndarray) -> None:
        """Puts into each packet (PACKET_DTYPE) the row of its segment and token."""
        if CODE is None:
            packets["row"] = self.rows_of(packets["segment"], packets["token"] >> self._low_bits)
        else:
            CODE.rows_of(address(packets), len(packets), self._low_bits, *self._addresses)

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
