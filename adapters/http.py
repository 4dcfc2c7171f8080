"""HTTP to a broker: paced, timed out, classified, masked.

A `send` is one attempt, for orders: what became of it comes back as a value. A `read` is tried
three times and then raises. Which failure proves what: `data_pipeline.md` 8.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3

from domain.errors import (
    BrokerFailure,
    BrokerRejected,
    NotAuthenticated,
    NotSent,
    OutcomeUnknown,
    RateLimited,
)

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
READ_ATTEMPTS = 3
READ_RETRY_S = 2.0
ANSWER_BYTES_MAX = 64 << 20  # the largest instrument master is about half of it
TEXT_KEPT_MAX = 2_000  # of an answer, in the attempts table and in the log

Body = Mapping[str, Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what is known of it; `request` and `answer` are masked texts.

    `body` is the answer of a success and empty when there is a `failure`.
    """

    request: str
    answer: str
    body: dict[str, Any]
    failure: BrokerFailure | None


class Pace:
    """A token bucket whose burst is a quarter of its rate, so that no moving second carries more
    than 1.25 times the rate (8 a second stays within 10, 40 within 50). For all threads of a
    client together: each takes its place in the line and waits for it alone."""

    def __init__(
        self, rate_per_s: float, wait: Callable[[float], Any], clock: Callable[[], float]
    ) -> None:
        self._rate, self._wait, self._clock = rate_per_s, wait, clock
        self._burst = self._tokens = max(1.0, rate_per_s / 4)
        self._at = clock()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Waits until one more call is allowed."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            owed = -self._tokens
        if owed > 0:
            self._wait(owed / self._rate)


class HttpClient:
    """Calls of one process to one broker; blocks, so for worker threads only. Each thread reads
    on a kept connection of its own; the pace is that of all together.

    `wait(seconds)` and `clock()` are the pauses and the monotonic clock of pacing and retries.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        orders_per_s: float,
        reads_per_s: float,
        wait: Callable[[float], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._wait = wait or threading.Event().wait
        self._clock = clock
        self._paces = {
            "order": Pace(orders_per_s, self._wait, clock),
            "read": Pace(reads_per_s, self._wait, clock),
        }
        self._kept = threading.local()
        self._sessions: list[requests.Session] = []
        self._calls = itertools.count(1)
        self._posts: dict[str, requests.PreparedRequest] = {}

    def send(self, path: str, body: Body, timeout_s: float = READ_TIMEOUT_S) -> Call:
        """One POST, never repeated and never raising a BrokerFailure.

        On a connection of its own: one that was kept may have died unseen, and then nobody knows
        whether the order arrived.
        """
        self._paces["order"].take()
        try:
            with self._unused() as session:
                return self._call(session, "POST", path, body, timeout_s)
        finally:
            self._kept.unused = _new_session()  # while nobody waits: the next order finds it made

    def read(
        self, path: str, body: Body, *, method: str = "POST", timeout_s: float = READ_TIMEOUT_S
    ) -> dict[str, Any]:
        """The answer's body. Tried again after what may pass (time-out, reset, 5xx, 429); raises
        the last BrokerFailure, and a refusal at once."""
        for attempt in range(1, READ_ATTEMPTS + 1):
            self._paces["read"].take()
            call = self._call(self._session(), method, path, body, timeout_s)
            if call.failure is None:
                return call.body
            if attempt == READ_ATTEMPTS or isinstance(call.failure, BrokerRejected):
                raise call.failure
            self._wait(READ_RETRY_S)
        raise AssertionError("a read ends with an answer or a failure")

    def mask(self, text: str) -> str:
        """The text with our key cut to its first four characters."""
        return text.replace(self._key, f"{self._key[:4]}…") if self._key else text

    def close(self) -> None:
        """Ends kept connections."""
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        """This thread's: a connection is not shared, so a call that hangs holds up no other."""
        if not hasattr(self._kept, "session"):
            self._kept.session = _new_session()
            self._sessions.append(self._kept.session)
        return self._kept.session  # type: ignore[no-any-return]

    def _unused(self) -> requests.Session:
        """One of this thread's that has no connection yet."""
        return getattr(self._kept, "unused", None) or _new_session()

    def _call(
        self, session: requests.Session, method: str, path: str, body: Body, timeout_s: float
    ) -> Call:
        number = next(self._calls)
        content = json.dumps(dict(body))
        request = self.mask(content)
        text = ""
        answer: dict[str, Any] = {}
        failure: BrokerFailure | None = None
        try:
            call = self._prepare(session, method, path, body, content)
            status, text = self._exchange(session, call, timeout_s)
            answer, failure = _judge(status, text)
        except BrokerFailure as known:
            failure = known
        # The text of a requests error carries the URL, and that of a GET carries the key.
        if failure is not None:
            failure = type(failure)(self.mask(f"{path}: {failure}"))
        answer_text = self.mask(text[:TEXT_KEPT_MAX])
        _log.debug("call %d %s %s -> %s %s", number, path, request, failure, answer_text)
        return Call(request, answer_text, answer, failure)

    def _prepare(
        self, session: requests.Session, method: str, path: str, body: Body, content: str
    ) -> requests.PreparedRequest:
        """A call, ready to leave. What the posts of a path have in common is prepared once: that
        takes as long as all the rest of a call."""
        url = f"{self._base_url}/api/v1/{path}"
        try:
            if method == "GET":
                return session.prepare_request(requests.Request(method, url, params=dict(body)))
            if path not in self._posts:
                self._posts[path] = session.prepare_request(requests.Request(method, url, json={}))
        except requests.RequestException as failure:
            raise NotSent(f"no address to send to ({type(failure).__name__})") from None
        call = self._posts[path].copy()
        call.body = content.encode()
        call.headers["Content-Length"] = str(len(call.body))
        return call

    def _exchange(
        self, session: requests.Session, call: requests.PreparedRequest, timeout_s: float
    ) -> tuple[int, str]:
        """(HTTP status, text). Raises NotSent or OutcomeUnknown."""
        until = self._clock() + CONNECT_TIMEOUT_S + timeout_s
        try:
            with session.send(
                call,
                timeout=(CONNECT_TIMEOUT_S, timeout_s),
                allow_redirects=False,
                stream=True,
                proxies={},
            ) as response:
                return response.status_code, self._text(response, until)
        except requests.ConnectTimeout:
            raise NotSent("no connection within the time limit") from None
        except requests.ConnectionError as failure:
            if _never_connected(failure):
                raise NotSent("connection refused, or the host is not known") from None
            raise OutcomeUnknown("the connection broke before an answer came") from None
        except requests.Timeout:
            raise OutcomeUnknown("no answer within the time limit") from None
        except requests.RequestException as failure:
            raise OutcomeUnknown(f"no usable answer ({type(failure).__name__})") from None

    def _text(self, response: requests.Response, until: float) -> str:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_content(1 << 16):
            parts.append(part)
            size += len(part)
            if size > ANSWER_BYTES_MAX or self._clock() > until:
                raise OutcomeUnknown("the answer was too long or came too slowly")
        return b"".join(parts).decode(errors="replace")


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy or .netrc of the surroundings sees an order
    return session


def _never_connected(failure: requests.ConnectionError) -> bool:
    reason = getattr(failure.args[0] if failure.args else None, "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def _judge(status: int, text: str) -> tuple[dict[str, Any], BrokerFailure | None]:
    """The body of a success, or the failure an answer proves (`openalgo.md` 1.1)."""
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    body = parsed if isinstance(parsed, dict) else {}
    said = _message(body) or f"HTTP {status}"
    if status == 429:
        return {}, RateLimited(said)
    if status in (401, 403):
        return {}, NotAuthenticated(said)
    if 400 <= status < 500:
        return {}, BrokerRejected(said)
    if status != 200:
        return {}, OutcomeUnknown(said)
    if str(body.get("status")).lower() == "error":
        return {}, BrokerRejected(said)
    if str(body.get("status")).lower() != "success":
        return {}, OutcomeUnknown("the answer is not one of the protocol")
    return body, None


def _message(body: dict[str, Any]) -> str:
    words = [body.get("message"), body.get("errors")]
    return "; ".join(word if isinstance(word, str) else json.dumps(word) for word in words if word)[
        :500
    ]
