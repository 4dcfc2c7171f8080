"""Kite's market data server (`broker_protocols.md` 1.6)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.kit.feed_servers.quotes import Level, Quote
from tests.kit.feed_servers.server import Connection, FeedServer, Refusal, frame

API_KEY, ACCESS_TOKEN = "kitekey0", "0123456789abcdefghijklmnopqrstuv"
TOKENS_MAX, CONNECTIONS_MAX = 3000, 3
HEARTBEAT = b"\x00"
INDICES = 9
DIVISORS = {3: 10_000_000, 6: 10_000, 12: 10_000}
MODES = ("ltp", "quote", "full")


def packet(quote: Quote, mode: str) -> bytes:
    """One instrument's bytes, big-endian; 8, 44 or 184 of them, an index 8, 28 or 32."""
    divisor = DIVISORS.get(quote.segment, 100)

    def units(price: Decimal) -> int:
        return int(price * divisor)

    head = struct.pack(">Ii", quote.token, units(quote.last_price))
    if mode == "ltp":
        return head
    if quote.segment == INDICES:
        change = quote.last_price - quote.close
        prices = (quote.high, quote.low, quote.open, quote.close, change)
        body = head + struct.pack(">5i", *map(units, prices))
        return body + struct.pack(">I", quote.exchange_ms // 1000) if mode == "full" else body
    head += struct.pack(
        ">9i",
        quote.last_qty, units(quote.avg_price), quote.volume, quote.buy_qty, quote.sell_qty,
        units(quote.open), units(quote.high), units(quote.low), units(quote.close),
    )  # fmt: skip
    if mode == "quote":
        return head
    times = struct.pack(
        ">5I",
        quote.last_trade_s, quote.oi, quote.oi_high, quote.oi_low, quote.exchange_ms // 1000,
    )  # fmt: skip

    def level(row: Level) -> bytes:
        return struct.pack(">iiH2s", row.quantity, units(row.price), row.orders, b"\xaa\x55")

    return head + times + b"".join(map(level, (*quote.bids, *quote.asks)))


def message(packets: Sequence[bytes]) -> bytes:
    """Packets as one message: how many, then each with its length."""
    parts = [struct.pack(">H", len(packets))]
    for body in packets:
        parts += (struct.pack(">H", len(body)), body)
    return b"".join(parts)


class KiteFeed(FeedServer):
    """Subscriptions are mode by token; a new one is `quote`."""

    credentials = (API_KEY, ACCESS_TOKEN)

    def admit(self, query: dict[str, str], headers: Any) -> Any:
        given = (query.get("api_key", ""), query.get("access_token", ""))
        if given != self.credentials:
            raise Refusal(403, "Authentication failed")
        if self.count_of(given[0]) >= CONNECTIONS_MAX:
            raise Refusal(403, f"More than {CONNECTIONS_MAX} connections")
        return given[0]

    def understand(self, connection: Connection, message: bytes) -> None:
        try:
            request = json.loads(message)
            action, value = request["a"], request["v"]
            mode, tokens = value if action == "mode" else ("quote", value)
            tokens = [int(token) for token in tokens]
        except (ValueError, KeyError, TypeError):
            connection.say({"type": "error", "data": "Invalid message"})
            return
        if action == "subscribe":
            self._subscribe(connection, tokens)
        elif action == "unsubscribe":
            for token in tokens:
                connection.subscriptions.pop(token, None)
        elif action == "mode" and mode in MODES:
            known = [token for token in tokens if token in connection.subscriptions]
            connection.subscriptions.update(dict.fromkeys(known, mode))
            self.snapshot(connection, known)
        else:
            connection.say({"type": "error", "data": f"Unknown action {action}"})

    def _subscribe(self, connection: Connection, tokens: list[int]) -> None:
        new = [token for token in dict.fromkeys(tokens) if token not in connection.subscriptions]
        room = TOKENS_MAX - len(connection.subscriptions)
        if len(new) > room:
            text = f"{len(new) - max(room, 0)} tokens over the limit of {TOKENS_MAX}"
            connection.say({"type": "error", "data": text})
        connection.subscriptions.update(dict.fromkeys(new[:room], "quote"))
        self.snapshot(connection, new[:room])

    def pack(self, connection: Connection, quotes: Sequence[Quote]) -> list[bytes]:
        wanted = connection.subscriptions
        bodies = [packet(row, wanted[row.token]) for row in quotes if row.token in wanted]
        return [message(bodies)] if bodies else []

    def beat(self, connection: Connection) -> None:
        connection.write(frame(HEARTBEAT))
