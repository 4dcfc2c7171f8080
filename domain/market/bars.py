"""Ticks into one-minute bars: the nine rules of `data_pipeline.md` 2, on columns.

`MinuteBars` keeps one dense row a listing. A batch is folded with numpy, in one pass when nothing
in it is unusual, which a few minima and maxima tell; else each rule marks what it drops. A fold
that walks the ticks one by one, the rules as they are worded, may be handed in (machine code does
it fastest); it changes the same columns. Bars close by the clock, two seconds after their minute,
and are told once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from domain.calendar import TradingSession
from domain.clock import NS_PER_MINUTE, seconds
from domain.market import volumes
from domain.market.closed_bars import ClosedBars
from domain.market.fold_columns import (
    STATE_DTYPE,
    UNKNOWN,
    Groups,
    Ticks,
    clear,
    empty_bars,
    gather,
    groups_of,
    in_groups,
    put,
    scatter,
)
from domain.market.listing_rows import ListingRows
from domain.market.outages import Outages
from domain.market.sessions import midnight_ns
from domain.prices import BAR_DTYPE

GRACE_NS = seconds(2.0)  # a bar stays open this long after its minute
AHEAD_MAX_NS = seconds(5.0)  # an exchange time further ahead of its arrival is nonsense
COUNTED = (
    "unknown_symbol", "bad_price", "future", "duplicates", "out_of_session", "late_dropped",
    "accepted", "volume_resets",
)  # fmt: skip
_RAW_BAR = np.dtype(f"V{BAR_DTYPE.itemsize}")  # bytes are joined faster than fields

Walk = Callable[[np.ndarray], bool]
Walker = Callable[[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray, list[int]],
                  Walk]  # fmt: skip


@dataclass(frozen=True)
class ClosedMinutes:
    """What closed since the last asking: bars by minute, and per minute who had no tick."""

    bars: np.ndarray
    silent: tuple[tuple[int, tuple[int, ...]], ...]
    before_ns: int  # every minute that starts earlier is closed


class MinuteBars:
    """One-minute bars of all listings it was told of, for one session at a time."""

    def __init__(self, walker: Walker | None = None) -> None:
        """`walker` makes of our columns a fold that walks: rows by listing_id (-1: none; the last
        is of no listing), STATE_DTYPE by row, OPEN_DTYPE by row of the oldest open minute and of
        the next, counts in the order of COUNTED, and in ns: where these two minutes begin, open,
        close and midnight of the session, when a bar falls due, most ahead. What it makes takes
        a TICK_DTYPE batch, or says False, nothing touched, as when a bar falls due within it.
        """
        self.closed = ClosedBars()
        self._walker = walker
        self._walk: Walk | None = None
        self._counts = np.zeros(len(COUNTED), np.int64)
        self._rows = ListingRows()
        self._added_ns = np.zeros(0, np.int64)
        self._state = np.zeros(0, STATE_DTYPE)
        self._open: dict[int, np.ndarray] = {}
        self._spare: list[np.ndarray] = []  # closed ones, empty again
        self._session: TradingSession | None = None
        self._day_starts_ns = 0
        self._closed_before_ns = 0
        self._waiting: list[np.ndarray] = []
        self._silent: list[tuple[int, tuple[int, ...]]] = []
        self._outages = Outages()

    # -- the session and its listings --

    def begin(self, session: TradingSession | None, now_ns: int) -> None:
        """Resets for a session (None: nothing trades): bars, sums, baselines, counters.

        Listings stay. Baselines are 0 before the open and unknown after it; minutes that ended
        already are closed.
        """
        self._session = session
        self.closed.clear()
        self._walk = None
        self._counts[:] = 0
        for kept in (self._open, self._waiting, self._silent, self._outages):
            kept.clear()
        opens_ns = session.opens_ns if session else 0
        self._state["baseline"] = 0 if now_ns < opens_ns else UNKNOWN
        self._state["newest_ts"] = 0
        self._closed_before_ns = max(opens_ns, _minute(now_ns - GRACE_NS))
        if session:
            self._day_starts_ns = midnight_ns(session.day)

    def add(self, listing_ids: np.ndarray, now_ns: int) -> None:
        """Gives new listings a row; those known already keep theirs."""
        count = self._rows.add(listing_ids)
        if not count:
            return
        self._walk = None
        self._spare.clear()
        state = np.zeros(count, STATE_DTYPE)
        before_open = self._session is not None and now_ns < self._session.opens_ns
        state["baseline"] = 0 if before_open else UNKNOWN
        self._added_ns = np.append(self._added_ns, np.full(count, now_ns))
        self._state = np.concatenate([self._state, state])
        for minute, columns in self._open.items():
            self._open[minute] = np.concatenate([columns, empty_bars(count)])

    @property
    def listings(self) -> np.ndarray:
        """listing_ids it keeps bars of."""
        return self._rows.listings

    @property
    def counters(self) -> Counter[str]:
        """Ticks of the session by what became of them, and restarts of a feed's count."""
        return Counter(dict(zip(COUNTED, self._counts.tolist(), strict=True)))

    def strangers(self, listing_ids: np.ndarray) -> np.ndarray:
        """Those of the listing_ids that were never added, each once."""
        return np.unique(listing_ids[self._rows.find(listing_ids) < 0])

    # -- ticks in, bars out --

    def fold(self, ticks: np.ndarray) -> None:
        """Takes a TICK_DTYPE batch in order of arrival; bars that fall due within it are closed."""
        if not len(ticks) or self._walked(ticks):
            return
        received = ticks["received_ns"].copy()
        if _minute(int(np.maximum.reduce(received)) - GRACE_NS) <= self._closed_before_ns:
            self._fold_part(ticks, received)
            return
        reached = np.maximum.accumulate(received) - GRACE_NS
        edges = np.flatnonzero(np.diff(reached // NS_PER_MINUTE)) + 1
        parts = zip(np.split(ticks, edges), np.split(received, edges), strict=True)
        for part, part_received in parts:
            self._close_before(_minute(int(part_received.max()) - GRACE_NS))
            if not self._walked(part):
                self._fold_part(part, part_received)

    def close(self, now_ns: int) -> ClosedMinutes:
        """Closes what is due at `now_ns`; hands over all that closed since the last call, once."""
        self._close_before(_minute(now_ns - GRACE_NS))
        bars = np.zeros(0, BAR_DTYPE)
        if self._waiting:
            raw = [waiting.view(_RAW_BAR) for waiting in self._waiting]
            bars = np.concatenate(raw).view(BAR_DTYPE)
        told = ClosedMinutes(bars, tuple(self._silent), self._closed_before_ns)
        self._waiting.clear()
        self._silent.clear()
        return told

    # -- history --

    def backfill(self, history: np.ndarray, now_ns: int) -> np.ndarray:
        """Puts bars in for partial and missing minutes of the session, each with its own flags: a
        broker's are whole, one of our store is what it was when it was written.

        The current minute and other days are left out. Returns what was put in.
        """
        if self._session is None:
            return np.zeros(0, BAR_DTYPE)
        starts = history["start_ns"]
        within = (starts >= self._session.opens_ns) & (starts < self._session.closes_ns)
        ended = within & (starts < self._closed_before_ns) & (starts < _minute(now_ns))
        return self.closed.upsert(history[ended])

    def mark_outage(self, from_ns: int, to_ns: int, listings: np.ndarray | None = None) -> None:
        """Minutes that overlap [from, to) are partial, whether closed or still open: of these
        listings, or of all."""
        self.closed.mark_partial(from_ns, to_ns, listings)
        self._outages.add(from_ns, to_ns, listings)

    def set_uncarried(self, since_ns: Mapping[int, int], now_ns: int) -> tuple[int, ...]:
        """These listings are carried by no socket now, since those moments: their minutes are
        partial. Returns those that ticked in this session and are carried again: their minutes may
        be asked for, while the others missed nothing."""
        for since, rows in _by_moment(since_ns):
            self.closed.mark_partial(since, now_ns, rows)
        again = self._outages.now_uncarried(since_ns)
        for since, rows in _by_moment(again):
            self.mark_outage(since, now_ns, rows)
        ids = np.fromiter(again, np.int64, len(again))
        known = ids[self._rows.find(ids) >= 0]
        ticked = self._state["newest_ts"][self._rows.find(known)] > 0
        return tuple(known[ticked].tolist())

    def live_vwap(self, listing: int) -> float | None:
        """Session VWAP with the open bars' share so far; None while no volume."""
        value, volume = self.closed.sums(listing)
        row = int(self._rows.find(np.array([listing]))[0])
        for columns in self._open.values() if row >= 0 else ():
            bar = columns[row]
            if bar["count"]:
                value += float(bar["high"] + bar["low"] + bar["close"]) / 3.0 * int(bar["volume"])
                volume += int(bar["volume"])
        return value / volume if volume else None

    # -- the rules, in their order --

    def _walked(self, ticks: np.ndarray) -> bool:
        """Whether the fold that was handed in took the batch; where nothing trades it is not asked,
        for nobody would close what it opens."""
        minute, session = _minute(self._closed_before_ns), self._session
        if self._walker is None or session is None or minute >= session.closes_ns:
            return False
        if self._walk is None:
            following = minute + NS_PER_MINUTE
            self._walk = self._walker(
                self._rows.row_of, self._state,
                (self._open_bars(minute), self._open_bars(following)), self._counts,
                [minute, following, session.opens_ns, session.closes_ns, self._day_starts_ns,
                 following + GRACE_NS, AHEAD_MAX_NS],
            )  # fmt: skip
        return self._walk(ticks)

    def _fold_part(self, columns: np.ndarray, received: np.ndarray) -> None:
        ticks = self._believable(columns, received)
        if not len(ticks.row):
            return
        ticks, groups = in_groups(ticks)
        mine = groups.first(ticks.row)
        state = gather(self._state, mine)
        new = _differ(ticks, groups, state)
        if new is not None:  # what repeats leaves its listing's state as it is
            self._add("duplicates", len(ticks.row) - len(new))
            if not len(new):
                return
            ticks = ticks.pick(new)
            groups = groups_of(ticks.row)
            mine = groups.first(ticks.row)
            state = gather(self._state, mine)
        state["previous_ts"] = groups.last(ticks.ts)
        state["previous_ltp"] = groups.last(ticks.ltp)
        state["previous_cum"] = groups.last(ticks.cum)
        self._place(ticks, groups, state)
        scatter(self._state, mine, state)

    def _believable(self, columns: np.ndarray, received: np.ndarray) -> Ticks:
        """Rules 1 to 3."""
        row = self._rows.find(columns["listing"]).astype(np.int64)
        ts, ltp = columns["ts_ns"].copy(), columns["ltp"].copy()
        ticks = Ticks(row, ts, ltp, columns["volume"].copy())
        # The least of prices with a NaN is NaN, and that is not above 0.
        if (
            np.minimum.reduce(row) >= 0
            and np.minimum.reduce(ltp) > 0
            and np.maximum.reduce(ts) <= np.minimum.reduce(received) + AHEAD_MAX_NS
        ):
            return ticks
        known, priced, ahead = row >= 0, ltp > 0, ts > received + AHEAD_MAX_NS
        self._count("unknown_symbol", ~known)
        self._count("bad_price", known & ~priced)
        self._count("future", known & priced & ahead)
        return ticks.pick(np.flatnonzero(known & priced & ~ahead))

    def _place(self, ticks: Ticks, groups: Groups, state: np.ndarray) -> None:
        """Rules 6 to 9 for ticks in order of row; `state` is of each group."""
        session = self._session
        first_ns = max(session.opens_ns, self._closed_before_ns) if session else 0
        earliest, latest = int(np.minimum.reduce(ticks.ts)), int(np.maximum.reduce(ticks.ts))
        if session is None or earliest < first_ns or latest >= session.closes_ns:
            self._place_any(ticks, groups, state)
            return
        self._add("accepted", len(ticks.row))
        deltas = volumes.growing(ticks, groups, state)
        if deltas is None:
            kinds = np.full(len(ticks.row), volumes.ACCEPTED)
            deltas, resets = volumes.of_any(ticks, groups, state, kinds)
            self._add("volume_resets", resets)
        self._put(ticks, groups, deltas, earliest, latest)

    def _place_any(self, ticks: Ticks, groups: Groups, state: np.ndarray) -> None:
        """As `_place`, where some ticks lie outside of the session or of every open minute."""
        inside, auction = self._in_session(ticks.ts)
        late = inside & (ticks.ts - ticks.ts % NS_PER_MINUTE < self._closed_before_ns)
        accepted = inside & ~late
        self._count("out_of_session", ~inside)
        self._count("late_dropped", late)
        self._count("accepted", accepted)
        kinds = np.select(
            [accepted, late, auction], [volumes.ACCEPTED, volumes.LATE, volumes.AUCTION],
            volumes.OUTSIDE,
        )  # fmt: skip
        deltas, resets = volumes.of_any(ticks, groups, state, kinds)
        self._add("volume_resets", resets)
        at = np.flatnonzero(accepted)
        if len(at):
            taken = ticks.pick(at)
            earliest, latest = int(taken.ts.min()), int(taken.ts.max())
            self._put(taken, groups_of(taken.row), deltas.take(at), earliest, latest)

    def _put(
        self, ticks: Ticks, groups: Groups, deltas: np.ndarray, earliest: int, latest: int
    ) -> None:
        if _minute(earliest) == _minute(latest):
            put(self._open_bars(_minute(earliest)), ticks, groups, deltas)
            return
        minutes = ticks.ts - ticks.ts % NS_PER_MINUTE
        for minute in np.unique(minutes).tolist():
            at = np.flatnonzero(minutes == minute)
            mine = ticks.pick(at)
            put(self._open_bars(minute), mine, groups_of(mine.row), deltas.take(at))

    def _open_bars(self, minute: int) -> np.ndarray:
        columns = self._open.get(minute)
        if columns is None:
            # Pages that are used again cost less than new ones, which the kernel clears first.
            columns = self._spare.pop() if self._spare else empty_bars(len(self._state))
            self._open[minute] = columns
        return columns

    def _in_session(self, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        session = self._session
        if session is None:
            nothing = np.zeros(len(ts), bool)
            return nothing, nothing
        inside = (ts >= session.opens_ns) & (ts < session.closes_ns)
        return inside, (ts >= self._day_starts_ns) & (ts < session.opens_ns)

    # -- closing --

    def _close_before(self, before_ns: int) -> None:
        if before_ns <= self._closed_before_ns:
            return
        session, since_ns = self._session, self._closed_before_ns
        self._closed_before_ns, self._walk = before_ns, None
        if session is None:
            return
        for minute in range(since_ns, min(before_ns, session.closes_ns), NS_PER_MINUTE):
            columns = self._open.pop(minute, None)
            ticked = np.zeros(len(self._state), bool)
            if columns is not None:
                ticked = columns["count"] > 0
                self._waiting.append(self._bars_of(minute, columns, ticked))
                clear(columns)
                self._spare.append(columns)
            silent = self._rows.listings[~ticked & (self._added_ns <= minute)]
            if len(silent):
                self._silent.append((minute, tuple(silent.tolist())))

    def _bars_of(self, minute: int, columns: np.ndarray, ticked: np.ndarray) -> np.ndarray:
        bars = np.zeros(int(ticked.sum()), BAR_DTYPE)
        bars["listing"], bars["start_ns"] = self._rows.listings[ticked], minute
        for name in ("open", "high", "low", "close", "volume"):
            bars[name] = columns[name][ticked]
        bars["tick_count"] = columns["count"][ticked]
        bars["partial"] = self._outages.touched(minute, bars["listing"])
        self.closed.append(bars)
        return bars

    def _count(self, name: str, where: np.ndarray) -> None:
        self._add(name, int(np.count_nonzero(where)))

    def _add(self, name: str, count: int) -> None:
        self._counts[COUNTED.index(name)] += count


def _by_moment(since_ns: Mapping[int, int]) -> list[tuple[int, np.ndarray]]:
    rows = np.array(list(since_ns), np.int64)
    moments = np.array(list(since_ns.values()), np.int64)
    return [(since, rows[moments == since]) for since in np.unique(moments).tolist()]


def _minute(at_ns: int) -> int:
    return at_ns - at_ns % NS_PER_MINUTE


def _differ(ticks: Ticks, groups: Groups, state: np.ndarray) -> np.ndarray | None:
    """Rule 5: positions of ticks that differ from their listing's previous one in time, price or
    volume; None when all do."""
    same = groups.before(ticks.ts, state["previous_ts"]) == ticks.ts
    if not np.count_nonzero(same):
        return None
    same &= groups.before(ticks.ltp, state["previous_ltp"]) == ticks.ltp
    same &= groups.before(ticks.cum, state["previous_cum"]) == ticks.cum
    return np.flatnonzero(~same) if np.count_nonzero(same) else None
