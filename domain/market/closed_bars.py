"""Closed bars of a session, by listing, with the sums that make the session's VWAP.

Filled by domain.market.bars once a minute; read by aggregation, warm start and swings. VWAP is the
sum of typical price times volume over closed bars by the sum of volumes (`data_pipeline.md` 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.clock import NS_PER_MINUTE
from domain.market.outages import overlaps
from domain.prices import BAR_DTYPE

BARS_KEPT = 400  # a whole session, which a rebuilt VWAP and swings need
BARS_PRUNED_ABOVE = 450
THIN_BELOW_TICKS = 5
_CAPACITY_FIRST = 32


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


class _Series:
    """Bars of one listing in a growing array; its sums `value` and `volume` include pruned bars."""

    __slots__ = ("bars", "count", "pruned_value", "pruned_volume", "value", "volume")

    def __init__(self) -> None:
        self.bars = np.zeros(_CAPACITY_FIRST, BAR_DTYPE)
        self.count = 0
        self.value = self.pruned_value = 0.0
        self.volume = self.pruned_volume = 0

    @property
    def kept(self) -> np.ndarray:
        return self.bars[: self.count]

    def append(self, bar: np.void) -> float:
        """Keeps a bar and returns the VWAP up to it; NaN while no volume."""
        if self.count == len(self.bars):
            self.bars = np.concatenate([self.bars, np.zeros_like(self.bars)])
        self.value += float(bar["high"] + bar["low"] + bar["close"]) / 3.0 * int(bar["volume"])
        self.volume += int(bar["volume"])
        vwap = self.value / self.volume if self.volume else float("nan")
        self.bars[self.count] = bar
        self.bars[self.count]["vwap"] = vwap
        self.count += 1
        if self.count > BARS_PRUNED_ABOVE:
            self._prune()
        return vwap

    def replace(self, bars: np.ndarray) -> None:
        """Becomes these bars (ascending); sums and VWAP are made again from them."""
        self.bars, self.count = bars.copy(), len(bars)
        value = self.pruned_value + np.cumsum(typical_value(bars))
        volume = self.pruned_volume + np.cumsum(bars["volume"])
        self.bars["vwap"] = np.where(volume > 0, value / np.maximum(volume, 1), np.nan)
        self.value = float(value[-1]) if len(bars) else self.pruned_value
        self.volume = int(volume[-1]) if len(bars) else self.pruned_volume

    def _prune(self) -> None:
        gone = self.bars[: self.count - BARS_KEPT]
        self.pruned_value += float(typical_value(gone).sum())
        self.pruned_volume += int(gone["volume"].sum())
        self.bars = self.bars[self.count - BARS_KEPT : self.count].copy()
        self.count = BARS_KEPT


class ClosedBars:
    """All closed one-minute bars of the running session."""

    def __init__(self) -> None:
        self._series: dict[int, _Series] = {}

    def clear(self) -> None:
        """Forgets everything: a new session begins."""
        self._series.clear()

    def append(self, bars: np.ndarray) -> None:
        """Keeps closed bars, each later than its listing's last, and writes their `vwap` column."""
        for row, listing in enumerate(bars["listing"].tolist()):
            series = self._series.setdefault(listing, _Series())
            bars["vwap"][row] = series.append(bars[row])

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
        for listing in self._series if listings is None else listings.tolist():
            kept = self.window(listing)
            kept["partial"] |= overlaps(kept["start_ns"], from_ns, to_ns)

    def window(self, listing: int) -> np.ndarray:
        """Closed bars of one listing, ascending; empty when it has none."""
        series = self._series.get(listing)
        return series.kept if series else np.zeros(0, BAR_DTYPE)

    def between(self, from_ns: int, to_ns: int) -> np.ndarray:
        """Bars of all listings with from <= start < to, by listing, then start."""
        parts = []
        for listing in sorted(self._series):
            kept = self._series[listing].kept
            first, last = np.searchsorted(kept["start_ns"], [from_ns, to_ns])
            parts.append(kept[first:last])
        return np.concatenate(parts) if parts else np.zeros(0, BAR_DTYPE)

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
        series = self._series.get(listing)
        return (series.value, series.volume) if series else (0.0, 0)

    def _upsert_one(self, listing: int, history: np.ndarray) -> np.ndarray:
        series = self._series.setdefault(listing, _Series())
        kept = series.kept
        whole = np.isin(history["start_ns"], kept[~kept["partial"]]["start_ns"])
        worse = history["partial"] & np.isin(history["start_ns"], kept["start_ns"])
        # A series that was pruned cannot take older minutes in again: they are in its sums already.
        since = kept["start_ns"][0] if series.pruned_volume and len(kept) else 0
        wanted = ~whole & ~worse & (history["start_ns"] >= since)
        fresh = _last_of_each_start(history[wanted])
        if not len(fresh):
            return fresh
        stays = kept[~np.isin(kept["start_ns"], fresh["start_ns"])]
        merged = np.concatenate([stays, fresh])
        series.replace(merged[np.argsort(merged["start_ns"], kind="stable")])
        return series.kept[np.isin(series.kept["start_ns"], fresh["start_ns"])]


def _last_of_each_start(bars: np.ndarray) -> np.ndarray:
    ordered = bars[np.argsort(bars["start_ns"], kind="stable")]
    result: np.ndarray = ordered[
        np.append(ordered["start_ns"][1:] != ordered["start_ns"][:-1], True)[: len(ordered)]
    ]
    return result
