"""Feed: one broker's market data as a whole; balances its listings over its shards.

Hears SubscribeListings from the desk, ShardStateChanged and restarts; tells each
shard its part and announces FeedStateChanged and CarriageChanged.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from actors.actor import Actor, Context
from adapters.catalogue import feed_capabilities
from domain.clock import NS_PER_S
from domain.feeds import roll
from domain.feeds.carriage import uncarried
from domain.feeds.placement import Parts, place
from domain.feeds.roll import ShardRecord
from messages.lifecycle import NodeRestarted
from messages.market import (
    CarriageChanged,
    FeedStateChanged,
    ShardStateChanged,
    SubscribeListings,
)

TELL_EVERY_S = 5.0
BREAK_AFTER_S = 2.0  # `subscriptions.md` 6: the target carries before the source lets go


class Feed(Actor):
    """State: what is wanted (mode by listing), each shard's record and its part, and since when a
    listing is carried by none."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        branch = context.runtime.tree.find(f"shards.{context.instance}")
        now_ns = context.monotonic_ns()
        self._shards = tuple(node.name for node in branch.children) if branch else ()
        self._records = {name: ShardRecord("", now_ns, now_ns) for name in self._shards}
        self._views: dict[str, ShardStateChanged] = {}
        endpoint = context.runtime.feed(context.instance)
        self._capacity = feed_capabilities(endpoint).symbols_per_socket
        self._wanted: dict[int, int] = {}
        self._parts: Parts = {}
        self._unplaced = 0
        self._announced: tuple[Any, ...] = ()
        self._up: frozenset[str] = frozenset()
        self._last_tick_ns: dict[str, int] = {}
        self._uncarried: dict[int, int] = {}

    def start(self) -> None:
        self.context.every(TELL_EVERY_S, self._tell)

    # -- what it hears --

    def on_subscribe_listings(self, message: SubscribeListings) -> None:
        before, self._wanted = (
            self._wanted,
            dict(zip(message.listing_ids, message.modes, strict=True)),
        )
        changed = {row for row, mode in self._wanted.items() if before.get(row, mode) != mode}
        self._balance(changed)
        self._tell_carriage()

    def on_shard_state_changed(self, message: ShardStateChanged) -> None:
        if message.shard not in self._records:
            return
        self._views[message.shard] = message
        last_ns = self._last_tick_ns.get(message.shard, 0)
        self._last_tick_ns[message.shard] = max(last_ns, message.last_message_ns)
        record = self._records[message.shard]
        self._records[message.shard] = roll.after_report(
            record, message.state, self.context.monotonic_ns()
        )
        self._check()
        if message.state not in roll.UP:
            self.context.after(roll.GRACE_NS / NS_PER_S, self._check)
        elif not self._records[message.shard].carries:
            self.context.after(roll.TRUSTED_NS / NS_PER_S, self._check)

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name in self._parts:
            self._tell_part(message.name)
        elif self._uncarried:
            self._announce_carriage()

    # -- balance --

    def _check(self) -> None:
        rolled = roll.call_roll(self._records, self.context.monotonic_ns())
        moved = any(rolled[name].carries != self._records[name].carries for name in self._shards)
        self._records = rolled
        self._tell_carriage()  # before the parts move: who lost them, and since when
        if moved:
            self._balance(set())
            self._tell_carriage()
        self._announce()

    def _balance(self, changed: set[int]) -> None:
        """Places anew and tells the shards whose part is another, or holds a `changed` mode: who
        gains at once, who only loses when the others had time to subscribe."""
        carrying = [name for name in self._shards if self._records[name].carries]
        placement = place(
            self._parts, tuple(self._wanted), carrying or self._shards, capacity=self._capacity
        )
        before, self._parts = (
            self._parts,
            {name: placement.parts.get(name, ()) for name in self._shards},
        )
        if len(placement.unplaced) > self._unplaced:
            text = f"{self.context.instance} has no room for {len(placement.unplaced)} listings"
            self.context.alert("RISK", text, f"{self.context.name}:unplaced")
        self._unplaced = len(placement.unplaced)
        for name, part in self._parts.items():
            old = before.get(name, ())
            if set(part) - set(old) or changed & set(part):
                self._tell_part(name)
            elif part != old and self._records[name].carries:
                self.context.after(BREAK_AFTER_S, partial(self._tell_part, name))
            elif part != old:
                self._tell_part(name)

    def _tell_part(self, name: str) -> None:
        part = tuple(row for row in self._parts[name] if row in self._wanted)
        modes = tuple(self._wanted[row] for row in part)
        self.context.tell(name, SubscribeListings(listing_ids=part, modes=modes))

    # -- what is carried --

    def _tell_carriage(self) -> None:
        now_ns = self.context.monotonic_ns()
        up = frozenset(name for name in self._shards if roll.is_up(self._records[name], now_ns))
        missing = uncarried(
            self._parts, up, self._up,
            before=self._uncarried, last_tick_ns=self._last_tick_ns, now_ns=self.context.now_ns(),
        )  # fmt: skip
        news, self._up, self._uncarried = missing != self._uncarried, up, missing
        if news:
            self._announce_carriage()

    def _announce_carriage(self) -> None:
        self.context.announce(
            CarriageChanged(
                broker=self.context.instance,
                listing_ids=tuple(self._uncarried),
                since_ns=tuple(self._uncarried.values()),
            )
        )

    # -- state --

    def _view(self) -> FeedStateChanged:
        views = list(self._views.values())
        states = [self._records[name].state for name in self._shards]
        return FeedStateChanged(
            broker=self.context.instance,
            state=roll.summarise(states),
            reason=next((view.reason for view in views if view.reason), ""),
            connected=sum(state in roll.UP for state in states),
            shards=len(self._shards),
            listings=sum(view.listings for view in views),
            disconnects=sum(view.reconnects for view in views),
            # One bad socket is not a bad feed: its listings move.
            failures_in_row=min((view.failures_in_row for view in views), default=0),
            last_message_ns=max((view.last_message_ns for view in views), default=0),
        )

    def _announce(self) -> None:
        view = self._view()
        news = (view.state, view.connected, view.listings, view.disconnects, view.failures_in_row)
        if news != self._announced:
            self._announced = news
            self.context.announce(view)

    def _tell(self) -> None:
        self._check()
        view = self._view()
        self.context.tell("feed_selector", view)
        self.context.report({
            "state": view.state,
            "reason": view.reason,
            "connected": view.connected,
            "shards": {
                name: {"state": record.state, "carries": record.carries,
                       "listings": len(self._parts.get(name, ()))}
                for name, record in self._records.items()
            },
            "listings": view.listings,
            "unplaced": self._unplaced,
            "uncarried": len(self._uncarried),
            "disconnects": view.disconnects,
            "last_message_ns": view.last_message_ns,
        })  # fmt: skip
