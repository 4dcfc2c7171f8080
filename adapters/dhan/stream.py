"""Dhan's market data socket (`broker_protocols.md` 3.5, `subscriptions.md` 11): its words, spoken
by a FeedSocket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

from adapters.dhan import mapping
from adapters.feed_socket import Event, FeedSocket, Wanted
from adapters.packets import Batch, Notice
from adapters.token_table import TokenTable
from domain.errors import ConfigurationFault
from domain.instruments import InstrumentIndex, Listing
from domain.prices import MODE_DEPTH, MODE_LTP, MODE_QUOTE

INSTRUMENTS_A_REQUEST = 100
REQUESTS_PER_S = 10.0
SILENCE_S = 25.0  # two of the server's pings missed
# 15, the ticker, carries no volume; subscribing is odd, ending the same is one more.
CODES = {MODE_LTP: 17, MODE_QUOTE: 17, MODE_DEPTH: 21}
SEGMENT_WORDS = {
    0: "IDX_I", 1: "NSE_EQ", 2: "NSE_FNO", 3: "NSE_CURRENCY", 4: "BSE_EQ", 5: "MCX_COMM",
    7: "BSE_CURRENCY", 8: "BSE_FNO",
}  # fmt: skip
REFUSALS = {
    804: "too many instruments",
    805: "too many connections or requests",
    806: "no plan for market data",
    807: "the access token has expired",
    808: "authentication failed",
    809: "the access token is invalid",
    810: "the client id is invalid",
    811: "an expiry is invalid",
    812: "a date is invalid",
    813: "a security id is invalid",
    814: "a request is invalid",
}


class DhanDialect:
    """The key is `client_id:access_token`."""

    broker = mapping.BROKER
    heartbeat, heartbeat_s, silence_s = "", 0.0, SILENCE_S
    requests_per_s = REQUESTS_PER_S

    def __init__(self, key: str) -> None:
        self._key = key
        self.shift_s = 0  # once seen: last trade times are Indian wall time

    def handshake(self, url: str) -> tuple[str, list[str]]:
        """Both parts of the key in the address. A wrong one is told after the handshake."""
        client, _, token = self._key.partition(":")
        if not client or not token:
            raise ConfigurationFault("the key of this feed must be client_id:access_token")
        query = urlencode({"version": 2, "token": token, "clientId": client, "authType": 2})
        return f"{url}?{query}", []

    def requests(self, wanted: Wanted, *, subscribes: bool) -> list[str]:
        """At most 100 instruments a request, segments mixed."""
        by_code: dict[int, list[dict[str, str]]] = {}
        for listing, mode in wanted:
            segment = mapping.SEGMENTS.get(listing.exchange)
            if segment is not None:
                row = {"ExchangeSegment": SEGMENT_WORDS[segment], "SecurityId": listing.token}
                by_code.setdefault(CODES[mode] + (not subscribes), []).append(row)
        return [
            _request(code, rows[first : first + INSTRUMENTS_A_REQUEST])
            for code, rows in by_code.items()
            for first in range(0, len(rows), INSTRUMENTS_A_REQUEST)
        ]

    def token_table(self, listings: Iterable[Listing]) -> TokenTable:
        """Rows by segment and security id."""
        return mapping.token_table(listings)

    def packets_in(self, message: bytes) -> int:
        """Mostly one; that a few are in one message bends the limit of a batch by as many."""
        return 1

    def decode(self, messages: list[bytes], tokens: TokenTable, received_ns: int) -> Batch:
        """Every packet of these messages, times set right once they are seen to be shifted."""
        batch = mapping.decode(messages, tokens, received_ns, bool(self.shift_s))
        if not self.shift_s and mapping.shift_seen(batch.packets, received_ns):
            self.shift_s = mapping.IST_SHIFT_S
            batch = mapping.decode(messages, tokens, received_ns, is_shifted=True)
        return batch

    def heard_text(self, text: str) -> list[Event]:
        """It says nothing in text."""
        return []

    def heard_notice(self, notice: Notice) -> list[Event]:
        """Why the server ends the connection. What a person must put right is a refusal, and so is
        too many connections: to hurry back would end another of ours."""
        if notice.kind != "disconnect":
            return []
        words = REFUSALS.get(notice.reason or 0)
        text = f"{notice.reason} {words or 'disconnected by the server'}"
        return [("refused" if words else "closed", text)]


def dhan_stream(
    url: str, key: str, index: InstrumentIndex, *, clock: Callable[[], int]
) -> FeedSocket:
    """A FeedStream, not yet open."""
    return FeedSocket(url, DhanDialect(key), index, clock=clock)


def _request(code: int, rows: list[dict[str, str]]) -> str:
    body = {"RequestCode": code, "InstrumentCount": len(rows), "InstrumentList": rows}
    return json.dumps(body, separators=(",", ":"))
