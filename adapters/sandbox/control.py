"""The control port: the exchange's clock, its fault switches, its reset; and a client of all three.

ControlApp serves it, on loopback only; the stepper, the drills and the tests use SandboxControl.
A POST must carry JSON as its content type, and the Host must be ours, so that no web page can send
one behind a user's back.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Awaitable, Callable, MutableMapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from adapters.sandbox.faults import FAULTS, Switch
from adapters.sandbox.validation import Field, Schema, boolean, integer, number, one_of, text
from domain.clock import NS_PER_S
from domain.errors import BrokerRejected, NotSent, OutcomeUnknown

if TYPE_CHECKING:
    from adapters.sandbox.server import SandboxServer

LOOPBACK = "127.0.0.1"
OUR_NAMES = (b"127.0.0.1", b"localhost")
CLIENT_TIMEOUT_S = 60.0
ZERO = Decimal(0)
BODY_BYTES_MAX = 100_000

_FAULT = Schema(
    {
        "fault": Field(one_of(*FAULTS), required=True),
        "on": Field(boolean, required=True),
        "nth": Field(integer("nth begins at 1", least=1), default=0),
        "times": Field(integer("times begins at 1", least=1), default=0),
        "for_s": Field(number("for_s cannot be below 0", least=ZERO), default=ZERO),
        "instance": Field(text(), default=""),
        "endpoint": Field(text(), default=""),
    }
)
_CLOCK = Schema(
    {
        "to_ns": Field(integer("to_ns cannot be below 0", least=0)),
        "step_s": Field(number("step_s cannot be below 0", least=ZERO)),
    }
)
_RESET = Schema({"instance": Field(text(), default="")})

Reply = tuple[int, dict[str, Any]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ControlApp:
    """The control port's ASGI application."""

    def __init__(self, server: SandboxServer) -> None:
        self._server = server
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any]], Reply]] = {
            ("GET", "/status"): lambda _: (200, self._server.status()),
            ("GET", "/faults"): lambda _: (200, {"faults": self._server.faults.report()}),
            ("POST", "/faults"): self._throw,
            ("POST", "/clock"): self._move,
            ("POST", "/reset"): self._reset,
        }

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        body = await _read(receive)
        status, reply = self._answer(scope, body)
        reply = {"status": "success" if status == 200 else "error", **reply}
        content = json.dumps(reply, separators=(",", ":")).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, scope: MutableMapping[str, Any], body: bytes) -> Reply:
        path, headers = scope["path"].rstrip("/"), dict(scope["headers"])
        if headers.get(b"host", b"").rpartition(b":")[0] not in OUR_NAMES:
            return 403, {"message": "The control port answers to this machine's own name only"}
        route = self._routes.get((scope["method"], path))
        if route is None:
            return 404, {"message": "Not found", "path": path}
        if scope["method"] == "GET":
            return route({})
        if not headers.get(b"content-type", b"").startswith(b"application/json"):
            return 415, {"message": "Content-Type must be application/json"}
        try:
            fields = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return 400, {"message": "The body is not JSON"}
        if not isinstance(fields, dict):
            return 400, {"message": "The body is not a JSON object"}
        return route(fields)

    def _throw(self, body: dict[str, Any]) -> Reply:
        fields, errors = _FAULT.read(body)
        if errors:
            return 400, {"message": errors}
        names = [row.name for row in self._server.instances]
        if fields["instance"] and fields["instance"] not in names:
            return 400, {
                "message": f"No instance {fields['instance']}; there is {', '.join(names)}"
            }
        on = fields.pop("on")
        if on:
            self._server.faults.throw(Switch(**{**fields, "for_s": float(fields["for_s"])}))
        else:
            self._server.faults.off(fields["fault"])
        self._server.drop_sockets()
        return 200, {"faults": self._server.faults.report()}

    def _move(self, body: dict[str, Any]) -> Reply:
        fields, errors = _CLOCK.read(body)
        if errors:
            return 400, {"message": errors}
        if not self._server.config.stepped:
            return 409, {"message": "This exchange's clock runs by itself; start it stepped"}
        to_ns = fields["to_ns"]
        if (to_ns is None) == (fields["step_s"] is None):
            return 400, {"message": "Give either to_ns or step_s"}
        if to_ns is None:
            to_ns = self._server.market.now_ns() + round(fields["step_s"] * NS_PER_S)
        return 200, self._server.advance(to_ns)

    def _reset(self, body: dict[str, Any]) -> Reply:
        fields, errors = _RESET.read(body)
        if errors:
            return 400, {"message": errors}
        self._server.reset(fields["instance"])
        return 200, {"message": "Books cleared, capital restored"}


async def _read(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        event = await receive()
        body = (body + event.get("body", b""))[:BODY_BYTES_MAX]
        more = event.get("more_body", False)
    return body


class SandboxControl:
    """Client of a control port; keeps one connection. Not for use from two threads at once."""

    def __init__(self, port: int, timeout_s: float = CLIENT_TIMEOUT_S) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)

    def advance(self, to_ns: int) -> dict[str, Any]:
        """Moves a stepped clock; answers {now_ns, next_ns, ended, step}."""
        return self._call("POST", "/clock", {"to_ns": to_ns})

    def step(self, step_s: float) -> dict[str, Any]:
        """Moves a stepped clock by so many seconds."""
        return self._call("POST", "/clock", {"step_s": step_s})

    def status(self) -> dict[str, Any]:
        """What the exchange says of itself."""
        return self._call("GET", "/status")

    def faults(self) -> list[dict[str, Any]]:
        """Every fault with its state."""
        rows: list[dict[str, Any]] = self._call("GET", "/faults")["faults"]
        return rows

    def fault_on(self, fault: str, **terms: Any) -> None:
        """Throws a switch; terms are nth, times, for_s, instance, endpoint."""
        self._call("POST", "/faults", {"fault": fault, "on": True, **terms})

    def fault_off(self, fault: str) -> None:
        """Switches a fault off."""
        self._call("POST", "/faults", {"fault": fault, "on": False})

    def reset(self, instance: str = "") -> None:
        """Clears the books of one instance, or of all."""
        self._call("POST", "/reset", {"instance": instance} if instance else {})

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request(method, path, json.dumps(body or {}), headers)
        except OSError as refused:
            self._connection.close()
            raise NotSent(f"the sandbox's control port does not answer: {refused}") from refused
        try:
            answer = self._connection.getresponse()
            reply: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as broken:
            self._connection.close()
            raise OutcomeUnknown(f"the sandbox's control port broke off: {broken}") from broken
        if answer.status != 200:
            raise BrokerRejected(f"the sandbox's control port refused: {reply.get('message')}")
        return reply
