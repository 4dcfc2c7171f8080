"""Kite's market data socket (`broker_protocols.md` 1.6): its words, spoken by a FeedSocket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from adapters.feed_socket import Event, FeedSocket, Wanted
from adapters.kite import mapping
from adapters.packets import Batch, Notice
from adapters.token_table import TokenTable
from domain.errors import ConfigurationFault
from domain.instruments import InstrumentIndex, Listing
from domain.prices import MODE_DEPTH, MODE_LTP, MODE_QUOTE

TOKENS_A_REQUEST = 500  # a list of any length is taken; this keeps a request below 6 kB
SILENCE_S = 5.0  # the server beats every few seconds
MODE_WORDS = {MODE_LTP: "ltp", MODE_QUOTE: "quote", MODE_DEPTH: "full"}


class KiteDialect:
    """The key is `api_key:access_token`."""

    broker, shift_s = mapping.BROKER, 0
    heartbeat, heartbeat_s, silence_s = "", 0.0, SILENCE_S
    requests_per_s = 100.0  # no limit is published; one each timer period

    def __init__(self, key: str) -> None:
        self._key = key

    def handshake(self, url: str) -> tuple[str, list[str]]:
        """Both parts of the key in the address."""
        api_key, _, access_token = self._key.partition(":")
        if not api_key or not access_token:
            raise ConfigurationFault("the key of this feed must be api_key:access_token")
        query = urlencode({"api_key": api_key, "access_token": access_token})
        return f"{url}?{query}", ["X-Kite-Version: 3"]

    def requests(self, wanted: Wanted, *, subscribes: bool) -> list[str]:
        """A fresh subscription is a quote, so its mode is set after it."""
        texts = []
        for mode, word in MODE_WORDS.items():
            tokens = [int(listing.token) for listing, of in wanted if of == mode]
            for first in range(0, len(tokens), TOKENS_A_REQUEST):
                part = tokens[first : first + TOKENS_A_REQUEST]
                if subscribes:
                    texts.append(_request("subscribe", part))
                    texts.append(_request("mode", [word, part]))
                else:
                    texts.append(_request("unsubscribe", part))
        return texts

    def token_table(self, listings: Iterable[Listing]) -> TokenTable:
        """Rows by instrument token."""
        return mapping.token_table(listings)

    def packets_in(self, message: bytes) -> int:
        """Its first two bytes; none in a heartbeat."""
        return int.from_bytes(message[:2], "big") if len(message) > mapping.HEARTBEAT_BYTES else 0

    def decode(self, messages: list[bytes], tokens: TokenTable, received_ns: int) -> Batch:
        """Every packet of these messages."""
        return mapping.decode(messages, tokens, received_ns)

    def heard_text(self, text: str) -> list[Event]:
        """Errors and the broker's own words; orders are read elsewhere."""
        try:
            said = json.loads(text)
        except ValueError:
            return []
        if not isinstance(said, dict) or said.get("type") not in ("error", "message"):
            return []
        kind = "failed" if said["type"] == "error" else "message"
        return [(kind, str(said.get("data") or ""))]

    def heard_notice(self, notice: Notice) -> list[Event]:
        """There are none among its packets."""
        return []


def kite_stream(
    url: str, key: str, index: InstrumentIndex, *, clock: Callable[[], int]
) -> FeedSocket:
    """A FeedStream, not yet open."""
    return FeedSocket(url, KiteDialect(key), index, clock=clock)


def _request(action: str, value: Any) -> str:
    return json.dumps({"a": action, "v": value}, separators=(",", ":"))
