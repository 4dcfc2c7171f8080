"""WebSocketApp: the WebSocket port of one instance: who may speak, and what is answered.

`action` and `type` both name the request; an error never closes the socket (`openalgo.md` 7).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from adapters.sandbox.frames import MODE_NAMES
from adapters.sandbox.hub import Connection, Hub
from adapters.sandbox.instance import USER_ID
from adapters.sandbox.protocols import PROTOCOL, abort
from domain.instruments import Listing

AUTHENTICATE_WITHIN_S = 15.0
AUTH_TIMEOUT_CODE = 4401
DEPTH_LEVELS = 5
DEFAULT_MODE = 2
NS_PER_MS = 1_000_000

Message = dict[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)

_MODE_WORDS = {
    word: mode for mode, name in MODE_NAMES.items() for word in (name.upper(), str(mode))
}


class WebSocketApp:
    """Serves the sockets of one instance."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._instance = hub.instance
        self._verbs: dict[str, Callable[[Connection, Message], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "unsubscribe_all": self._unsubscribe_all,
            "subscribe_orders": self._subscribe_orders,
            "unsubscribe_orders": self._unsubscribe_orders,
            "subscribe_steps": self._subscribe_steps,
            "get_broker_info": self._broker_info,
            "get_supported_brokers": self._supported_brokers,
        }

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One socket, from its first byte to its last."""
        if scope["type"] != "websocket":
            await _only_sockets(send)
            return
        await receive()
        protocol = scope[PROTOCOL]
        if self._instance.faults.is_on("drop_socket", self._instance.name):
            abort(protocol.transport)
            return
        await send({"type": "websocket.accept"})
        connection = Connection(protocol)
        self._hub.connections.add(connection)
        try:
            await self._converse(connection, receive, send)
        finally:
            self._hub.leave(connection)

    async def _converse(self, connection: Connection, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AUTHENTICATE_WITHIN_S
        while True:
            left = None if connection.authenticated else max(0.0, deadline - loop.time())
            try:
                event = await asyncio.wait_for(receive(), left)
            except TimeoutError:
                reason = {"code": AUTH_TIMEOUT_CODE, "reason": "auth timeout"}
                await send({"type": "websocket.close", **reason})
                return
            if event["type"] == "websocket.disconnect":
                return
            self._hear(connection, event.get("text") or event.get("bytes") or "")

    def _hear(self, connection: Connection, text: str | bytes) -> None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            _fail(connection, "INVALID_JSON", "Invalid JSON message")
            return
        verb = message.get("action", message.get("type"))
        if verb == "ping":
            self._ping(connection, message)
        elif verb in ("authenticate", "auth"):
            self._authenticate(connection, message)
        elif not isinstance(verb, str) or verb not in self._verbs:
            _fail(connection, "INVALID_ACTION", f"Invalid action: {verb}")
        elif not connection.authenticated:
            _fail(connection, "NOT_AUTHENTICATED", "You must authenticate first")
        else:
            self._carry_out(verb, connection, message)

    def _carry_out(self, verb: str, connection: Connection, message: Message) -> None:
        try:
            self._verbs[verb](connection, message)
        except Exception:
            # One bad request must not cost the caller its socket; the trace is for the log.
            log.exception("sandbox %s: %s failed", self._instance.name, verb)
            _fail(connection, "PROCESSING_ERROR", f"{verb} could not be carried out")

    # -- requests

    def _ping(self, connection: Connection, message: Message) -> None:
        answer = {
            "type": "pong",
            "status": "success",
            "server_timestamp": self._instance.market.now_ns() // NS_PER_MS,
        }
        if "timestamp" in message:
            answer["client_timestamp"] = message["timestamp"]
        if "_pingId" in message:
            answer["_pingId"] = message["_pingId"]
        connection.say(answer)

    def _authenticate(self, connection: Connection, message: Message) -> None:
        key = message.get("api_key", message.get("apikey"))
        if not key:
            _fail(connection, "AUTHENTICATION_ERROR", "API key is required")
            return
        if not self._instance.accepts(key):
            _fail(connection, "AUTHENTICATION_ERROR", "Invalid API key")
            return
        connection.authenticated = True
        connection.say(
            {
                "type": "auth",
                "status": "success",
                "message": "Authentication successful",
                "broker": self._instance.name,
                "user_id": USER_ID,
                "supported_features": {"ltp": True, "quote": True, "depth": True},
            }
        )

    def _subscribe(self, connection: Connection, message: Message) -> None:
        wanted = _symbols_of(message)
        if not wanted:
            _fail(connection, "INVALID_PARAMETERS", "At least one symbol must be specified")
            return
        modes = [_mode_of(row.get("mode", message.get("mode", DEFAULT_MODE))) for row in wanted]
        if None in modes:
            _fail_mode(connection, message, wanted)
            return
        rows: list[Message] = []
        added: list[tuple[Listing, int]] = []
        for row, mode in zip(wanted, modes, strict=True):
            rows.append(self._subscribe_one(connection, row, mode or DEFAULT_MODE, added))
        good = all(row["status"] == "success" for row in rows)
        answer = {
            "type": "subscribe",
            "status": "success" if good else "partial",
            "subscriptions": rows,
            "message": "Subscription processing complete",
            "broker": self._instance.name,
        }
        if connection.wants_steps:  # the answer then says that the snapshots have been sent too
            self._send_snapshots(connection, added)
            _say_with_id(connection, answer, message)
        else:
            _say_with_id(connection, answer, message)
            self._send_snapshots(connection, added)

    def _send_snapshots(self, connection: Connection, added: list[tuple[Listing, int]]) -> None:
        for listing, mode in added:
            self._hub.send_snapshot(connection, listing, mode)

    def _subscribe_one(
        self, connection: Connection, row: Message, mode: int, added: list[tuple[Listing, int]]
    ) -> Message:
        symbol, exchange = _name_of(row)
        names = {"symbol": symbol, "exchange": exchange}
        listing = self._instance.market.find(exchange, symbol)
        if listing is None:
            text = f"Symbol {symbol} not found in exchange {exchange}"
            return {**names, "status": "error", "message": text}
        if not self._hub.add(connection, listing, mode):
            return {**names, "status": "error", "message": "Too many symbols on this connection"}
        added.append((listing, mode))
        return {
            **names,
            "status": "success",
            "mode": MODE_NAMES[mode],
            "depth": DEPTH_LEVELS,
            "broker": self._instance.name,
        }

    def _unsubscribe(self, connection: Connection, message: Message) -> None:
        if message.get("unsubscribe_all"):
            self._unsubscribe_all(connection, message)
            return
        wanted = _symbols_of(message)
        if not wanted:
            text = "Either symbols or unsubscribe_all is required"
            _fail(connection, "INVALID_PARAMETERS", text)
            return
        modes = [_mode_of(row.get("mode", message.get("mode", DEFAULT_MODE))) for row in wanted]
        if None in modes:
            _fail_mode(connection, message, wanted)
            return
        ended: list[Message] = []
        failed: list[Message] = []
        for row, mode in zip(wanted, modes, strict=True):
            symbol, exchange = _name_of(row)
            names = {"symbol": symbol, "exchange": exchange}
            listing = self._instance.market.find(exchange, symbol)
            if listing and self._hub.remove(connection, listing.listing_id, mode or DEFAULT_MODE):
                ended.append({**names, "status": "success", "broker": self._instance.name})
            else:
                failed.append({**names, "status": "error", "message": "Not subscribed"})
        self._say_unsubscribed(connection, message, ended=ended, failed=failed)

    def _unsubscribe_all(self, connection: Connection, message: Message) -> None:
        ended: list[Message] = []
        by_id = self._instance.market.source.index.by_id
        for listing_id, mode in sorted(connection.subscriptions):
            self._hub.remove(connection, listing_id, mode)
            listing = by_id[listing_id]
            names = {"symbol": listing.symbol, "exchange": listing.exchange}
            ended.append({**names, "status": "success", "broker": self._instance.name})
        self._say_unsubscribed(connection, message, ended=ended, failed=[])

    def _say_unsubscribed(
        self,
        connection: Connection,
        message: Message,
        *,
        ended: list[Message],
        failed: list[Message],
    ) -> None:
        answer = {
            "type": "unsubscribe",
            "status": "partial" if failed else "success",
            "message": "Unsubscription processing complete",
            "successful": ended,
            "failed": failed,
            "broker": self._instance.name,
        }
        _say_with_id(connection, answer, message)

    def _subscribe_orders(self, connection: Connection, message: Message) -> None:
        connection.wants_orders = True
        _confirm(connection, "subscribe_orders", "Subscribed to order updates")

    def _unsubscribe_orders(self, connection: Connection, message: Message) -> None:
        connection.wants_orders = False
        _confirm(connection, "unsubscribe_orders", "Unsubscribed from order updates")

    def _subscribe_steps(self, connection: Connection, message: Message) -> None:
        connection.wants_steps = True
        # The step that is over already: a socket that came later need not wait for its mark.
        answer = {"type": "subscribe_steps", "status": "success", "step": self._hub.last_step}
        connection.say({**answer, "message": "Subscribed to replay steps"})

    def _broker_info(self, connection: Connection, message: Message) -> None:
        connection.say(
            {
                "type": "broker_info",
                "status": "success",
                "broker": self._instance.name,
                "adapter_status": "connected",
                "user_id": USER_ID,
            }
        )

    def _supported_brokers(self, connection: Connection, message: Message) -> None:
        names = list(self._instance.brokers)
        answer = {"type": "supported_brokers", "status": "success", "brokers": names}
        connection.say({**answer, "count": len(names)})


def _symbols_of(message: Message) -> list[Message]:
    """The symbols a request names, in either shape; empty when it names none."""
    if message.get("symbol") and message.get("exchange"):
        return [message]
    rows = message.get("symbols")
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict)]


def _name_of(row: Message) -> tuple[str, str]:
    return str(row.get("symbol", "")).upper(), str(row.get("exchange", "")).upper()


def _mode_of(value: Any) -> int | None:
    if isinstance(value, str):
        return _MODE_WORDS.get(value.upper())
    return value if type(value) is int and value in MODE_NAMES else None


def _fail(connection: Connection, code: str, text: str) -> None:
    connection.say({"status": "error", "code": code, "message": text})


def _fail_mode(connection: Connection, message: Message, rows: list[Message]) -> None:
    asked = (row.get("mode", message.get("mode", DEFAULT_MODE)) for row in rows)
    wrong = next(mode for mode in asked if _mode_of(mode) is None)
    text = f"Invalid mode {wrong}; expected 1 (LTP), 2 (Quote), or 3 (Depth)"
    _fail(connection, "INVALID_MODE", text)


def _confirm(connection: Connection, kind: str, text: str) -> None:
    connection.say({"type": kind, "status": "success", "message": text})


def _say_with_id(connection: Connection, answer: Message, message: Message) -> None:
    if "request_id" in message:
        answer["request_id"] = message["request_id"]
    connection.say(answer)


async def _only_sockets(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"upgrade", b"websocket")]
    body = b'{"status":"error","message":"This port speaks WebSocket only"}'
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": body})
