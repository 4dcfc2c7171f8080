"""SmartAPI's market data socket (`broker_protocols.md` 2.8): its words, spoken by a FeedSocket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from adapters.feed_socket import Event, FeedSocket, Wanted
from adapters.packets import Batch, Notice
from adapters.smartapi import mapping
from adapters.token_table import TokenTable
from domain.errors import ConfigurationFault
from domain.instruments import InstrumentIndex, Listing
from domain.prices import MODE_DEPTH, MODE_LTP, MODE_QUOTE

TOKENS_A_REQUEST = 500  # a list of any length is taken; this keeps a request below 6 kB
HEARTBEAT_S = 10.0  # 30 s is asked for, 10 s is fine: a dead socket is seen sooner
SILENCE_S = 25.0  # two pongs missed
CORRELATION = "tomic"
MODES = {MODE_LTP: 1, MODE_QUOTE: 2, MODE_DEPTH: 3}
KEY_PARTS = 4


class SmartApiDialect:
    """The key is `api_key:client_code:feed_token:jwt`."""

    broker, shift_s = mapping.BROKER, 0
    heartbeat, heartbeat_s, silence_s = "ping", HEARTBEAT_S, SILENCE_S
    requests_per_s = 100.0  # no limit is published; one each timer period

    def __init__(self, key: str) -> None:
        self._key = key

    def handshake(self, url: str) -> tuple[str, list[str]]:
        """Every part of the key in a header."""
        parts = self._key.split(":")
        if len(parts) != KEY_PARTS or not all(parts):
            raise ConfigurationFault(
                "the key of this feed must be api_key:client_code:feed_token:jwt"
            )
        api_key, client, feed_token, jwt = parts
        return url, [
            f"Authorization: Bearer {jwt.removeprefix('Bearer ')}",
            f"x-api-key: {api_key}",
            f"x-client-code: {client}",
            f"x-feed-token: {feed_token}",
        ]

    def requests(self, wanted: Wanted, *, subscribes: bool) -> list[str]:
        """One request a mode and 500 tokens, each exchange's tokens together."""
        texts = []
        for mode, number in MODES.items():
            named = [(mapping.EXCHANGE_TYPES[listing.exchange], listing.token)
                     for listing, of in wanted
                     if of == mode and listing.exchange in mapping.EXCHANGE_TYPES]  # fmt: skip
            for first in range(0, len(named), TOKENS_A_REQUEST):
                by_exchange: dict[int, list[str]] = {}
                for exchange, token in named[first : first + TOKENS_A_REQUEST]:
                    by_exchange.setdefault(exchange, []).append(token)
                rows = [{"exchangeType": kind, "tokens": by_exchange[kind]} for kind in by_exchange]
                texts.append(
                    json.dumps(
                        {
                            "correlationID": CORRELATION,
                            "action": int(subscribes),
                            "params": {"mode": number, "tokenList": rows},
                        }
                    )
                )
        return texts

    def token_table(self, listings: Iterable[Listing]) -> TokenTable:
        """Rows by exchange type and token."""
        return mapping.token_table(listings)

    def packets_in(self, message: bytes) -> int:
        """A message is a packet."""
        return 1

    def decode(self, messages: list[bytes], tokens: TokenTable, received_ns: int) -> Batch:
        """Every packet of these messages."""
        return mapping.decode(messages, tokens, received_ns)

    def heard_text(self, text: str) -> list[Event]:
        """Errors; a pong says by its coming all that it has to say."""
        try:
            said = json.loads(text)
        except ValueError:
            return []
        if not isinstance(said, dict) or not said.get("errorCode"):
            return []
        return [("failed", f"{said['errorCode']} {said.get('errorMessage') or ''}".strip())]

    def heard_notice(self, notice: Notice) -> list[Event]:
        """There are none among its packets."""
        return []


def smartapi_stream(
    url: str, key: str, index: InstrumentIndex, *, clock: Callable[[], int]
) -> FeedSocket:
    """A FeedStream, not yet open."""
    return FeedSocket(url, SmartApiDialect(key), index, clock=clock)
