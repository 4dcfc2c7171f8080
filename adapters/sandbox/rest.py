"""RestApp: the REST port of one instance, as an ASGI application.

A call goes: rate limit, faults of the test bench, JSON, fields, key, rules (`openalgo.md` 1.1). The
connection's transport comes in the scope (`adapters.sandbox.protocols`): a reset is a real one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from adapters.sandbox.account_routes import book_as_of
from adapters.sandbox.config import RateLimits
from adapters.sandbox.endpoints import ENDPOINTS, PATH_ENDPOINTS, Endpoint, Family, Pace
from adapters.sandbox.instance import Answer, Instance, error
from adapters.sandbox.limits import RateLimiter
from adapters.sandbox.pages import SessionPages
from adapters.sandbox.protocols import reset_connection
from domain.clock import seconds

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

API_PREFIX = "/api/v1/"
BODY_BYTES_MAX = 1_000_000
DELAY_S = 1.0
LATE_BOOK_S = 5.0
NOT_JSON = "The browser (or proxy) sent a request that this server could not understand."
UNEXPECTED = "An unexpected error occurred"
GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body></body></html>"
BAD_KEY = "Invalid openalgo apikey"

log = logging.getLogger(__name__)


class RestApp:
    """Answers every path of one REST port. `limiter` None counts nothing (a stepped replay)."""

    def __init__(
        self,
        instance: Instance,
        pages: SessionPages,
        limiter: RateLimiter | None,
        limits: RateLimits,
    ) -> None:
        self._instance = instance
        self._pages = pages
        self._limiter = limiter
        self._per_s = {
            Pace.ORDER: limits.order_per_s,
            Pace.SMART: limits.smart_order_per_s,
            Pace.API: limits.api_per_s,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        answer = await self._answer(scope, body, receive)
        if answer is not None:
            self._instance.calls_answered += 1
            await _send(answer, send)

    async def _answer(self, scope: Scope, body: bytes | None, receive: Receive) -> Answer | None:
        """The answer, or None when the test bench lets the call hang or resets it."""
        path = scope["path"]
        if not path.startswith(API_PREFIX):
            return self._pages.answer(scope, body or b"") or _no_such(path)
        endpoint, argument = _find(scope["method"], path)
        if endpoint is None:
            return _no_such(path)
        limit = self._over_limit(scope, endpoint)
        if limit:
            return _too_many(limit)
        if body is None:
            return error("Request body is too large", 413)
        return await self._under_faults(endpoint, scope, receive, body=body, argument=argument)

    async def _under_faults(
        self, endpoint: Endpoint, scope: Scope, receive: Receive, *, body: bytes, argument: str
    ) -> Answer | None:
        faults, where = self._instance.faults, (self._instance.name, endpoint.name)
        late = faults.strike("delay", *where)
        if late:
            await asyncio.sleep(late.for_s or DELAY_S)
        if faults.strike("http_429", *where):
            return _too_many(f"{self._per_s[endpoint.pace]} per 1 second")
        if faults.strike("http_500", *where):
            return _unexpected(endpoint)
        if faults.strike("connection_reset", *where):
            reset_connection(scope)
            return None
        hang = faults.strike("timeout_before_accept", *where)
        if hang is None:
            answer = self._carry_out(endpoint, scope, body, argument)
            hang = faults.strike("timeout_after_accept", *where)
            if hang is None:
                return self._disfigured(answer, where)
        await _hang(receive, hang.for_s)
        reset_connection(scope)
        return None

    def _disfigured(self, answer: Answer, where: tuple[str, str]) -> Answer:
        """What is left of the answer to a call that was carried out."""
        faults = self._instance.faults
        if faults.strike("http_502", *where):
            return Answer(GATEWAY_PAGE, 502, "text/html")
        if faults.strike("empty_answer", *where):
            return Answer("")
        late = faults.strike("late_book", *where)
        if late:
            seen_ns = self._instance.market.now_ns() - seconds(late.for_s or LATE_BOOK_S)
            return book_as_of(self._instance, seen_ns)
        return _without_ids(answer) if faults.strike("drop_ids", *where) else answer

    def _carry_out(self, endpoint: Endpoint, scope: Scope, body: bytes, argument: str) -> Answer:
        fields = _query(scope) if endpoint.method == "GET" else _parse(body)
        if fields is None:
            return error(NOT_JSON)
        _adapt(endpoint, scope, fields)
        values, errors = endpoint.schema.read(fields)
        if errors:
            return _bad_fields(endpoint, errors)
        if endpoint.keyed and not self._instance.accepts(values["apikey"]):
            return _bad_key(endpoint, values)
        try:
            return endpoint.handler(self._instance, {**values, "path": argument})
        except Exception:
            # A caller gets an answer whatever broke; the trace is for the log, not for the wire.
            log.exception("sandbox %s: %s failed", self._instance.name, endpoint.name)
            return _unexpected(endpoint)

    def _over_limit(self, scope: Scope, endpoint: Endpoint) -> str:
        if self._limiter is None:
            return ""
        group = Pace.API.value if endpoint.pace == Pace.API else endpoint.name
        caller = scope["client"][0] if scope.get("client") else ""
        return self._limiter.refusal(caller, group, self._per_s[endpoint.pace])


def _find(method: str, path: str) -> tuple[Endpoint | None, str]:
    name = path.removeprefix(API_PREFIX).rstrip("/")
    head, _, argument = name.partition("/")
    if head in PATH_ENDPOINTS:
        return (ENDPOINTS.get((method, head)) if argument else None), argument
    return ENDPOINTS.get((method, name)), ""


def _adapt(endpoint: Endpoint, scope: Scope, fields: dict[str, Any]) -> None:
    """Older callers: key in a header, `order_id`, status without strategy (`openalgo.md` 14)."""
    if endpoint.takes_order_id_alias and "order_id" in fields and "orderid" not in fields:
        fields["orderid"] = fields.pop("order_id")
    if "apikey" in fields:
        return
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    if key:
        fields["apikey"] = key
        if endpoint.name == "orderstatus":
            fields.setdefault("strategy", "header")


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _query(scope: Scope) -> dict[str, Any]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def _bad_fields(endpoint: Endpoint, errors: dict[Any, Any]) -> Answer:
    if endpoint.family == Family.OPTIONS:
        body = {"status": "error", "message": "Validation error", "errors": errors}
        return Answer(body, 400)
    return error(str(errors) if endpoint.family == Family.ORDER else errors)


def _bad_key(endpoint: Endpoint, values: dict[str, Any]) -> Answer:
    if endpoint.name == "optionchain":
        return error(f"Failed to fetch LTP for {values['underlying']}: {BAD_KEY}", 403)
    return error(BAD_KEY, 403)


def _no_such(path: str) -> Answer:
    return Answer({"status": "error", "message": "Not found", "path": path}, 404)


def _too_many(limit: str) -> Answer:
    return replace(error(limit, 429), headers=((b"retry-after", b"1"),))


def _unexpected(endpoint: Endpoint) -> Answer:
    where = " in the API endpoint" if endpoint.family == Family.ORDER else ""
    return error(UNEXPECTED + where, 500)


def _without_ids(answer: Answer) -> Answer:
    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: strip(row) for name, row in value.items() if name != "orderid"}
        return [strip(row) for row in value] if isinstance(value, list) else value

    return replace(answer, body=strip(answer.body))


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None when it is longer than any request needs to be."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            break
        chunk = event.get("body", b"")
        size += len(chunk)
        if size <= BODY_BYTES_MAX:
            parts.append(chunk)
        more = event.get("more_body", False)
    return b"".join(parts) if size <= BODY_BYTES_MAX else None


async def _hang(receive: Receive, for_s: float) -> None:
    """Until the caller gives up, or for so long."""

    async def caller_left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(caller_left(), for_s or None)
    except TimeoutError:
        return


async def _send(answer: Answer, send: Send) -> None:
    if isinstance(answer.body, str):
        content = answer.body.encode()
    else:
        content = json.dumps(answer.body, default=_plain, separators=(",", ":")).encode()
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(content)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _plain(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
