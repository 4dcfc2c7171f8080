"""OpenAlgo's market data socket (`openalgo.md` 7, `tomic.md` 11.1): one connection, one life.

A thread connects, sends what is queued and reads frames, all that the socket holds at a time;
`take` makes ticks of them on the actor's thread. Nothing here connects again: the shard makes a new
stream.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import websocket

from adapters.frame_reader import CLOSE, PING, TEXT, FrameReader
from adapters.openalgo import frames
from adapters.ports import StreamCounters
from domain.errors import BadMarketData
from domain.instruments import InstrumentIndex, Listing

SOCKET_TIMEOUT_S = 5.0  # to connect, to send, and within a frame
PING_EVERY_S = 30.0
PONG_WITHIN_S = 10.0
FRAMES_QUEUED_MAX = 30_000  # some six seconds of the fullest feed; older ones are no news
FRAMES_A_TAKE_MAX = 4_000  # at some 12 us each: a wake stays below a tenth of a second
READ_BYTES = 262_144
SYMBOLS_A_REQUEST = 100
CLOSED_UNAUTHENTICATED = 4401
_ANSWERS = ("auth", "subscribe", "unsubscribe", "subscribe_steps")

Event = tuple[str, str]
Frame = dict[str, Any]


class OpenAlgoStream:
    """FeedStream on one OpenAlgo instance.

    `clock()` stamps each frame as it arrives. With `steps` the server marks the end of each step of
    a replay: ticks are kept back until their marker and carry the market's time, so that a replay
    does not depend on how fast frames came.
    """

    def __init__(
        self,
        url: str,
        key: str,
        index: InstrumentIndex,
        *,
        clock: Callable[[], int],
        steps: bool = False,
    ) -> None:
        self.counters = StreamCounters()
        self.index = index
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._url, self._key, self._clock, self._steps = url, key, clock, steps
        self._frames: deque[tuple[int, Frame | None]] = deque(maxlen=FRAMES_QUEUED_MAX)
        self._held: list[Frame] = []  # ticks of a step whose marker has not come
        self._events: deque[Event] = deque()
        self._outgoing: deque[str] = deque()
        self._asked, self._answered = 0, 0
        self._ending = self._ended = False
        self._lock = threading.Lock()
        self._users = 1  # of the descriptors: the actor, and the thread while it runs
        self._thread = threading.Thread(target=self._run, name="openalgo-stream", daemon=True)

    # -- the actor's thread --

    def open(self) -> None:
        """Connects and authenticates in the background."""
        self._send({"action": "authenticate", "api_key": self._key})
        self._users += 1
        self._thread.start()

    def subscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        """Asks for these listings, each in its mode, in requests of at most 100."""
        self._ask("subscribe", zip(listings, modes, strict=True))

    def unsubscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        """Asks for these listings no more in these modes."""
        self._ask("unsubscribe", zip(listings, modes, strict=True))

    def take(self) -> tuple[np.ndarray, list[Event]]:
        """Ticks and events since the last call; readable again while frames are left."""
        with contextlib.suppress(BlockingIOError):  # take may be called without having been told
            os.eventfd_read(self.descriptor)
        told = [self._events.popleft() for _ in range(len(self._events))]
        ticks: list[tuple[int, Frame]] = []
        events = [event for event in told if event[0] == "open"]
        for _ in range(min(len(self._frames), FRAMES_A_TAKE_MAX)):
            self._read(*self._frames.popleft(), ticks, events)
        ends = [event for event in told if event[0] != "open"]
        self._ended = self._ended or bool(ends)
        if self._frames:
            os.eventfd_write(self.descriptor, 1)
        return frames.to_ticks(ticks, self.index, self.counters), events + ends

    @property
    def settled(self) -> bool:
        """True when every request so far is answered, or the socket ended and none will be."""
        return self._ended or self._answered >= self._asked

    def close(self) -> None:
        """Ends the socket without waiting for it; safe to call twice."""
        if self._ending:
            return
        self._ending = True
        os.eventfd_write(self._wake, 1)
        self._let_go()

    def _ask(self, action: str, wanted: Iterable[tuple[Listing, int]]) -> None:
        by_mode: dict[int, list[dict[str, str]]] = {}
        for listing, mode in wanted:
            symbol = {"symbol": listing.symbol, "exchange": listing.exchange}
            by_mode.setdefault(mode, []).append(symbol)
        for mode, symbols in by_mode.items():
            for first in range(0, len(symbols), SYMBOLS_A_REQUEST):
                part = symbols[first : first + SYMBOLS_A_REQUEST]
                if action == "unsubscribe":  # there the mode is each symbol's (`openalgo.md` 7.1)
                    part = [symbol | {"mode": frames.MODE_WORDS[mode]} for symbol in part]
                word = frames.MODE_WORDS[mode]
                self._send({"action": action, "symbols": part, "mode": word})

    def _send(self, request: Frame) -> None:
        self._asked += 1
        self._outgoing.append(json.dumps(request))
        os.eventfd_write(self._wake, 1)

    def _read(
        self,
        received_ns: int,
        frame: Frame | None,
        ticks: list[tuple[int, Frame]],
        events: list[Event],
    ) -> None:
        self.counters.frames += 1
        if frame is None:
            self._refuse("not_json")
        elif frames.is_tick(frame):
            if self._steps:
                self._held.append(frame)
            else:
                ticks.append((received_ns, frame))
        elif frame.get("type") == "step":
            # By its data where the marker names no time: our clock moves only after the data came.
            at_ns = int(frame.get("now_ns") or frames.latest_ns(self._held) or received_ns)
            ticks += [(at_ns, held) for held in self._held]
            self._held.clear()
            events.append(("step", str(frame.get("step"))))
        else:
            self._answered += _is_answer(frame)
            events += _events_of(frame)
            if self._steps and ("authenticated", "") in events[-1:]:
                self._send({"action": "subscribe_steps"})

    def _refuse(self, reason: str) -> None:
        self.counters.refused[reason] = self.counters.refused.get(reason, 0) + 1

    def _let_go(self) -> None:
        """The last of the two users closes the descriptors."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                os.close(self._wake)
                os.close(self.descriptor)

    # -- the stream's thread --

    def _run(self) -> None:
        self._tell(*self._connect())
        self._let_go()

    def _connect(self) -> Event:
        """A whole connection; the event says how it ended."""
        try:
            connection = websocket.create_connection(
                self._url, timeout=SOCKET_TIMEOUT_S, skip_utf8_validation=True
            )
        except websocket.WebSocketBadStatusException as failure:
            refused = failure.status_code in (401, 403)
            return "refused" if refused else "closed", f"HTTP {failure.status_code}"
        except (OSError, websocket.WebSocketException) as failure:
            return "closed", _words(failure)
        self._tell("open", "")
        try:
            end = self._serve(connection)
            connection.send_close()
        except (OSError, websocket.WebSocketException, BadMarketData) as failure:
            end = "closed", _words(failure)
        finally:
            connection.shutdown()  # type: ignore[no-untyped-call]
        return end

    def _serve(self, connection: websocket.WebSocket) -> Event:
        """Sends and receives until either side ends it."""
        descriptor: int = connection.fileno()  # type: ignore[no-untyped-call]
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        reader = FrameReader()
        ping_at = time.monotonic() + PING_EVERY_S
        pong_by = 0.0
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(1_000)}
            if self._wake in ready:
                os.eventfd_read(self._wake)
            if self._ending:
                return "closed", "by us"
            while self._outgoing:
                connection.send(self._outgoing.popleft())
            if descriptor in ready or _pending(connection):
                ended = self._receive(connection, reader)
                pong_by = 0.0  # whatever came proves the other side alive
                if ended:
                    return ended
            now = time.monotonic()
            if pong_by and now > pong_by:
                return "closed", "no answer to a ping"
            if now > ping_at:
                connection.ping()
                ping_at, pong_by = now + PING_EVERY_S, now + PONG_WITHIN_S

    def _receive(self, connection: websocket.WebSocket, reader: FrameReader) -> Event | None:
        """Puts away what the socket holds; how the server ended it, if it did."""
        data: bytes = connection.sock.recv(READ_BYTES)  # type: ignore[union-attr]
        if not data:
            return "closed", "the connection was lost"
        messages, asides = reader.read(data)
        self._put([*messages, *(payload for opcode, payload in asides if opcode == TEXT)])
        for opcode, payload in asides:
            if opcode == PING:
                connection.pong(payload)
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big")
                words = payload[2:].decode(errors="replace")
                kind = "refused" if code == CLOSED_UNAUTHENTICATED else "closed"
                return kind, f"closed by the server: {code} {words}".strip()
        return None

    def _put(self, payloads: Sequence[bytes]) -> None:
        now_ns = self._clock()
        came = [(now_ns, frames.parse_frame(payload)) for payload in payloads]
        for _ in range(len(self._frames) + len(came) - FRAMES_QUEUED_MAX):
            self._refuse("overflow")
        self._frames.extend(came)
        os.eventfd_write(self.descriptor, 1)

    def _tell(self, kind: str, why: str) -> None:
        self._events.append((kind, why))
        os.eventfd_write(self.descriptor, 1)


def _is_answer(frame: Frame) -> bool:
    return frame.get("type") in _ANSWERS or frame.get("status") == "error"


def _events_of(frame: Frame) -> list[Event]:
    """What an answer means to the shard; nothing for pongs and other news."""
    kind, status = frame.get("type"), str(frame.get("status")).lower()
    message, code = str(frame.get("message") or ""), str(frame.get("code") or "").upper()
    if status == "error" or kind == "error":
        words = f"{code} {message}".upper()
        if kind == "auth" or any(
            word in words for word in ("AUTH", "API KEY", "UNAUTHORIZED", "FORBIDDEN")
        ):
            return [("refused", message or code)]
        return [("failed", f"{code} {message}".strip())]
    if kind == "auth" or status == "authenticated" or (kind is None and _is_welcome(frame, status)):
        accepted = status in ("success", "authenticated")
        return [("authenticated", "") if accepted else ("refused", message)]
    if kind == "subscribe":
        return [("subscribed", _not_subscribed(frame))]
    if kind == "subscribe_steps" and "step" in frame:  # the one before a socket that came later
        return [("step", str(frame["step"]))]
    return []


def _is_welcome(frame: Frame, status: str) -> bool:
    """A success without a type that still answers the authentication (`tomic.md` 11.1)."""
    named = any(name in frame for name in ("user_id", "supported_features", "broker"))
    return status == "success" and (named or "auth" in str(frame.get("message")).lower())


def _not_subscribed(frame: Frame) -> str:
    rows = frame.get("subscriptions")
    failed = [
        str(row.get("symbol"))
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and str(row.get("status")).lower() == "error"
    ]
    return f"not subscribed: {', '.join(failed)}" if failed else ""


def _pending(connection: websocket.WebSocket) -> bool:
    """True when TLS has bytes that the poller cannot see."""
    pending = getattr(connection.sock, "pending", None)
    return bool(pending and pending())


def _words(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
