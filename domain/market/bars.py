"""Ticks into one-minute bars: the nine rules of `data_pipeline.md` 2, on columns.

`MinuteBars` keeps one dense row a listing. A batch is folded with numpy; only rows where the order
of ticks changes the volume (a count that fell, a snapshot, the auction) are walked tick by tick.
Bars close by the clock, two seconds after their minute, and are told once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from domain.calendar import TradingSession
from domain.clock import NS_PER_MINUTE, seconds
from domain.market.closed_bars import ClosedBars
from domain.market.outages import Outages
from domain.market.sessions import midnight_ns
from domain.prices import BAR_DTYPE

GRACE_NS = seconds(2.0)  # a bar stays open this long after its minute
AHEAD_MAX_NS = seconds(5.0)  # an exchange time further ahead of its arrival is nonsense
UNKNOWN = -1  # a cumulative volume nobody has told yet
_ROWS_FIRST = 64

_ROW_DTYPE = np.dtype(
    [
        ("listing", "<u4"), ("added_ns", "<i8"), ("baseline", "<i8"),
        ("newest_ts", "<i8"), ("previous_ts", "<i8"), ("previous_ltp", "<f8"),
        ("previous_cum", "<i8"),
    ]
)  # fmt: skip
_OPEN_DTYPE = np.dtype(
    [
        ("count", "<i4"), ("open_ts", "<i8"), ("close_ts", "<i8"), ("open", "<f8"), ("high", "<f8"),
        ("low", "<f8"), ("close", "<f8"), ("volume", "<i8"),
    ]
)  # fmt: skip
_ACCEPTED, _AUCTION, _LATE = 0, 1, 2


@dataclass(frozen=True)
class ClosedMinutes:
    """What closed since the last asking: bars by minute, and per minute who had no tick."""

    bars: np.ndarray
    silent: tuple[tuple[int, tuple[int, ...]], ...]
    before_ns: int  # every minute that starts earlier is closed


class MinuteBars:
    """One-minute bars of all listings it was told of, for one session at a time."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.closed = ClosedBars()
        self._rows = np.zeros(0, _ROW_DTYPE)
        self._row_of = np.full(1, -1, np.int32)
        self._open: dict[int, np.ndarray] = {}
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
        self.counters.clear()
        for kept in (self._open, self._waiting, self._silent, self._outages):
            kept.clear()
        opens_ns = session.opens_ns if session else 0
        self._rows["baseline"] = 0 if now_ns < opens_ns else UNKNOWN
        self._rows["newest_ts"] = 0
        self._closed_before_ns = max(opens_ns, _minute(now_ns - GRACE_NS))
        if session:
            self._day_starts_ns = midnight_ns(session.day)

    def add(self, listing_ids: np.ndarray, now_ns: int) -> None:
        """Gives new listings a row; those known already keep theirs."""
        wanted = np.unique(np.asarray(listing_ids, np.int64))
        fresh = wanted[self._find(wanted) < 0]
        if not len(fresh):
            return
        rows = np.zeros(len(fresh), _ROW_DTYPE)
        rows["listing"], rows["added_ns"] = fresh, now_ns
        before_open = self._session is not None and now_ns < self._session.opens_ns
        rows["baseline"] = 0 if before_open else UNKNOWN
        if fresh[-1] >= len(self._row_of):
            longer = np.full(int(fresh[-1]) * 2 + _ROWS_FIRST, -1, np.int32)
            longer[: len(self._row_of)] = self._row_of
            self._row_of = longer
        self._row_of[fresh] = np.arange(len(self._rows), len(self._rows) + len(fresh))
        self._rows = np.concatenate([self._rows, rows])
        for minute, columns in self._open.items():
            self._open[minute] = np.concatenate([columns, _open_columns(len(fresh))])

    @property
    def listings(self) -> np.ndarray:
        """listing_ids it keeps bars of."""
        return self._rows["listing"]

    # -- ticks in, bars out --

    def fold(self, ticks: np.ndarray) -> None:
        """Takes a TICK_DTYPE batch in order of arrival; bars that fall due within it are closed."""
        if not len(ticks):
            return
        reached = np.maximum.accumulate(ticks["received_ns"]) - GRACE_NS
        edges = np.flatnonzero(np.diff(reached // NS_PER_MINUTE)) + 1
        for part in np.split(ticks, edges):
            self._close_before(_minute(int(part["received_ns"].max()) - GRACE_NS))
            self._fold_part(part)

    def close(self, now_ns: int) -> ClosedMinutes:
        """Closes what is due at `now_ns`; hands over all that closed since the last call, once."""
        self._close_before(_minute(now_ns - GRACE_NS))
        bars = np.concatenate(self._waiting) if self._waiting else np.zeros(0, BAR_DTYPE)
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
        known = ids[self._find(ids) >= 0]
        ticked = self._rows["newest_ts"][self._find(known)] > 0
        return tuple(known[ticked].tolist())

    def live_vwap(self, listing: int) -> float | None:
        """Session VWAP with the open bars' share so far; None while no volume."""
        value, volume = self.closed.sums(listing)
        row = int(self._find(np.array([listing]))[0])
        for columns in self._open.values() if row >= 0 else ():
            bar = columns[row]
            if bar["count"]:
                value += float(bar["high"] + bar["low"] + bar["close"]) / 3.0 * int(bar["volume"])
                volume += int(bar["volume"])
        return value / volume if volume else None

    # -- the rules, in their order --

    def _fold_part(self, ticks: np.ndarray) -> None:
        rows = self._find(ticks["listing"])
        ltp, received = ticks["ltp"], ticks["received_ns"]
        known, priced = rows >= 0, ltp > 0  # NaN > 0 is False
        ahead = ticks["ts_ns"] > received + AHEAD_MAX_NS
        self._count("unknown_symbol", ~known)
        self._count("bad_price", known & ~priced)
        self._count("future", known & priced & ahead)
        alive = known & priced & ~ahead
        rows, ticks = rows[alive], ticks[alive]
        by_row = np.argsort(rows, kind="stable")
        rows, ticks = rows[by_row], ticks[by_row]
        new = ~self._repeats(rows, ticks)
        self._count("duplicates", ~new)
        self._place(rows[new], ticks[new])

    def _repeats(self, rows: np.ndarray, ticks: np.ndarray) -> np.ndarray:
        """Rule 5: equal to the listing's previous tick in time, price and volume."""
        state = self._rows
        first = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        same = np.ones(len(rows), bool)
        for mine, theirs in (
            ("previous_ts", "ts_ns"),
            ("previous_ltp", "ltp"),
            ("previous_cum", "volume"),
        ):
            values = ticks[theirs]
            before = np.where(first, state[mine][rows], np.roll(values, 1))
            same &= values == before
        for mine, theirs in (
            ("previous_ts", "ts_ns"),
            ("previous_ltp", "ltp"),
            ("previous_cum", "volume"),
        ):
            state[mine][rows] = ticks[theirs]  # the last of each row stays
        return same

    def _place(self, rows: np.ndarray, ticks: np.ndarray) -> None:
        """Rules 6 to 9 for ticks grouped by row, in order of arrival within it."""
        ts, cum = ticks["ts_ns"], ticks["volume"]
        inside, auction = self._in_session(ts)
        minutes = ts - ts % NS_PER_MINUTE
        late = inside & (minutes < self._closed_before_ns)
        accepted = inside & ~late
        self._count("out_of_session", ~inside)
        self._count("late_dropped", late)
        self._count("accepted", accepted)
        snapshot = late & (self._rows["baseline"][rows] == UNKNOWN)
        told = accepted | ((auction | snapshot) & (cum >= 0))
        kinds = np.where(accepted, _ACCEPTED, np.where(auction, _AUCTION, _LATE))
        deltas = np.zeros(len(rows), np.int64)
        deltas[told] = self._volumes(rows[told], ticks[told], kinds[told])
        for minute in np.unique(minutes[accepted]).tolist():
            mine = accepted & (minutes == minute)
            columns = self._open.setdefault(minute, _open_columns(len(self._rows)))
            _put(columns, rows[mine], ticks[mine], deltas[mine])

    def _in_session(self, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        session = self._session
        if session is None:
            nothing = np.zeros(len(ts), bool)
            return nothing, nothing
        inside = (ts >= session.opens_ns) & (ts < session.closes_ns)
        return inside, (ts >= self._day_starts_ns) & (ts < session.opens_ns)

    def _volumes(self, rows: np.ndarray, ticks: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Rule 8: what each tick adds. Rows whose count only grows take the columnar way."""
        state, cum = self._rows, ticks["volume"]
        present, accepted = cum >= 0, kinds == _ACCEPTED
        first = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        known = np.where(state["baseline"][rows] == UNKNOWN, cum, state["baseline"][rows])
        deltas = np.where(present, cum - np.where(first, known, np.roll(cum, 1)), 0)
        absent_too = np.zeros(len(state), bool)
        absent_too[rows[~present]] = True
        awkward_rows = np.zeros(len(state), bool)
        awkward_rows[rows[~accepted | (deltas < 0) | (present & absent_too[rows])]] = True
        awkward = awkward_rows[rows]
        plain = ~awkward & present
        state["baseline"][rows[plain]] = cum[plain]
        for row in np.unique(rows[awkward]).tolist():
            mine = rows == row
            deltas[mine] = self._walk(row, ticks[mine], kinds[mine])
        np.maximum.at(state["newest_ts"], rows[accepted], ticks["ts_ns"][accepted])
        return deltas

    def _walk(self, row: int, ticks: np.ndarray, kinds: np.ndarray) -> list[int]:
        baseline = int(self._rows["baseline"][row])
        newest_ts = int(self._rows["newest_ts"][row])
        deltas = []
        for cum, ts, kind in zip(
            ticks["volume"].tolist(), ticks["ts_ns"].tolist(), kinds.tolist(), strict=True
        ):
            delta = 0
            if kind == _AUCTION:
                baseline = max(baseline, cum)
            elif kind == _LATE:
                baseline = cum if baseline == UNKNOWN else baseline
            elif cum >= 0:
                if baseline == UNKNOWN:
                    baseline = cum
                elif cum >= baseline:
                    delta, baseline = cum - baseline, cum
                elif ts >= newest_ts:
                    baseline = cum
                    self.counters["volume_resets"] += 1
            if kind == _ACCEPTED:
                newest_ts = max(newest_ts, ts)
            deltas.append(delta)
        self._rows["baseline"][row] = baseline
        return deltas

    # -- closing --

    def _close_before(self, before_ns: int) -> None:
        if before_ns <= self._closed_before_ns:
            return
        session, since_ns = self._session, self._closed_before_ns
        self._closed_before_ns = before_ns
        if session is None:
            return
        for minute in range(since_ns, min(before_ns, session.closes_ns), NS_PER_MINUTE):
            columns = self._open.pop(minute, None)
            ticked = np.zeros(len(self._rows), bool)
            if columns is not None:
                ticked = columns["count"] > 0
                self._waiting.append(self._bars_of(minute, columns, ticked))
            silent = self._rows["listing"][~ticked & (self._rows["added_ns"] <= minute)]
            if len(silent):
                self._silent.append((minute, tuple(silent.tolist())))

    def _bars_of(self, minute: int, columns: np.ndarray, ticked: np.ndarray) -> np.ndarray:
        bars = np.zeros(int(ticked.sum()), BAR_DTYPE)
        bars["listing"], bars["start_ns"] = self._rows["listing"][ticked], minute
        for name in ("open", "high", "low", "close", "volume"):
            bars[name] = columns[name][ticked]
        bars["tick_count"] = columns["count"][ticked]
        bars["partial"] = self._outages.touched(minute, bars["listing"])
        self.closed.append(bars)
        return bars

    def _find(self, listing_ids: np.ndarray) -> np.ndarray:
        inside = listing_ids < len(self._row_of)
        return np.where(inside, self._row_of[np.where(inside, listing_ids, 0)], -1)

    def _count(self, name: str, where: np.ndarray) -> None:
        self.counters[name] += int(np.count_nonzero(where))


def _by_moment(since_ns: Mapping[int, int]) -> list[tuple[int, np.ndarray]]:
    rows = np.array(list(since_ns), np.int64)
    moments = np.array(list(since_ns.values()), np.int64)
    return [(since, rows[moments == since]) for since in np.unique(moments).tolist()]


def _minute(at_ns: int) -> int:
    return at_ns - at_ns % NS_PER_MINUTE


def _open_columns(rows: int) -> np.ndarray:
    columns = np.zeros(rows, _OPEN_DTYPE)
    columns["high"], columns["low"] = -np.inf, np.inf
    return columns


def _put(columns: np.ndarray, rows: np.ndarray, ticks: np.ndarray, deltas: np.ndarray) -> None:
    """Rule 9: open of the smallest time (first arrived), close of the greatest (last arrived)."""
    order = np.lexsort((ticks["ts_ns"], rows))  # stable: equal times stay in order of arrival
    rows, ticks, deltas = rows[order], ticks[order], deltas[order]
    ts, ltp = ticks["ts_ns"], ticks["ltp"]
    firsts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
    lasts = np.append(firsts[1:], len(rows)) - 1
    mine = rows[firsts]
    bars = columns[mine]
    opens = (bars["count"] == 0) | (ts[firsts] < bars["open_ts"])
    closes = (bars["count"] == 0) | (ts[lasts] >= bars["close_ts"])
    bars["open"] = np.where(opens, ltp[firsts], bars["open"])
    bars["open_ts"] = np.where(opens, ts[firsts], bars["open_ts"])
    bars["close"] = np.where(closes, ltp[lasts], bars["close"])
    bars["close_ts"] = np.where(closes, ts[lasts], bars["close_ts"])
    bars["high"] = np.maximum(bars["high"], np.maximum.reduceat(ltp, firsts))
    bars["low"] = np.minimum(bars["low"], np.minimum.reduceat(ltp, firsts))
    bars["volume"] += np.add.reduceat(deltas, firsts)
    bars["count"] += np.diff(np.append(firsts, len(rows))).astype(np.int32)
    columns[mine] = bars
