"""Frames: market data as WebSocket text frames, each encoded once however many clients read it.

The numbers of a tick are encoded once a mode; what differs between instances is the envelope, which
is kept ready for every listing and mode.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from adapters.sandbox.market import Market
from adapters.sandbox.price_source import Level
from domain.instruments import Listing
from domain.prices import MODE_DEPTH, MODE_LTP, TICK_DTYPE

MODE_NAMES = {1: "LTP", 2: "Quote", 3: "Depth"}
NS_PER_MS = 1_000_000
TickRow = tuple[Any, ...]  # one row of TICK_DTYPE as plain numbers

_PLACE = {name: place for place, name in enumerate(TICK_DTYPE.names or ())}
_LISTING, _TS, _LTP, _BID, _ASK = (
    _PLACE[name] for name in ("listing", "ts_ns", "ltp", "bid", "ask")
)
_BID_QUANTITY, _ASK_QUANTITY = _PLACE["bid_quantity"], _PLACE["ask_quantity"]
_VOLUME, _OPEN_INTEREST = _PLACE["volume"], _PLACE["open_interest"]


def encode(message: dict[str, Any]) -> bytes:
    """Compact JSON. What a client gave to be echoed may be more than strict JSON holds: a number
    beyond 64 bits, half a character."""
    try:
        return orjson.dumps(message)
    except TypeError:
        return json.dumps(message, separators=(",", ":")).encode()


def text_frame(payload: bytes) -> bytes:
    """An unmasked, unfragmented text frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class FrameMaker:
    """Turns ticks into the `data` part of market_data frames (`openalgo.md` 7.3)."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._tape: dict[int, _Tape] = {}
        self._envelopes: dict[tuple[str, int, int], bytes] = {}

    def snapshot(self, listing: Listing) -> TickRow | None:
        """The current quote as a tick row; None while there is none."""
        quote = self._market.quote(listing)
        if quote is None:
            return None
        return (
            listing.listing_id, MODE_DEPTH, quote.ts_ns, quote.ts_ns,
            quote.ltp, quote.bid, quote.ask, quote.bid_quantity, quote.ask_quantity,
            quote.volume, quote.open_interest, math.nan,
        )  # fmt: skip

    def frame(self, broker: str, mode: int, *, row: TickRow, data: bytes) -> bytes:
        """One instance's frame around encoded numbers."""
        key = (broker, row[_LISTING], mode)
        head = self._envelopes.get(key)
        if head is None:
            listing = self._market.source.index.by_id[row[_LISTING]]
            names = {"symbol": listing.symbol, "exchange": listing.exchange, "mode": mode}
            envelope = {"type": "market_data", **names, "broker": broker}
            # The numbers follow the names: {envelope,"data":{names,numbers}}
            head = encode(envelope)[:-1] + b',"data":' + encode(names)[:-1] + b","
            self._envelopes[key] = head
        return text_frame(head + data + b"}")

    def data(self, row: TickRow, mode: int) -> bytes:
        """The numbers of a tick in one mode, without the opening brace."""
        at_ms = row[_TS] // NS_PER_MS
        numbers: dict[str, Any] = {"ltp": _number(row[_LTP]), "ltt": at_ms, "timestamp": at_ms}
        if mode != MODE_LTP:
            self._add_day(numbers, row)
        if mode == MODE_DEPTH:
            bids, asks = self._market.source.depth(row[_LISTING])
            numbers["total_buy_quantity"] = sum([level[1] for level in bids])
            numbers["total_sell_quantity"] = sum([level[1] for level in asks])
            numbers["depth"] = {"buy": _levels(bids), "sell": _levels(asks)}
        return encode(numbers)[1:]

    def _add_day(self, numbers: dict[str, Any], row: TickRow) -> None:
        quote = self._market.source.quote(row[_LISTING])
        tape = self._tape.setdefault(row[_LISTING], _Tape())
        tape.note(row[_VOLUME], row[_LTP])
        close = _number(quote.prev_close) if quote else 0.0
        change = round(numbers["ltp"] - close, 4) if close else 0.0
        average = tape.average or numbers["ltp"]
        numbers.update(
            open=_number(quote.open) if quote else 0.0,
            high=_number(quote.high) if quote else 0.0,
            low=_number(quote.low) if quote else 0.0,
            close=close,
            bid=_number(row[_BID]),
            ask=_number(row[_ASK]),
            volume=max(0, row[_VOLUME]),
            oi=max(0, row[_OPEN_INTEREST]),
            last_quantity=tape.last_quantity,
            last_trade_quantity=tape.last_quantity,
            average_price=average,
            avg_trade_price=average,
            total_buy_quantity=max(0, row[_BID_QUANTITY]),
            total_sell_quantity=max(0, row[_ASK_QUANTITY]),
            change=change,
            change_percent=round(100 * change / close, 2) if close else 0.0,
        )


class _Tape:
    """Traded quantity and turnover of one listing since someone began to watch it."""

    __slots__ = ("_quantity", "_turnover", "_volume", "last_quantity")

    def __init__(self) -> None:
        self._volume = -1
        self._quantity = 0
        self._turnover = 0.0
        self.last_quantity = 0

    def note(self, volume: int, price: float) -> None:
        """Counts what traded since the last look; a volume that fell begins a new day."""
        if volume > self._volume >= 0:
            self.last_quantity = volume - self._volume
            self._quantity += self.last_quantity
            self._turnover += self.last_quantity * price
        elif volume < self._volume:
            self._quantity, self._turnover = 0, 0.0
        self._volume = volume

    @property
    def average(self) -> float:
        """Volume-weighted price; 0 before the first trade."""
        return round(self._turnover / self._quantity, 4) if self._quantity else 0.0


def _number(value: float) -> float:
    return round(value, 4) if value == value else 0.0


def _levels(levels: list[Level]) -> list[dict[str, float]]:
    return [
        {"price": price, "quantity": quantity, "orders": orders}
        for price, quantity, orders in levels
    ]
