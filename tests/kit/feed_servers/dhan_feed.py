"""Dhan's market data server, v2 (`broker_protocols.md` 3.5, `subscriptions.md` 11)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

from tests.kit.feed_servers.quotes import Level, Quote
from tests.kit.feed_servers.server import Connection, FeedServer, frame

CLIENT_ID, TOKEN = "1100000001", "eyJhbGciOiJIUzUxMiJ9.e30.c2ln"
INSTRUMENTS_MAX, CONNECTIONS_MAX, INSTRUMENTS_A_MESSAGE_MAX = 5000, 5, 100
SILENCE_S = 40.0
IST_S = 19_800
SEGMENTS = {
    "IDX_I": 0, "NSE_EQ": 1, "NSE_FNO": 2, "NSE_CURRENCY": 3, "BSE_EQ": 4, "MCX_COMM": 5,
    "BSE_CURRENCY": 7, "BSE_FNO": 8,
}  # fmt: skip
DISCONNECT, TICKER, QUOTE, FULL = 12, 15, 17, 21
TOO_MANY_INSTRUMENTS, TOO_MANY_CONNECTIONS = 804, 805
TOKEN_EXPIRED, AUTHENTICATION_FAILED, CLIENT_ID_INVALID = 807, 808, 810


def head(code: int, size: int, quote: Quote | None = None) -> bytes:
    """The eight bytes before each packet, which count in `size`."""
    segment, token = (quote.segment, quote.token) if quote else (0, 0)
    return struct.pack("<BHBi", code, size, segment, token)


def _level(bid: Level, ask: Level) -> bytes:
    return struct.pack(
        "<IIHHff",
        bid.quantity, ask.quantity, bid.orders, ask.orders, float(bid.price), float(ask.price),
    )  # fmt: skip


def packets(quote: Quote, code: int, shift_s: int = IST_S) -> list[bytes]:
    """The messages of one instrument in one mode; a quote's open interest is one of its own."""
    trade_s = quote.last_trade_s + shift_s
    if code == TICKER:
        return [head(2, 16, quote) + struct.pack("<fi", float(quote.last_price), trade_s)]
    start = struct.pack(
        "<fHifiii",
        float(quote.last_price), quote.last_qty & 0xFFFF, trade_s, float(quote.avg_price),
        quote.volume, quote.sell_qty, quote.buy_qty,
    )  # fmt: skip
    prices = (quote.open, quote.close, quote.high, quote.low)
    day = struct.pack("<4f", *map(float, prices))
    if code == QUOTE:
        interest = head(5, 12, quote) + struct.pack("<i", quote.oi)
        return [head(4, 50, quote) + start + day, *([interest] if quote.oi else [])]
    interest = struct.pack("<3i", quote.oi, quote.oi_high, quote.oi_low)
    depth = b"".join(map(_level, quote.bids, quote.asks))
    return [head(8, 162, quote) + start + interest + day + depth]


def previous_close(quote: Quote) -> bytes:
    """What a new subscriber is told first."""
    return head(6, 16, quote) + struct.pack("<fi", float(quote.close), quote.prev_oi)


def disconnect(reason: int) -> bytes:
    """The last packet of a connection that the server ends."""
    return head(50, 10) + struct.pack("<h", reason)


class DhanFeed(FeedServer):
    """Subscriptions are request code by (segment, security id). Times are shifted by IST, as the
    broker's are seen to be."""

    BEAT_EVERY_S = 10.0
    credentials = (CLIENT_ID, TOKEN)

    def admit(self, query: dict[str, str], headers: Any) -> Any:
        return query.get("clientId", ""), query.get("token", "")

    def opened(self, connection: Connection) -> None:
        super().opened(connection)
        if connection.user[0] != self.credentials[0]:
            self.dismiss(connection, CLIENT_ID_INVALID)
        elif connection.user != self.credentials:
            self.dismiss(connection, AUTHENTICATION_FAILED)
        elif self.count_of(connection.user) > CONNECTIONS_MAX:
            self.dismiss(self._standing()[0], TOO_MANY_CONNECTIONS)

    def dismiss(self, connection: Connection, reason: int) -> None:
        """Ends a connection as this broker does: the reason in a packet, then the close."""
        connection.write(frame(disconnect(reason)))
        connection.end(1000)

    def expel(self, reason: int, connection: Connection | None = None) -> None:
        """As `dismiss`, from a test: the first that stands, or this one."""
        self._call(lambda: self.dismiss(connection or self._standing()[0], reason))

    def understand(self, connection: Connection, message: bytes) -> None:
        try:
            request = json.loads(message)
            code = int(request["RequestCode"])
            rows = request.get("InstrumentList", [])
            keys = [(SEGMENTS[row["ExchangeSegment"]], int(row["SecurityId"])) for row in rows]
        except (ValueError, KeyError, TypeError):
            return  # no answer: the official client ends with a binary header
        if code == DISCONNECT:
            connection.end(1000)
        elif code in (TICKER, QUOTE, FULL):
            self._subscribe(connection, code, keys)
        elif code - 1 in (TICKER, QUOTE, FULL):
            for key in keys:
                connection.subscriptions.pop(key, None)

    def _subscribe(self, connection: Connection, code: int, keys: list[tuple[int, int]]) -> None:
        new = [key for key in dict.fromkeys(keys) if key not in connection.subscriptions]
        full = len(connection.subscriptions) + len(new) > INSTRUMENTS_MAX
        if len(keys) > INSTRUMENTS_A_MESSAGE_MAX or full:
            self.dismiss(connection, TOO_MANY_INSTRUMENTS)
            return
        connection.subscriptions.update(dict.fromkeys(keys, code))
        if not self.muted:
            known = [self.quotes[key] for key in new if key in self.quotes]
            connection.write(b"".join(frame(previous_close(quote)) for quote in known))
        self.snapshot(connection, keys)

    def key_of(self, quote: Quote) -> Any:
        return quote.segment, quote.token

    def pack(self, connection: Connection, quotes: Sequence[Quote]) -> list[bytes]:
        wanted = connection.subscriptions
        return [
            message
            for quote in quotes
            if self.key_of(quote) in wanted
            for message in packets(quote, wanted[self.key_of(quote)])
        ]

    def beat(self, connection: Connection) -> None:
        connection.ping()
        if self.now_s() - connection.heard_at > SILENCE_S:
            connection.reset()
