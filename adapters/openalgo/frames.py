"""OpenAlgo's market data frames as columns (`openalgo.md` 7.3, `tomic.md` 11.1). Pure.

A frame that cannot be used is refused and counted by its reason, for the next one comes anyway.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from adapters.openalgo.mapping import Row, moment_ns, number, pick
from adapters.ports import StreamCounters
from domain.clock import NS_PER_S, epoch_ns
from domain.instruments import InstrumentIndex, Listing
from domain.prices import MODE_DEPTH, MODE_LTP, MODE_QUOTE, TICK_DTYPE

TICK_PRICE = ("ltp", "last_price", "lp", "price")
TICK_VOLUME = ("volume", "vtt", "vol", "volume_trade_for_the_day")
TICK_IV = ("iv", "implied_volatility", "impliedVolatility")
TICK_TIME = ("timestamp", "ltt")
PRICE_MAX = 1e7  # nothing listed trades near ten million rupees a unit
FUTURE_MAX_NS = 5 * NS_PER_S  # `data_pipeline.md` 2.3
IV_PERCENT_FROM = 3.0  # `tomic.md` 11.4: above it a volatility is in percent
EARLIEST_NS = epoch_ns(datetime(2000, 1, 1, tzinfo=UTC))
MODE_WORDS = {MODE_LTP: "LTP", MODE_QUOTE: "QUOTE", MODE_DEPTH: "DEPTH"}
_MODES = {word: mode for mode, word in MODE_WORDS.items()} | {"1": 1, "2": 2, "3": 3}


def to_ticks(
    frames: Iterable[tuple[int, Row]], index: InstrumentIndex, counters: StreamCounters
) -> np.ndarray:
    """Ticks of (received_ns, frame) pairs as one TICK_DTYPE array; refusals are counted by
    reason."""
    rows = []
    for received_ns, frame in frames:
        row = _tick(frame, received_ns, index)
        if isinstance(row, str):
            counters.refused[row] = counters.refused.get(row, 0) + 1
        else:
            rows.append(row)
    counters.ticks += len(rows)
    return np.array(rows, TICK_DTYPE)


def is_tick(frame: Row) -> bool:
    """True for market data in any of the shapes of `openalgo.md` 7.3 and 14."""
    if frame.get("type") in ("market_data", "ltp", "quote", "depth"):
        return True
    return "type" not in frame and ("topic" in frame or ("symbol" in frame and "ltp" in frame))


def latest_ns(frames: Iterable[Row]) -> int:
    """The newest time these ticks tell; 0 when none does."""
    rows = (frame.get("data") for frame in frames)
    return max(
        (moment_ns(pick(row, TICK_TIME)) for row in rows if isinstance(row, dict)), default=0
    )


def parse_frame(payload: bytes) -> dict[str, Any] | None:
    """The JSON object of one frame, or None. What strict JSON is not (NaN, stray bytes) is read as
    far as Python's own reader goes: a price that is no number is refused by its name."""
    try:
        frame = orjson.loads(payload)
    except ValueError:
        try:
            frame = json.loads(payload.decode(errors="replace"))
        except (ValueError, RecursionError):
            return None
    return frame if isinstance(frame, dict) else None


def _tick(frame: Row, received_ns: int, index: InstrumentIndex) -> tuple[Any, ...] | str:
    data = frame.get("data")
    data = data if isinstance(data, dict) else frame
    listing = _listing_of(frame, data, index)
    if listing is None:
        return "unknown_symbol"
    price = _price(data)
    if not 0 < price <= PRICE_MAX:
        return "bad_price"
    told = pick(data, TICK_TIME)
    ts_ns = received_ns if told is None else moment_ns(told)
    if ts_ns < EARLIEST_NS:
        return "bad_time"
    if ts_ns > received_ns + FUTURE_MAX_NS:
        return "future"
    bid, bid_quantity = _best(data, "buy", "bid")
    ask, ask_quantity = _best(data, "sell", "ask")
    volume, interest = _count(pick(data, TICK_VOLUME)), _count(pick(data, ("oi", "open_interest")))
    return (
        listing.listing_id, _mode(pick(frame, ("mode",), data.get("mode"))), ts_ns, received_ns,
        price, bid, ask, bid_quantity, ask_quantity, volume, interest, _volatility(data),
    )  # fmt: skip


def _listing_of(frame: Row, data: Row, index: InstrumentIndex) -> Listing | None:
    symbol = frame.get("symbol") or data.get("symbol")
    exchange = frame.get("exchange") or data.get("exchange")
    if not symbol and isinstance(frame.get("topic"), str):
        symbol, _, exchange = frame["topic"].rpartition(".")
    return index.find(str(exchange), str(symbol))


def _price(data: Row) -> float:
    told = data.get(TICK_PRICE[0])
    if type(told) is float and told > 0:  # nearly always: a thousand times a second
        return told
    # `close` is the previous day's in a quote: it stands in only where nothing else names a price.
    names = TICK_PRICE if any(name in data for name in (*TICK_PRICE, "open")) else ("close",)
    return next((price for name in names if (price := _float(data.get(name))) > 0), math.nan)


def _best(data: Row, side: str, flat: str) -> tuple[float, int]:
    depth = data.get("depth")
    levels = depth.get(side) if isinstance(depth, dict) else None
    if isinstance(levels, list) and levels and isinstance(levels[0], dict):
        price, quantity = _float(levels[0].get("price")), _count(levels[0].get("quantity"))
    else:
        price, quantity = _float(data.get(flat)), _count(data.get(f"{flat}_qty"))
    return (price, quantity) if 0 < price <= PRICE_MAX else (math.nan, -1)


def _volatility(data: Row) -> float:
    value = _float(pick(data, TICK_IV))
    if not 0 < value < math.inf:
        return math.nan
    return value / 100 if value > IV_PERCENT_FROM else value


def _mode(value: Any) -> int:
    return _MODES.get(str(value).upper(), MODE_LTP)


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if value is None:
        return math.nan
    try:
        return float(value if type(value) is int else number(value))
    except (ValueError, OverflowError):
        return math.nan


def _count(value: Any) -> int:
    value = _float(value)
    return int(value) if 0 <= value < 2**62 else -1
