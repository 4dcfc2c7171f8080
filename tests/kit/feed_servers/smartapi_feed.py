"""SmartAPI's market data server, SmartWebSocket V2 (`broker_protocols.md` 2.8)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.kit.feed_servers.quotes import Level, Quote
from tests.kit.feed_servers.server import Connection, FeedServer, Refusal

JWT, API_KEY, CLIENT, FEED_TOKEN = "eyJ.0.sig", "angelkey", "A12345", "feedtoken0"
SUBSCRIPTIONS_MAX, CONNECTIONS_MAX, DEPTH_TOKENS_MAX = 1000, 3, 50
LTP, QUOTE, SNAP_QUOTE, DEPTH = 1, 2, 3, 4
EXCHANGE_TYPES = (1, 2, 3, 4, 5, 7, 13)
CURRENCY = 13
NOISE = b"\x00noise after the token's end....."


def packet(quote: Quote, mode: int) -> bytes:
    """One instrument's message, little-endian: 51, 123, 379 or (depth) 443 bytes."""
    divisor = 10_000_000 if quote.segment == CURRENCY else 100

    def units(price: Decimal) -> int:
        return int(price * divisor)

    token = (str(quote.token).encode() + NOISE)[:25]
    head = struct.pack("<BB25s", mode, quote.segment, token)
    if mode == DEPTH:
        rows = [struct.pack("<iih", row.quantity, units(row.price), row.orders)
                for side in (quote.bids, quote.asks) for row in (side * 4)[:20]]  # fmt: skip
        return head + struct.pack("<qq", quote.sequence, quote.exchange_ms) + b"".join(rows)
    head += struct.pack("<qqq", quote.sequence, quote.exchange_ms, units(quote.last_price))
    if mode == LTP:
        return head
    head += struct.pack(
        "<qqqddqqqq",
        quote.last_qty, units(quote.avg_price), quote.volume, quote.buy_qty, quote.sell_qty,
        units(quote.open), units(quote.high), units(quote.low), units(quote.close),
    )  # fmt: skip
    if mode == QUOTE:
        return head

    def level(flag: int, row: Level) -> bytes:
        return struct.pack("<HqqH", flag, row.quantity, units(row.price), row.orders)

    best = [level(1, row) for row in quote.bids] + [level(0, row) for row in quote.asks]
    limits = (quote.upper_circuit, quote.lower_circuit, quote.high_52w, quote.low_52w)
    return b"".join(
        (
            head,
            struct.pack("<qqq", quote.last_trade_s, quote.oi, 0x7FF8_0000_0000_0000),
            *best,
            struct.pack("<4q", *map(units, limits)),
        )
    )


class SmartApiFeed(FeedServer):
    """Subscriptions are True by (exchange type, token, mode), each of which counts."""

    credentials = (JWT, API_KEY, CLIENT, FEED_TOKEN)

    def admit(self, query: dict[str, str], headers: Any) -> Any:
        jwt = headers.get("Authorization", "").removeprefix("Bearer ")
        names = ("x-api-key", "x-client-code", "x-feed-token")
        given = (jwt, *(headers.get(name, "") for name in names))
        if given != self.credentials:
            raise Refusal(401, "Unauthorized", x_error_message="Invalid token or client code")
        if self.count_of(given[2]) >= CONNECTIONS_MAX:
            raise Refusal(401, "Unauthorized", x_error_message="Connection limit exceeded")
        return given[2]

    def understand(self, connection: Connection, message: bytes) -> None:
        if message == b"ping":
            if not self.muted:
                connection.say("pong")
            return
        correlation = ""
        try:
            request = json.loads(message)
            correlation = str(request.get("correlationID", ""))
            keys = _keys(request)
            subscribes = {1: True, 0: False}[request["action"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            _fail(connection, correlation, "E1001", "Invalid Request Payload.")
            return
        if not subscribes:
            for key in keys:
                connection.subscriptions.pop(key, None)
            return
        new = [key for key in dict.fromkeys(keys) if key not in connection.subscriptions]
        depth = sum(key[2] == DEPTH for key in (*connection.subscriptions, *new))
        if len(connection.subscriptions) + len(new) > SUBSCRIPTIONS_MAX or depth > DEPTH_TOKENS_MAX:
            _fail(connection, correlation, "E1002", "Invalid Request. Subscription Limit Exceeded")
            return
        connection.subscriptions.update(dict.fromkeys(new, True))
        self.snapshot(connection, [key[:2] for key in new])

    def key_of(self, quote: Quote) -> Any:
        return quote.segment, str(quote.token)

    def pack(self, connection: Connection, quotes: Sequence[Quote]) -> list[bytes]:
        return [
            packet(quote, mode)
            for quote in quotes
            for mode in (LTP, QUOTE, SNAP_QUOTE, DEPTH)
            if (*self.key_of(quote), mode) in connection.subscriptions
        ]


def _keys(request: Any) -> list[tuple[int, str, int]]:
    """(exchange type, token, mode) of a request; raises what a wrong one makes it raise."""
    mode = request["params"]["mode"]
    if mode not in (LTP, QUOTE, SNAP_QUOTE, DEPTH):
        raise ValueError(mode)
    keys = []
    for part in request["params"]["tokenList"]:
        kind = part["exchangeType"]
        if kind not in EXCHANGE_TYPES or (mode == DEPTH and kind != 1):
            raise ValueError(kind)
        keys += [(kind, str(token), mode) for token in part["tokens"]]
    return keys


def _fail(connection: Connection, correlation: str, code: str, text: str) -> None:
    connection.say({"correlationID": correlation, "errorCode": code, "errorMessage": text})
