"""Hub: who of one instance's sockets wants what, and what goes out to them.

A connection's frames of some ticks leave in one write. While its peer is slow they wait, at most
`QUEUE_FRAMES_MAX` of them; then the oldest go, and are counted. Who follows the steps of a replay
loses nothing: there the clock waits for its readers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from adapters.sandbox.books import Order
from adapters.sandbox.frames import FrameMaker, TickRow, encode, text_frame
from adapters.sandbox.instance import USER_ID, Instance
from adapters.sandbox.protocols import FrameProtocol, abort
from domain.instruments import Listing

QUEUE_FRAMES_MAX = 1024
FLUSHED_TICKS = 128  # so many go out while the next are encoded
SUBSCRIPTIONS_MAX = 3000  # symbols per user (`openalgo.md` 7)


class Connection:
    """One socket: what it may hear and what waits to be sent."""

    def __init__(self, protocol: FrameProtocol) -> None:
        self.authenticated = False
        self.wants_orders = False
        self.wants_steps = False
        self.subscriptions: set[tuple[int, int]] = set()  # (listing_id, mode)
        self.dropped_frames = 0
        self._protocol = protocol
        self._waiting: deque[bytes] = deque()
        protocol.when_writable = self.flush

    def push(self, frame: bytes) -> None:
        """Queues a frame for the next flush."""
        self._waiting.append(frame)

    def say(self, message: dict[str, Any]) -> None:
        """Sends one message at once."""
        self.push(text_frame(encode(message)))
        self.flush()

    def flush(self) -> None:
        """Writes what waits, unless the peer is slow."""
        if self._protocol.can_write and not self._protocol.transport.is_closing():
            if self._waiting:
                self._protocol.transport.write(b"".join(self._waiting))
                self._waiting.clear()
            return
        while len(self._waiting) > QUEUE_FRAMES_MAX and not self.wants_steps:
            self._waiting.popleft()
            self.dropped_frames += 1

    def abort(self) -> None:
        """Resets the socket."""
        abort(self._protocol.transport)


class Hub:
    """All sockets of one instance."""

    def __init__(self, instance: Instance, maker: FrameMaker) -> None:
        self.instance = instance
        self.maker = maker
        self.connections: set[Connection] = set()
        self.last_step = 0
        self.wanted: dict[int, dict[int, set[Connection]]] = {}  # listing_id -> mode -> who
        instance.exchange.listeners.append(self._tell_order)

    def add(self, connection: Connection, listing: Listing, mode: int) -> bool:
        """Subscribes; False when the connection holds as much as it may."""
        key = (listing.listing_id, mode)
        if (
            key not in connection.subscriptions
            and len(connection.subscriptions) >= SUBSCRIPTIONS_MAX
        ):
            return False
        connection.subscriptions.add(key)
        self.wanted.setdefault(listing.listing_id, {}).setdefault(mode, set()).add(connection)
        return True

    def remove(self, connection: Connection, listing_id: int, mode: int) -> bool:
        """Unsubscribes; False when there was nothing to end."""
        if (listing_id, mode) not in connection.subscriptions:
            return False
        connection.subscriptions.discard((listing_id, mode))
        modes = self.wanted[listing_id]
        modes[mode].discard(connection)
        if not modes[mode]:
            del modes[mode]
        if not modes:
            del self.wanted[listing_id]
        return True

    def leave(self, connection: Connection) -> None:
        """Forgets a socket that ended."""
        for listing_id, mode in list(connection.subscriptions):
            self.remove(connection, listing_id, mode)
        self.connections.discard(connection)

    def send_snapshot(self, connection: Connection, listing: Listing, mode: int) -> None:
        """The current numbers, so that a new subscriber need not wait for a tick."""
        row = self.maker.snapshot(listing)
        if row is None or self.is_mute:
            return
        data = self.maker.data(row, mode)
        connection.push(self.maker.frame(self.instance.name, mode, row=row, data=data))
        connection.flush()

    @property
    def is_mute(self) -> bool:
        """True while the test bench holds the feed back."""
        return self.instance.faults.is_on("mute_feed", self.instance.name)

    def push_tick(self, row: TickRow, encoded: dict[int, bytes]) -> None:
        """Queues one tick to its subscribers; `encoded` keeps its numbers by mode, for all hubs."""
        for mode, readers in self.wanted.get(row[0], {}).items():
            if mode not in encoded:
                encoded[mode] = self.maker.data(row, mode)
            frame = self.maker.frame(self.instance.name, mode, row=row, data=encoded[mode])
            for reader in readers:
                reader.push(frame)

    def flush(self) -> None:
        """Writes what waits on every socket."""
        for connection in self.connections:
            connection.flush()

    def mark_step(self, step: int) -> None:
        """Tells the end of a step to those who asked, behind its ticks."""
        self.last_step = step
        now_ns = self.instance.market.now_ns()
        frame = text_frame(encode({"type": "step", "step": step, "now_ns": now_ns}))
        for connection in self.connections:
            if connection.wants_steps:
                connection.push(frame)
                connection.flush()

    def drop_all(self) -> None:
        """Resets every socket."""
        for connection in list(self.connections):
            connection.abort()

    def _tell_order(self, order: Order) -> None:
        message = order_update(order)
        times = 2 if self.instance.reports_twice(order) else 1
        for connection in self.connections:
            for _ in range(times if connection.wants_orders else 0):
                connection.say(message)


def order_update(order: Order) -> dict[str, Any]:
    """An order as the socket tells it (`openalgo.md` 7.4)."""
    return {
        "type": "order_update",
        "user_id": USER_ID,
        "mode": "analyze",
        "broker": "sandbox",
        "orderid": order.order_id,
        "symbol": order.symbol,
        "exchange": order.exchange,
        "action": order.action,
        "quantity": order.quantity,
        "price": float(order.price),
        "trigger_price": float(order.trigger_price),
        "pricetype": order.price_type,
        "product": order.product,
        "order_status": order.status,
        "filled_quantity": order.filled_quantity,
        "pending_quantity": order.pending_quantity,
        "average_price": float(order.average_price),
        "rejection_reason": order.rejection,
    }


class Broadcaster:
    """Sends a batch of ticks to all hubs: one look at the batch, one encoding a tick and mode."""

    def __init__(self, hubs: Iterable[Hub]) -> None:
        self._hubs = list(hubs)

    @property
    def has_readers(self) -> bool:
        """True while anyone is subscribed to anything."""
        return any(hub.wanted for hub in self._hubs)

    def deliver(self, ticks: np.ndarray) -> None:
        """Queues and flushes ticks (TICK_DTYPE, in time order)."""
        hubs = [hub for hub in self._hubs if hub.wanted and not hub.is_mute]
        if not hubs or not len(ticks):
            return
        wanted = np.fromiter(set().union(*(hub.wanted for hub in hubs)), dtype=np.uint32)
        rows = ticks[np.isin(ticks["listing"], wanted)].tolist()
        for first in range(0, len(rows), FLUSHED_TICKS):
            for row in rows[first : first + FLUSHED_TICKS]:
                encoded: dict[int, bytes] = {}
                for hub in hubs:
                    hub.push_tick(row, encoded)
            for hub in hubs:
                hub.flush()
