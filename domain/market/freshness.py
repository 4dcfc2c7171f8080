"""Is the market data alive? Coverage and the heartbeat line, and the gate that holds back entries.

`data_pipeline.md` 4. Exits and stop orders never ask this gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from domain.clock import NS_PER_S, seconds
from domain.freshness import AHEAD_MAX_S, told_ns
from domain.stamps import Stamps

AHEAD_MAX_NS = seconds(5.0)
ALIVE_AGE_NS = seconds(60.0)
STALE_AGE_NS = seconds(300.0)
COVERAGE_WARN_PERCENT, COVERAGE_CRITICAL_PERCENT = 100.0, 90.0
GATE_COVERAGE_PERCENT = 50.0
GATE_LOW_CHECKS_MAX = 3
GATE_CHECK_EVERY_NS = seconds(30.0)
GATE_TICK_AGE_NS = seconds(30.0)
GATE_BAR_AGE_NS = seconds(120.0)
GATE_HEALTHY_NS = seconds(60.0)
WARMED_UP = ("ok", "empty", "disabled")


class LastSeen:
    """Per listing the newest arrival of a tick, the newest time a price of it was true, and since
    when it is subscribed. Arrivals prove a listing alive (coverage); entries go by the other."""

    def __init__(self) -> None:
        self._received = np.zeros(1, np.int64)
        self._true = np.zeros(1, np.int64)
        self._since = np.zeros(1, np.int64)
        self.newest_ns = 0

    def hear(self, ticks: np.ndarray) -> None:
        """Takes a TICK_DTYPE batch; only what proves a symbol alive counts (rules 2 to 4)."""
        ahead = ticks["ts_ns"] > ticks["received_ns"] + AHEAD_MAX_NS
        ticks = ticks[(ticks["ltp"] > 0) & ~ahead]
        if not len(ticks):
            return
        self._grow(int(ticks["listing"].max()))
        np.maximum.at(self._received, ticks["listing"], ticks["received_ns"])
        np.maximum.at(self._true, ticks["listing"], told_ns(ticks))
        self.newest_ns = max(self.newest_ns, int(ticks["received_ns"].max()))

    def forget_ahead(self, now_ns: int) -> None:
        """The clock may have been set back: what bears a later time is as good as never seen, so
        that the next tick counts again."""
        limit_ns = now_ns + seconds(AHEAD_MAX_S)
        if self.newest_ns > limit_ns:
            self.newest_ns = 0
            for stamps in (self._received, self._true):
                stamps[stamps > limit_ns] = 0

    def want(self, listing_ids: np.ndarray, now_ns: int) -> None:
        """These listings are subscribed; those new to it age from now on."""
        ids = np.asarray(listing_ids, np.int64)
        if len(ids):
            self._grow(int(ids.max()))
            self._since[ids[self._since[ids] == 0]] = now_ns

    def drop(self, listing_ids: np.ndarray) -> None:
        """These listings are not subscribed any more."""
        self._since[np.asarray(listing_ids, np.int64)] = 0

    def named(self, names: Mapping[int, str]) -> Stamps:
        """When the newest price of each was true by its source, by the names of these listings;
        without those never seen."""
        ids = np.fromiter(names, np.int64, len(names))
        inside = ids < len(self._true)
        stamps = np.zeros(len(ids), np.int64)
        stamps[inside] = self._true[ids[inside]]
        is_seen = stamps > 0
        return Stamps.packed(compress(names.values(), is_seen.tolist()), stamps[is_seen])

    def true_ns(self, listing_id: int) -> int:
        """When the newest price of that listing was true by its source; 0 when none was seen."""
        return int(self._true[listing_id]) if listing_id < len(self._true) else 0

    def clear(self) -> None:
        """A new session: nothing has been seen."""
        self._received[:] = self._true[:] = 0
        self.newest_ns = 0

    def wanted(self) -> tuple[np.ndarray, np.ndarray]:
        """(last received, subscribed since) of the subscribed listings."""
        subscribed = self._since > 0
        return self._received[subscribed], self._since[subscribed]

    def _grow(self, listing_id: int) -> None:
        if listing_id >= len(self._received):
            more = np.zeros(listing_id + 1 - len(self._received) + 256, np.int64)
            self._received = np.concatenate([self._received, more])
            self._true = np.concatenate([self._true, more])
            self._since = np.concatenate([self._since, more])


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what is subscribed is alive; `percent` to one decimal as the line shows it."""

    seen: int
    subscribed: int
    percent: float
    stale: int

    def line(self, positions: int) -> str:
        """The heartbeat line, in exactly the form of `data_pipeline.md` 4."""
        return (
            f"[HEARTBEAT] Positions: {positions} | Data: {self.seen}/{self.subscribed} | "
            f"Coverage: {self.percent:.1f}% | Stale: {self.stale}"
        )

    def level(self, connected: bool) -> str:
        """CRITICAL, WARNING or INFO."""
        if self.percent < COVERAGE_CRITICAL_PERCENT or not connected:
            return "CRITICAL"
        return "WARNING" if self.percent < COVERAGE_WARN_PERCENT or self.stale else "INFO"


def measure_coverage(seen: LastSeen, now_ns: int) -> Coverage:
    """Coverage at a moment; a symbol that never ticked ages from its subscription."""
    received, since = seen.wanted()
    count = len(received)
    ticked = received > 0
    ages = now_ns - np.where(ticked, received, since)
    alive = int(np.count_nonzero(ticked & (ages <= ALIVE_AGE_NS)))
    percent = 100.0 * alive / count if count else 0.0
    stale = int(np.count_nonzero(ages > STALE_AGE_NS))
    return Coverage(int(np.count_nonzero(ticked)), count, percent, stale)


@dataclass(frozen=True, slots=True)
class EntryGate:
    """State of the entry gate; `next_gate` gives the following one. Times in epoch nanoseconds."""

    is_open: bool = True
    reason: str = ""
    low_checks: int = 0
    checked_ns: int = 0
    healthy_since_ns: int = 0


def next_gate(
    gate: EntryGate, *, percent: float, tick_ns: int, bar_ns: int, now_ns: int
) -> EntryGate:
    """The gate after looking at coverage, the newest tick and the newest closed bar.

    Coverage is checked every 30 s and blocks at the third low check in a row; silence of 30 s or no
    bar for 120 s blocks at once. It opens again after 60 s without a fault.
    """
    checks, checked_ns = gate.low_checks, gate.checked_ns
    if now_ns - checked_ns >= GATE_CHECK_EVERY_NS:
        checked_ns = now_ns
        checks = checks + 1 if percent < GATE_COVERAGE_PERCENT else 0
    gate = replace(gate, low_checks=checks, checked_ns=checked_ns)
    fault = _fault(checks, percent, now_ns - tick_ns, now_ns - bar_ns)
    if fault:
        return replace(gate, is_open=False, reason=fault, healthy_since_ns=0)
    if gate.is_open:
        return gate
    since_ns = gate.healthy_since_ns or now_ns
    if now_ns - since_ns >= GATE_HEALTHY_NS:
        return replace(gate, is_open=True, reason="", healthy_since_ns=0)
    return replace(gate, healthy_since_ns=since_ns)


def why_cold(status: str, message: str) -> str:
    """Why the bars' warm start still holds entries (`tomic.md` 11.5); empty when it is complete."""
    if status in WARMED_UP:
        return ""
    if status == "error":
        return f"the warm start of the bars failed and is tried again: {message}"
    return "the warm start of the bars is not complete"


def _fault(low_checks: int, percent: float, tick_age_ns: int, bar_age_ns: int) -> str:
    if tick_age_ns > GATE_TICK_AGE_NS:
        return f"no tick of any symbol for {tick_age_ns / NS_PER_S:.0f} s"
    if bar_age_ns > GATE_BAR_AGE_NS:
        return f"no bar closed for {bar_age_ns / NS_PER_S:.0f} s"
    if low_checks >= GATE_LOW_CHECKS_MAX:
        return f"coverage {percent:.1f}% at {low_checks} checks running"
    return ""
