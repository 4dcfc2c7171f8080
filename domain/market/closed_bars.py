"""Closed bars of a session, by listing, with the sums that make the session's VWAP.

Filled by domain.market.bars once a minute; read by aggregation, warm start and swings. VWAP is the
sum of typical price times volume over closed bars by the sum of volumes (`data_pipeline.md` 3).
A minute's bars of all listings are put in at once: the nth bar of each stands in layer n, and a
block is 32 layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.clock import NS_PER_MINUTE
from domain.market.fold_columns import gather, scatter
from domain.market.listing_rows import ListingRows
from domain.market.outages import overlaps
from domain.prices import BAR_DTYPE

BARS_KEPT = 400  # a whole session, which a rebuilt VWAP and swings need
BARS_PRUNED_ABOVE = 450
THIN_BELOW_TICKS = 5
_LAYERS = BARS_PRUNED_ABOVE + 1  # then the next bar takes the layer of the oldest again
_LAYERS_A_BLOCK = 32
_ROWS_FIRST = 1_024
_RAW = np.dtype(f"V{BAR_DTYPE.itemsize}")  # numpy copies plain bytes faster than field by field
_SUMS_DTYPE = np.dtype(
    [
        ("first", "<i8"), ("end", "<i8"),  # numbers of the oldest bar kept, and of the next one
        ("value", "<f8"), ("volume", "<i8"),  # of all bars so far
        ("pruned_value", "<f8"), ("pruned_volume", "<i8"),
    ]
)  # fmt: skip


def typical_value(bars: np.ndarray) -> np.ndarray:
    """(H + L + C) / 3 x V of each bar, float64."""
    value: np.ndarray = (bars["high"] + bars["low"] + bars["close"]) / 3.0 * bars["volume"]
    return value


def is_thin(bars: np.ndarray) -> np.ndarray:
    """True where a bar's quality is `thin`: fewer than five ticks, or no volume."""
    thin: np.ndarray = (bars["tick_count"] < THIN_BELOW_TICKS) | (bars["volume"] <= 0)
    return thin


@dataclass(frozen=True, slots=True)
class Quality:
    """How a listing's session was heard: bars, of these thin, partial and told by history; minutes
    without any; and its VWAP, None while no volume."""

    bars: int
    thin: int
    partial: int
    history: int
    gaps: int
    vwap: float | None

    def __str__(self) -> str:
        vwap = "none" if self.vwap is None else f"{self.vwap:.4f}"
        return (
            f"bars {self.bars} | thin {self.thin} | partial {self.partial} | "
            f"history {self.history} | gaps {self.gaps} | VWAP {vwap}"
        )


class ClosedBars:
    """All closed one-minute bars of the running session."""

    def __init__(self) -> None:
        self._rows = ListingRows()
        self._sums = np.zeros(0, _SUMS_DTYPE)
        self._blocks: list[np.ndarray] = []
        self._spans: dict[int, tuple[int, int]] = {}  # by layer: earliest and latest start

    def clear(self) -> None:
        """Forgets everything: a new session begins."""
        self._sums[:] = 0
        self._blocks.clear()
        self._spans.clear()

    def append(self, bars: np.ndarray) -> None:
        """Keeps closed bars of one minute, later than every listing's last, and writes their `vwap`
        column."""
        rows = self._rows_of(bars["listing"])
        sums = gather(self._sums, rows)
        sums["value"] += typical_value(bars)
        sums["volume"] += bars["volume"]
        bars["vwap"] = _vwap(sums["value"], sums["volume"])
        self._store(rows, sums["end"], bars)
        sums["end"] += 1
        scatter(self._sums, rows, sums)
        full = rows[sums["end"] - sums["first"] > BARS_PRUNED_ABOVE]
        if len(full):
            self._prune(full)

    def upsert(self, history: np.ndarray) -> np.ndarray:
        """Puts whole bars in the place of partial or missing minutes, partial ones in that of
        missing minutes; never adds to a running sum.

        Returns what was put in, ascending by listing and start, with its rebuilt VWAP.
        """
        changed = [
            self._upsert_one(int(listing), history[history["listing"] == listing])
            for listing in np.unique(history["listing"])
        ]
        return np.concatenate(changed) if changed else np.zeros(0, BAR_DTYPE)

    def mark_partial(self, from_ns: int, to_ns: int, listings: np.ndarray | None = None) -> None:
        """Marks the bars, of these listings or of all, whose minute overlaps an outage."""
        rows = np.arange(len(self._rows))
        if listings is not None:
            rows = self._rows.find(listings)
            rows = rows[rows >= 0]
        for layer in self._layers_between(from_ns - NS_PER_MINUTE, to_ns):
            some = rows[rows < len(layer)]
            layer["partial"][some] |= overlaps(layer["start_ns"][some], from_ns, to_ns)

    def window(self, listing: int) -> np.ndarray:
        """A copy of the closed bars of one listing, ascending; empty when it has none."""
        row = int(self._rows.find(np.array([listing]))[0])
        if row < 0 or self._sums["first"][row] == self._sums["end"][row]:
            return np.zeros(0, BAR_DTYPE)
        numbers = np.arange(self._sums["first"][row], self._sums["end"][row])
        layers = [block.view(_RAW)[:, row] for block in self._blocks if row < block.shape[1]]
        kept: np.ndarray = np.concatenate(layers)[numbers % _LAYERS].view(BAR_DTYPE)
        return kept

    def between(self, from_ns: int, to_ns: int) -> np.ndarray:
        """Bars of all listings with from <= start < to, by listing, then start."""
        parts = [np.zeros(0, BAR_DTYPE)]
        for layer in self._layers_between(from_ns, to_ns):
            starts = layer["start_ns"]
            parts.append(layer[(starts >= max(from_ns, 1)) & (starts < to_ns)])  # 0 is no bar
        found = np.concatenate(parts)
        return found[np.lexsort((found["start_ns"], found["listing"]))]

    def gaps(self, listing: int) -> list[int]:
        """Starts of minutes without a bar between the first and the last bar of a listing."""
        starts = self.window(listing)["start_ns"]
        if not len(starts):
            return []
        every = np.arange(starts[0], starts[-1], NS_PER_MINUTE)
        missing: list[int] = np.setdiff1d(every, starts).tolist()
        return missing

    def quality(self, listing: int) -> Quality:
        """What the session of a listing was worth so far."""
        bars, (value, volume) = self.window(listing), self.sums(listing)
        ticked = bars[~bars["history"]]  # history tells no count of ticks
        return Quality(
            bars=len(bars),
            thin=int(is_thin(ticked).sum()),
            partial=int(bars["partial"].sum()),
            history=int(bars["history"].sum()),
            gaps=len(self.gaps(listing)),
            vwap=value / volume if volume else None,
        )

    def sums(self, listing: int) -> tuple[float, int]:
        """Sum of typical value and sum of volume over the closed bars of a listing."""
        row = int(self._rows.find(np.array([listing]))[0])
        if row < 0:
            return 0.0, 0
        return float(self._sums["value"][row]), int(self._sums["volume"][row])

    def _rows_of(self, listings: np.ndarray) -> np.ndarray:
        """Rows of listings; what is new gets one."""
        rows = self._rows.find(listings)
        if len(rows) and rows.min() < 0:
            fresh = self._rows.add(listings)
            self._sums = np.append(self._sums, np.zeros(fresh, _SUMS_DTYPE))
            rows = self._rows.find(listings)
        return rows

    def _store(self, rows: np.ndarray, numbers: np.ndarray, bars: np.ndarray) -> None:
        """Puts the bar of that number in for each row; a row may come with several numbers."""
        raw = bars.view(_RAW)
        if (numbers[1:] < numbers[:-1]).any():
            order = np.argsort(numbers, kind="stable")
            numbers, rows, raw = numbers[order], rows[order], raw[order]
        edges = np.flatnonzero(np.diff(numbers)) + 1
        for first, end in zip([0, *edges], [*edges, len(rows)], strict=True):
            if first < end:
                slot, put = int(numbers[first]) % _LAYERS, raw[first:end]
                self._layer(slot).view(_RAW)[rows[first:end]] = put
                starts = put.view(BAR_DTYPE)["start_ns"]
                since, until = self._spans.get(slot, (int(starts[0]), 0))
                self._spans[slot] = min(since, int(starts.min())), max(until, int(starts.max()))

    def _layers_between(self, from_ns: int, to_ns: int) -> list[np.ndarray]:
        """Layers that may hold a bar with from <= start < to."""
        return [
            self._layer(slot)
            for slot, (since, until) in sorted(self._spans.items())
            if since < to_ns and until >= from_ns
        ]

    def _layer(self, slot: int) -> np.ndarray:
        """The layer with room for every row; pages that no bar was put on take no memory."""
        room = max(_ROWS_FIRST, 1 << (len(self._rows) - 1).bit_length())
        number = slot // _LAYERS_A_BLOCK
        while number >= len(self._blocks):
            self._blocks.append(np.zeros((_LAYERS_A_BLOCK, room), BAR_DTYPE))
        block = self._blocks[number]
        if block.shape[1] < len(self._rows):
            wider = self._blocks[number] = np.zeros((_LAYERS_A_BLOCK, room), BAR_DTYPE)
            wider.view(_RAW)[:, : block.shape[1]] = block.view(_RAW)
        layer: np.ndarray = self._blocks[number][slot % _LAYERS_A_BLOCK]
        return layer

    def _prune(self, rows: np.ndarray) -> None:
        """Leaves these rows their newest bars; the sums keep the others."""
        sums = self._sums[rows]
        while len(rows):
            for slot in np.unique(sums["first"] % _LAYERS).tolist():
                mine = sums["first"] % _LAYERS == slot
                layer = self._layer(slot)
                gone = layer[rows[mine]]
                sums["pruned_value"][mine] += typical_value(gone)
                sums["pruned_volume"][mine] += gone["volume"]
                layer["start_ns"][rows[mine]] = 0
            sums["first"] += 1
            self._sums[rows] = sums
            more = sums["end"] - sums["first"] > BARS_KEPT
            rows, sums = rows[more], sums[more]

    def _upsert_one(self, listing: int, history: np.ndarray) -> np.ndarray:
        row = self._rows_of(np.array([listing]))
        sums, kept = self._sums[row[0]], self.window(listing)
        whole = np.isin(history["start_ns"], kept[~kept["partial"]]["start_ns"])
        worse = history["partial"] & np.isin(history["start_ns"], kept["start_ns"])
        # A series that was pruned cannot take older minutes in again: they are in its sums already.
        since = kept["start_ns"][0] if sums["pruned_volume"] and len(kept) else 0
        wanted = ~whole & ~worse & (history["start_ns"] >= since)
        fresh = _last_of_each_start(history[wanted])
        if not len(fresh):
            return fresh
        stays = kept[~np.isin(kept["start_ns"], fresh["start_ns"])]
        merged = np.concatenate([stays, fresh])
        merged = merged[np.argsort(merged["start_ns"], kind="stable")]
        self._replace(row, merged)
        put: np.ndarray = merged[np.isin(merged["start_ns"], fresh["start_ns"])]
        return put

    def _replace(self, row: np.ndarray, bars: np.ndarray) -> None:
        """The row's bars become these (ascending, no fewer than before); its sums and their VWAP
        are made again from them."""
        sums = self._sums[row[0]]
        value = sums["pruned_value"] + np.cumsum(typical_value(bars))
        volume = sums["pruned_volume"] + np.cumsum(bars["volume"])
        bars["vwap"] = _vwap(value, volume)
        kept = bars[-BARS_KEPT:] if len(bars) > BARS_PRUNED_ABOVE else bars
        if len(kept) < len(bars):
            before = len(bars) - len(kept) - 1
            sums["pruned_value"], sums["pruned_volume"] = value[before], volume[before]
        sums["value"], sums["volume"] = value[-1], volume[-1]
        sums["end"] = sums["first"] + len(kept)
        numbers = np.arange(sums["first"], sums["end"])
        self._store(np.repeat(row, len(kept)), numbers, kept)


def _vwap(value: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """NaN while no volume."""
    mean: np.ndarray = np.where(volume > 0, value / np.maximum(volume, 1), np.nan)
    return mean


def _last_of_each_start(bars: np.ndarray) -> np.ndarray:
    ordered = bars[np.argsort(bars["start_ns"], kind="stable")]
    result: np.ndarray = ordered[
        np.append(ordered["start_ns"][1:] != ordered["start_ns"][:-1], True)[: len(ordered)]
    ]
    return result
