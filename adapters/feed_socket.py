"""FeedSocket: one socket of a broker's binary market data, read in batches; one connection, one
life.

A thread connects and ends. From then on the actor's own thread reads, whenever `descriptor` (an
epoll of the socket, a timer and a wake-up) is readable: all the socket has, split once, decoded
once, handed over as one batch. What a broker says differently stands in its Dialect.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import websocket

from adapters.frame_reader import CLOSE, PING, TEXT, Aside
from adapters.machine_code import keep_pages
from adapters.packet_reader import Decoder, PacketReader
from adapters.packet_ticks import OpenInterests, to_ticks
from adapters.packets import Notice
from adapters.ports import StreamCounters
from adapters.timer_descriptor import TimerDescriptor
from adapters.token_table import BAD_TOKEN, TOKEN_TWICE, TokenTable
from domain.errors import BadMarketData, ConfigurationFault
from domain.instruments import InstrumentIndex, Listing
from domain.prices import TICK_DTYPE

CONNECT_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 2.0  # a peer that takes nothing for so long is gone
BATCH_TICKS_MAX = 4_096
BATCH_NS_MAX = 2_000_000
LOOK_EVERY_S = 1.0
REFUSED_STATUS = (401, 403, 429)
TOKEN_DIGITS_MAX = 18  # what 64 bits hold whatever the digits
TOLD_MAX = 10  # sentences that wait; each refusal is counted besides
REFUSALS = {
    "no_token": "the instrument master has no number of the broker's for it",
    BAD_TOKEN: "its number in the instrument master is out of range",
    TOKEN_TWICE: "another instrument has the same number in the instrument master, so that a price "
    "could be of either; neither gets one",
}

Event = tuple[str, str]
Wanted = Sequence[tuple[Listing, int]]


class Dialect(Decoder, Protocol):
    """What one broker's protocol says in its own way."""

    heartbeat: str  # said every `heartbeat_s`; empty where the server alone keeps the beat
    heartbeat_s: float
    silence_s: float  # without a byte for so long the connection is dead
    requests_per_s: float

    def handshake(self, url: str) -> tuple[str, list[str]]:
        """The address and headers that authenticate. ConfigurationFault for an impossible key."""

    def requests(self, wanted: Wanted, *, subscribes: bool) -> list[str]:
        """Texts that ask for these listings in these modes, or end them."""

    def token_table(self, listings: Iterable[Listing]) -> TokenTable:
        """Rows by the broker's tokens."""

    def heard_text(self, text: str) -> list[Event]:
        """What a text message means to the shard."""

    def heard_notice(self, notice: Notice) -> list[Event]:
        """What a notice among the packets means to the shard."""


class FeedSocket:
    """FeedStream on one broker's own server. `clock()` stamps each batch as it is read."""

    def __init__(
        self, url: str, dialect: Dialect, index: InstrumentIndex, *, clock: Callable[[], int]
    ) -> None:
        keep_pages()
        self.counters = StreamCounters()
        self._url, self._dialect, self._clock = url, dialect, clock
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._timer = TimerDescriptor()
        for descriptor in (self._wake, self._timer.descriptor):
            self._epoll.register(descriptor, select.EPOLLIN)
        self.descriptor = self._epoll.fileno()
        self._lock = threading.Lock()
        self._outcome: websocket.WebSocket | Event | None = None  # of connecting
        self._connection: websocket.WebSocket | None = None
        self._reader = PacketReader(dialect, BATCH_TICKS_MAX)
        self._outgoing: deque[str] = deque()
        self._told: deque[Event] = deque()  # what a trader should know of requests
        self._interests = OpenInterests()
        self._due_s = self._heard_s = self._beat_s = 0.0  # monotonic
        self._ended = self._closed = False
        self.index = index

    @property
    def index(self) -> InstrumentIndex:
        """Names what comes; a newer one may replace it."""
        return self._index

    @index.setter
    def index(self, index: InstrumentIndex) -> None:
        self._index = index
        self._tokens = self._dialect.token_table(
            row for row in index.by_id.values() if _has_token(row)
        )

    @property
    def settled(self) -> bool:
        """True when every request so far has left, or none will: these servers answer none."""
        return self._ended or not self._outgoing

    def open(self) -> None:
        """Connects in the background; the handshake authenticates."""
        threading.Thread(target=self._connect, name="feed-connect", daemon=True).start()

    def subscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        """Asks for these listings, each in its mode."""
        self._ask(listings, modes, subscribes=True)

    def unsubscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        """Asks for these listings no more in these modes."""
        self._ask(listings, modes, subscribes=False)

    def take(self) -> tuple[np.ndarray, list[Event]]:
        """Reads what the socket has, for at most 2 ms or until 4,096 ticks are together; readable
        again while more is left."""
        if self._closed:
            return np.empty(0, TICK_DTYPE), []
        ready = [descriptor for descriptor, _ in self._epoll.poll(0)]
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if self._timer.descriptor in ready:
            self._timer.clear()
        events = [*self._told, *self._welcome()]
        self._told.clear()
        try:
            events += self._read()
            self._say(time.monotonic())
        except (OSError, websocket.WebSocketException, BadMarketData) as failure:
            events.append(("closed", _words(failure)))
        ticks, notices = self._decode()
        events, is_end = _one_end(notices + events)
        if is_end:
            self._end()
        if self._reader.holds_more:
            os.eventfd_write(self._wake, 1)
        return ticks, events

    def close(self) -> None:
        """Ends the socket without waiting for it; safe to call twice."""
        if self._closed:
            return
        self._end()
        with self._lock:
            self._closed = True
            if isinstance(self._outcome, websocket.WebSocket):  # it came, and nobody took it
                self._outcome.shutdown()  # type: ignore[no-untyped-call]
            self._epoll.close()
            self._timer.close()
            os.close(self._wake)

    # -- connecting --

    def _connect(self) -> None:
        """On a thread of its own: names are looked up and certificates checked in here."""
        outcome: websocket.WebSocket | Event
        try:
            url, headers = self._dialect.handshake(self._url)
            outcome = websocket.create_connection(
                url, timeout=CONNECT_TIMEOUT_S, header=headers, skip_utf8_validation=True
            )
        except ConfigurationFault as fault:
            outcome = "refused", str(fault)
        except websocket.WebSocketBadStatusException as failure:
            told = (failure.resp_headers or {}).get("x-error-message", "")
            kind = "refused" if failure.status_code in REFUSED_STATUS else "closed"
            outcome = kind, f"HTTP {failure.status_code} {told}".strip()
        except (OSError, ValueError, websocket.WebSocketException) as failure:
            outcome = "closed", _words(failure)
        with self._lock:
            if not self._closed:
                self._outcome = outcome
                os.eventfd_write(self._wake, 1)
            elif isinstance(outcome, websocket.WebSocket):
                outcome.shutdown()  # type: ignore[no-untyped-call]

    def _welcome(self) -> list[Event]:
        """The outcome of connecting, once."""
        outcome, self._outcome = self._outcome, None
        if outcome is None or self._ended:
            return []
        if not isinstance(outcome, websocket.WebSocket):
            return [outcome]
        self._connection = outcome
        outcome.sock.settimeout(0)
        self._epoll.register(outcome.sock.fileno(), select.EPOLLIN)
        self._heard_s = self._beat_s = time.monotonic()
        self._pace()
        return [("open", ""), ("authenticated", "")]

    def _end(self) -> None:
        self._ended = True
        self._outgoing.clear()
        connection, self._connection = self._connection, None
        if connection:
            with contextlib.suppress(OSError, ValueError):  # it may be closed already
                self._epoll.unregister(connection.sock.fileno())
            with contextlib.suppress(OSError, websocket.WebSocketException):
                connection.send_close()
            connection.shutdown()  # type: ignore[no-untyped-call]

    # -- what comes --

    def _read(self) -> list[Event]:
        """Fills the batch from the socket; the events that came beside it."""
        until_ns = time.monotonic_ns() + BATCH_NS_MAX
        events = self._hear(self._reader.read())
        while self._connection and not self._reader.is_full:
            room, line = self._reader.room(), self._connection.sock
            try:
                size = line.recv_into(room)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            if not size:
                return [*events, ("closed", "closed by the server")]
            self._heard_s = time.monotonic()
            events += self._hear(self._reader.read(size, self._clock()))
            # TLS gives a record at a time, though there be more.
            is_empty = size < len(room) and not isinstance(line, ssl.SSLSocket)
            if is_empty or time.monotonic_ns() >= until_ns:
                break
        silent_s = time.monotonic() - self._heard_s
        if self._connection and silent_s > self._dialect.silence_s:
            events.append(("closed", f"nothing came for {self._dialect.silence_s:.0f} s"))
        return events

    def _hear(self, asides: list[Aside]) -> list[Event]:
        return [event for aside in asides for event in self._hear_one(*aside)]

    def _hear_one(self, opcode: int, payload: bytes) -> list[Event]:
        if opcode == TEXT:
            return self._dialect.heard_text(payload.decode(errors="replace"))
        if opcode == PING and self._connection:
            with self._patient_socket() as connection:
                connection.pong(payload)
        elif opcode == CLOSE:
            code, words = int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
            return [("closed", f"closed by the server: {code} {words}".strip())]
        return []

    def _decode(self) -> tuple[np.ndarray, list[Event]]:
        """The ticks of what was read, and what it says of the connection."""
        made, events = [], []
        for batch in self._reader.take(self._tokens):
            for reason, refused in batch.refused.items():
                self.counters.refused[reason] = self.counters.refused.get(reason, 0) + refused
            events += [event for row in batch.notices for event in self._dialect.heard_notice(row)]
            ticks = to_ticks(batch.packets, self.counters)
            if len(ticks) < len(batch.packets):  # some said something else
                self._interests.keep(batch.packets)
            self._interests.fill(ticks)
            made.append(ticks)
        self.counters.frames = self._reader.frames
        if len(made) == 1:
            return made[0], events
        return np.concatenate([np.empty(0, TICK_DTYPE), *made]), events

    # -- what goes --

    def _ask(self, listings: Sequence[Listing], modes: Sequence[int], *, subscribes: bool) -> None:
        wanted = []
        for listing, mode in zip(listings, modes, strict=True):
            reason = self._why_not(listing)
            if not reason:
                wanted.append((listing, mode))
                continue
            self.counters.refused[reason] = self.counters.refused.get(reason, 0) + 1
            if subscribes and len(self._told) < TOLD_MAX:
                text = f"{listing.exchange} {listing.symbol}: {REFUSALS[reason]}"
                self._told.append(("not carried", text))
        self._outgoing.extend(self._dialect.requests(wanted, subscribes=subscribes))
        if not self._closed:
            os.eventfd_write(self._wake, 1)

    def _why_not(self, listing: Listing) -> str:
        """Why this listing cannot be asked for; empty when it can."""
        if not _has_token(listing):
            return "no_token"
        return self._tokens.refused.get(listing.listing_id, "")

    def _say(self, now_s: float) -> None:
        """Sends what is due: requests at the broker's pace, and the heartbeat."""
        if not self._connection:
            return
        beats = bool(self._dialect.heartbeat)
        if beats and now_s - self._beat_s >= self._dialect.heartbeat_s:
            self._beat_s = now_s
            self._outgoing.appendleft(self._dialect.heartbeat)
        apart_s = 1 / self._dialect.requests_per_s
        if self._outgoing and now_s >= self._due_s:
            with self._patient_socket() as connection:
                connection.send(self._outgoing.popleft())
            # A wake that came late takes nothing from the next: else each would cost two periods.
            since_s = now_s if now_s - self._due_s >= apart_s else self._due_s
            self._due_s = since_s + apart_s
        self._pace()

    def _pace(self) -> None:
        waits = self._outgoing and self._connection
        self._timer.set(1 / self._dialect.requests_per_s if waits else LOOK_EVERY_S)

    @contextlib.contextmanager
    def _patient_socket(self) -> Iterable[websocket.WebSocket]:
        """The connection while it may wait for its peer to read."""
        connection = self._connection
        connection.sock.settimeout(SEND_TIMEOUT_S)
        try:
            yield connection
        finally:
            connection.sock.settimeout(0)


def _has_token(listing: Listing) -> bool:
    """True when the master gave the broker's own number, by which alone these servers know it."""
    token = listing.token
    return token.isascii() and token.isdigit() and len(token) <= TOKEN_DIGITS_MAX


def _one_end(events: list[Event]) -> tuple[list[Event], bool]:
    """The events up to the first that ends the socket, and whether one does: a server's reason
    comes before its close, and the two may come together."""
    for position, (kind, _) in enumerate(events):
        if kind in ("refused", "closed"):
            return events[: position + 1], True
    return events, False


def _words(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
