"""From decoded packets to ticks: what the house believes of what a broker's binary feed said. Pure.

Refusals are those of every feed (`data_pipeline.md` 2.3), counted by reason.
"""

from __future__ import annotations

import numpy as np

from adapters.machine_code import CODE, ODD, address
from adapters.openalgo.frames import EARLIEST_NS, FUTURE_MAX_NS, PRICE_MAX
from adapters.packets import ABSENT, UNKNOWN_ROW, PacketKind
from adapters.ports import StreamCounters
from domain.prices import MODE_DEPTH, MODE_LTP, MODE_QUOTE, TICK_DTYPE

_NO_TICK = 0
_MODES = np.full(max(PacketKind) + 1, _NO_TICK, np.uint8)
_MODES[PacketKind.LTP] = MODE_LTP
_MODES[[PacketKind.QUOTE, PacketKind.INDEX_QUOTE]] = MODE_QUOTE
_MODES[[PacketKind.FULL, PacketKind.INDEX_FULL, PacketKind.MARKET_DEPTH]] = MODE_DEPTH


class OpenInterests:
    """The open interest that came in packets of its own, by row: a quote without one takes it."""

    def __init__(self) -> None:
        self._known = np.empty(0, np.int64)

    def keep(self, packets: np.ndarray) -> None:
        """Learns from packets that hold nothing else."""
        told = packets[packets["kind"] == PacketKind.OPEN_INTEREST]
        told = told[told["row"] != UNKNOWN_ROW]
        if len(told):
            most = int(told["row"].max()) + 1
            if most > len(self._known):
                more = np.full(most - len(self._known), -1, np.int64)
                self._known = np.concatenate([self._known, more])
            self._known[told["row"]] = told["oi"]

    def fill(self, ticks: np.ndarray) -> None:
        """Puts what is known into ticks that came without, in place."""
        if not len(self._known):
            return
        rows = ticks["listing"]
        lacking = (ticks["open_interest"] < 0) & (rows < len(self._known))
        if lacking.any():
            ticks["open_interest"][lacking] = self._known[rows[lacking]]


def to_ticks(packets: np.ndarray, counters: StreamCounters) -> np.ndarray:
    """Ticks (TICK_DTYPE) of the packets (PACKET_DTYPE, with `row` and `received_ns`) that are
    ticks; `counters` counts them and what was refused."""
    if CODE is not None:
        ticks = np.empty(len(packets), TICK_DTYPE)
        made = CODE.ticks_of(address(packets), len(packets), address(ticks), address(_MODES))
        if made != ODD:
            counters.ticks += made
            return ticks[:made]
    return _judged(packets, counters)


def _judged(packets: np.ndarray, counters: StreamCounters) -> np.ndarray:
    """As `to_ticks`, with a count for all that is wrong."""
    modes = _MODES[packets["kind"]]
    is_tick = modes != _NO_TICK
    if not is_tick.all():  # rows of packets are wide: they are copied only where some are not meant
        packets, modes = packets[is_tick], modes[is_tick]
    ticks = np.empty(len(packets), TICK_DTYPE)
    divisor = packets["divisor"]
    received_ns = packets["received_ns"]
    ticks["listing"] = packets["row"]
    ticks["mode"] = modes
    ticks["received_ns"] = received_ns
    ticks["ts_ns"] = _first_present(packets["exchange_ns"], packets["last_trade_ns"], received_ns)
    ticks["ltp"] = packets["last_price"] / divisor
    for side, quantity, book in (
        ("bid", "bid_quantity", "bids"),
        ("ask", "ask_quantity", "asks"),
    ):
        best = packets[book][:, 0]
        price = best["price"] / divisor
        there = (best["quantity"] > 0) & (price > 0) & (price <= PRICE_MAX)
        ticks[side] = np.where(there, price, np.nan)
        ticks[quantity] = np.where(there, best["quantity"], -1)
    for name, source in (("volume", "volume"), ("open_interest", "oi")):
        ticks[name] = np.maximum(packets[source], -1)  # ABSENT is far below
    ticks["iv"] = np.nan
    sound = _sound(ticks, packets["row"], counters)
    kept = ticks if sound.all() else ticks[sound]
    counters.ticks += len(kept)
    return kept


def _first_present(*columns: np.ndarray) -> np.ndarray:
    """Of each row the first number that is there."""
    chosen = columns[-1].copy()
    for column in reversed(columns[:-1]):
        np.copyto(chosen, column, where=column != ABSENT)
    return chosen


def _sound(ticks: np.ndarray, rows: np.ndarray, counters: StreamCounters) -> np.ndarray:
    """Which ticks are believed; each of the others is counted once."""
    sound = np.ones(len(ticks), bool)
    future = ticks["ts_ns"] - ticks["received_ns"] > FUTURE_MAX_NS
    for reason, wrong in (
        ("unknown_symbol", rows == UNKNOWN_ROW),
        ("bad_price", ~((ticks["ltp"] > 0) & (ticks["ltp"] <= PRICE_MAX))),
        ("bad_time", ticks["ts_ns"] < EARLIEST_NS),
        ("future", future),
    ):
        count = int(np.count_nonzero(wrong & sound))
        if count:
            counters.refused[reason] = counters.refused.get(reason, 0) + count
            sound &= ~wrong
    return sound
