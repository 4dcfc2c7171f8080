"""Shard: one WebSocket of one broker, from its first connection to its last.

Hears SubscribeListings from its feed, InstrumentsLoaded and the session's open and close; tells
ShardStateChanged and publishes `ticks.<broker>`, one batch a wake.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from actors.actor import Actor, Context, Timer
from adapters.catalogue import open_stream
from adapters.ports import FeedStream
from domain.clock import NS_PER_S, seconds
from domain.feeds import reconnect
from domain.feeds.reconnect import Reconnect
from domain.instruments import InstrumentIndex, Listing
from messages.market import (
    InstrumentsLoaded,
    SessionClosed,
    SessionOpened,
    ShardStateChanged,
    SubscribeListings,
)
from persistence.database import open_engine
from persistence.instruments import InstrumentStore

CHECK_EVERY_S = 1.0
TELL_EVERY_S = 5.0
AUTHENTICATED_WITHIN_S = 10.0
MUTE_AFTER_S = 5.0  # `tomic.md` 11.2
RECONNECT_AFTER_S = 15.0  # `data_pipeline.md` 4
UP = ("live", "mute")


class Shard(Actor):
    """State: what to carry (mode by listing), what the socket carries, and how the socket fares."""

    PUBLISHES = ("ticks",)

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._endpoint = context.runtime.feed(context.instance)
        self._replays = context.runtime.replay is not None
        self._index = InstrumentIndex(())
        self._stream: FeedStream | None = None
        self._wanted: dict[int, int] = {}
        self._carried: dict[int, int] = {}
        self._state, self._reason = "connecting", ""
        self._since_ns = 0
        self._record = Reconnect()
        self._reconnects, self._failures = 0, 0
        self._expecting = False  # ticks: the session is open, or some came since it closed
        self._asked_ns = 0  # a subscription is answered with prices, though nothing trades
        self._tick_ns, self._tick_monotonic_ns = 0, 0
        self._retry: Timer | None = None
        self._held: list[np.ndarray] = []
        self._step = 0

    def start(self) -> None:
        self._index = self._read_index()
        now_ns = self.context.now_ns()
        calendars = self.context.runtime.calendars.values()
        self._expecting = any(calendar.is_open(now_ns) for calendar in calendars)
        self._connect()
        if not self._replays:  # there the round waits for the market; silence is the recording's
            self.context.after(CHECK_EVERY_S, self._look)
        self.context.every(TELL_EVERY_S, self._tell_feed)

    def stop(self) -> None:
        if self._stream:
            self._stream.close()

    def has_market_step(self, number: int) -> bool:
        """Also false while a request is on its way: which ticks come must not depend on luck."""
        stream = self._stream
        return stream is None or (stream.settled and self._step >= number)

    # -- what it hears --

    def on_subscribe_listings(self, message: SubscribeListings) -> None:
        self._wanted = dict(zip(message.listing_ids, message.modes, strict=True))
        self._subscribe()

    def on_instruments_loaded(self, message: InstrumentsLoaded) -> None:
        # A master of 300,000 rows takes seconds to read, in which ticks go on.
        self.context.work(self._read_index, self._indexed)

    def on_session_opened(self, message: SessionOpened) -> None:
        self._expecting = True
        # Silence before the open is not held against the feed.
        self._tick_monotonic_ns = self.context.monotonic_ns()

    def on_session_closed(self, message: SessionClosed) -> None:
        self._expecting = False
        if self._state == "mute":
            self._become("live", "")

    # -- the socket --

    def _connect(self) -> None:
        self._carried = {}
        self._stream = open_stream(
            self._endpoint,
            self.context.runtime.feed_key(self._endpoint.name),
            self._index,
            clock=self.context.now_ns,
            steps=self._replays,
        )
        self._become("connecting", self._reason)
        self._stream.open()
        self.context.watch(self._stream.descriptor, self._on_readable)

    def _on_readable(self) -> None:
        if self._stream is None:
            return
        ticks, events = self._stream.take()
        if len(ticks):
            self._on_ticks(ticks)
        for kind, text in events:
            self._on_event(kind, text)

    def _on_ticks(self, ticks: np.ndarray) -> None:
        now_ns = self.context.monotonic_ns()
        self._tick_ns = int(ticks["received_ns"][-1])
        self._tick_monotonic_ns = now_ns
        self._failures = 0
        if now_ns - self._asked_ns >= seconds(MUTE_AFTER_S):
            self._expecting = True
        self._record = reconnect.after_ticks(self._record, now_ns)
        if self._state == "mute":
            self._become("live", "")
        if not self._replays:
            self.context.publish(f"ticks.{self.context.instance}", ticks, {})
            return
        # A frame may come before its round begins; the timer is due within it.
        if not self._held:
            self.context.after(0, self._release)
        self._held.append(ticks)

    def _release(self) -> None:
        ticks = np.concatenate(self._held)
        self._held.clear()
        self.context.publish(f"ticks.{self.context.instance}", ticks, {})

    def _on_event(self, kind: str, text: str) -> None:
        if kind == "open":
            self._become("authenticating", "")
        elif kind == "authenticated":
            self._become("live", "")
            self._subscribe()
        elif kind in ("refused", "closed"):
            self._lose(kind, text)
        elif kind == "step":
            self._step = int(text)
        elif text:
            self.context.log.warning("{} by {}: {}", kind, self._endpoint.name, text)

    def _subscribe(self) -> None:
        """Makes the socket carry what is wanted; listings no master names wait for the next one."""
        if self._stream is None or self._state not in UP:
            return
        known = {row: mode for row, mode in self._wanted.items() if row in self._index.by_id}
        # What a newer master does not name has no name to unsubscribe by; its ticks are refused.
        gone = {
            row: mode
            for row, mode in self._carried.items()
            if known.get(row) != mode and row in self._index.by_id
        }
        new = {row: mode for row, mode in known.items() if self._carried.get(row) != mode}
        if gone:
            self._stream.unsubscribe(self._listings(gone), list(gone.values()))
        if new:
            if not self._carried:
                self._tick_monotonic_ns = self.context.monotonic_ns()
            self._ask(new)
        self._carried = known
        if new or gone:
            self._tell_feed()

    def _ask(self, modes: dict[int, int]) -> None:
        if self._stream:
            self._asked_ns = self.context.monotonic_ns()
            self._stream.subscribe(self._listings(modes), list(modes.values()))

    def _listings(self, ids: Iterable[int]) -> list[Listing]:
        return [self._index.by_id[row] for row in ids]

    def _lose(self, kind: str, why: str) -> None:
        """The socket ended, or is ended: closes it and plans the next."""
        if self._stream:
            self.context.unwatch(self._stream.descriptor)
            self._stream.close()
        self._stream = None
        self._reconnects += self._state in UP
        self._failures += 1
        delay_s = reconnect.REFUSED_DELAY_S
        if kind != "refused":
            # Sockets that fell together must not come back together; a replay has no chance in it.
            jitter = 0.0 if self._replays else random.uniform(-1, 1)  # noqa: S311 - no secret
            delay_s = reconnect.delay_s(self._record, jitter)
        self._record = reconnect.after_loss(self._record)
        if self._record.attempt == reconnect.ALERT_AT_ATTEMPT or kind == "refused":
            text = f"{self.context.name} cannot stay connected: {why}"
            self.context.alert("RISK", text, f"{self.context.name}:down")
        self._become("refused" if kind == "refused" else "down", why)
        self._retry = self.context.after(delay_s, self._connect)

    # -- time --

    def _look(self) -> None:
        """Each second, and at the very moment a silence reaches its limit."""
        self._check()
        silent_ns = self.context.monotonic_ns() - self._tick_monotonic_ns
        left_s = [limit_s - silent_ns / NS_PER_S for limit_s in (MUTE_AFTER_S, RECONNECT_AFTER_S)]
        self.context.after(min([CHECK_EVERY_S, *(left for left in left_s if left > 0)]), self._look)

    def _check(self) -> None:
        now_ns = self.context.monotonic_ns()
        if self._state in ("connecting", "authenticating"):
            if now_ns - self._since_ns > seconds(AUTHENTICATED_WITHIN_S):
                self._lose("closed", "no answer to the authentication")
            return
        if self._state not in UP or not self._expecting or not self._carried:
            return
        silent_ns = now_ns - self._tick_monotonic_ns
        if silent_ns >= seconds(RECONNECT_AFTER_S):
            self._lose("closed", f"no tick for {RECONNECT_AFTER_S:.0f} s")
        elif silent_ns >= seconds(MUTE_AFTER_S) and self._state == "live":
            self._become("mute", f"no tick for {MUTE_AFTER_S:.0f} s")

    def _become(self, state: str, reason: str) -> None:
        if state not in UP or self._state not in UP:
            self._since_ns = self.context.monotonic_ns()
            self._tick_monotonic_ns = self._since_ns
        self._state, self._reason = state, reason
        self.context.announce(self._view())

    def _tell_feed(self) -> None:
        self.context.tell(f"feed.{self.context.instance}", self._view())
        refused = dict(self._stream.counters.refused) if self._stream else {}
        self.context.report({
            "state": self._state,
            "reason": self._reason,
            "listings": len(self._carried),
            "reconnects": self._reconnects,
            "ticks": self._stream.counters.ticks if self._stream else 0,
            "refused": refused,
        })  # fmt: skip

    def _view(self) -> ShardStateChanged:
        return ShardStateChanged(
            shard=self.context.name,
            broker=self.context.instance,
            state=self._state,
            reason=self._reason,
            listings=len(self._carried),
            reconnects=self._reconnects,
            last_message_ns=self._tick_ns,
            failures_in_row=self._failures,
        )

    def _indexed(self, index: Any) -> None:
        if isinstance(index, Exception):
            raise index
        if index.by_id == self._index.by_id:
            return  # every broker's session tells of the same master
        self._index = index
        if self._stream:
            self._stream.index = index
        self._subscribe()

    def _read_index(self) -> InstrumentIndex:
        engine = open_engine(self.context.runtime.database_url)
        try:
            return InstrumentStore(engine).load_index()
        finally:
            engine.dispose()
