"""What each tick adds to its bar's volume: rule 8 of `data_pipeline.md` 2, on columns.

Counts that only grow, or are never told, take the columnar way, and so does a listing's only tick;
of the others each is walked tick by tick, for there the order decides.
"""

from __future__ import annotations

import numpy as np

from domain.market.fold_columns import UNKNOWN, Groups, Ticks

ACCEPTED, AUCTION, LATE, OUTSIDE = 0, 1, 2, 3


def growing(ticks: Ticks, groups: Groups, state: np.ndarray) -> np.ndarray | None:
    """Volumes of accepted ticks whose every count is known and not below the one before; None when
    some is. `state` (of each group) takes the new baselines."""
    stood = state["baseline"]
    deltas: np.ndarray = ticks.cum - groups.before(ticks.cum, stood)
    if np.minimum.reduce(stood) < 0 or np.minimum.reduce(deltas) < 0:
        return None
    state["baseline"] = groups.last(ticks.cum)
    newest = state["newest_ts"]
    np.maximum(newest, groups.reduce(np.maximum, ticks.ts), out=newest)
    return deltas


def of_any(
    ticks: Ticks, groups: Groups, state: np.ndarray, kinds: np.ndarray
) -> tuple[np.ndarray, int]:
    """Volumes of ticks of any kind, and how many feeds restarted their count; `state` takes the new
    baselines and newest times."""
    present, accepted = ticks.cum >= 0, kinds == ACCEPTED
    stood = state["baseline"]
    known = np.where(stood == UNKNOWN, groups.first(ticks.cum), stood)
    deltas = np.where(present, ticks.cum - groups.before(ticks.cum, known), 0)
    newest = groups.reduce(np.maximum, np.where(accepted, ticks.ts, 0))
    awkward = groups.reduce(np.logical_or, ~accepted | (deltas < 0))
    if not groups.single:
        some = groups.reduce(np.logical_or, present)
        awkward = awkward | (some & ~groups.reduce(np.logical_and, present))
    plain = ~awkward & groups.last(present)
    resets = 0
    if awkward.any():
        single = awkward & (groups.firsts == groups.lasts)
        resets = _one_each(ticks, groups.firsts[single], state, single, kinds, deltas)
        for group in np.flatnonzero(awkward & ~single).tolist():
            mine = slice(int(groups.firsts[group]), int(groups.lasts[group]) + 1)
            deltas[mine], reset = _walk(ticks, mine, state[group], kinds)
            resets += reset
    np.copyto(state["baseline"], groups.last(ticks.cum), where=plain)
    state["newest_ts"] = np.maximum(state["newest_ts"], newest)
    return deltas, resets


def _one_each(
    ticks: Ticks,
    at: np.ndarray,
    state: np.ndarray,
    chosen: np.ndarray,
    kinds: np.ndarray,
    deltas: np.ndarray,
) -> int:
    """The only ticks of these groups, at positions `at`; writes their deltas and baselines."""
    cum, kind = ticks.cum.take(at), kinds.take(at)
    baseline, newest = state["baseline"][chosen], state["newest_ts"][chosen]
    accepted, unknown, present = kind == ACCEPTED, baseline == UNKNOWN, cum >= 0
    counted = accepted & present & ~unknown
    grown = counted & (cum >= baseline)
    reset = counted & (cum < baseline) & (ticks.ts.take(at) >= newest)
    begun = present & unknown & (accepted | (kind == LATE))
    auction = (kind == AUCTION) & (cum > baseline)
    deltas[at] = np.where(grown, cum - baseline, 0)
    state["baseline"][chosen] = np.where(grown | reset | begun | auction, cum, baseline)
    return int(np.count_nonzero(reset))


def _walk(ticks: Ticks, mine: slice, state: np.void, kinds: np.ndarray) -> tuple[list[int], int]:
    """The ticks of one group, one by one; writes its baseline."""
    baseline, newest_ts = int(state["baseline"]), int(state["newest_ts"])
    deltas, resets = [], 0
    columns = (ticks.cum[mine].tolist(), ticks.ts[mine].tolist(), kinds[mine].tolist())
    for cum, ts, kind in zip(*columns, strict=True):
        delta = 0
        if kind == AUCTION:
            baseline = max(baseline, cum)
        elif kind == LATE:
            baseline = cum if baseline == UNKNOWN else baseline
        elif kind == ACCEPTED and cum >= 0:
            if baseline == UNKNOWN:
                baseline = cum
            elif cum >= baseline:
                delta, baseline = cum - baseline, cum
            elif ts >= newest_ts:
                baseline = cum
                resets += 1
        if kind == ACCEPTED:
            newest_ts = max(newest_ts, ts)
        deltas.append(delta)
    state["baseline"] = baseline
    return deltas, resets
