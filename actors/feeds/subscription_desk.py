"""Subscription desk: who wants which listings, as one wish for all feeds.

Hears WantListings, and NodeRestarted of a feed or an owner; tells every feed SubscribeListings.
"""

from __future__ import annotations

from typing import Any

from actors.actor import Actor, Context
from messages.lifecycle import NodeRestarted
from messages.market import SubscribeListings, WantListings

# After a restart the owners ask again, one after the other; a first wish of one of them alone would
# drop what the others carry.
COLLECT_S = 2.0


class SubscriptionDesk(Actor):
    """State: the wish of each owner, and the last one told to the feeds."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._wishes: dict[str, WantListings] = {}
        self._told: SubscribeListings | None = None
        self._collecting = context.life > 1

    def start(self) -> None:
        if self._collecting:
            self.context.after(COLLECT_S, self._collected)

    def on_want_listings(self, message: WantListings) -> None:
        if message.listing_ids:
            self._wishes[message.owner] = message
        else:
            self._wishes.pop(message.owner, None)
        if not self._collecting:
            self._tell_feeds()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        feed, _, broker = message.name.partition(".")
        if feed == "feed" and broker in self.context.runtime.feed_sequence and self._told:
            self.context.tell(message.name, self._told)

    def _collected(self) -> None:
        self._collecting = False
        self._tell_feeds()

    def _tell_feeds(self) -> None:
        """The union in order of importance: a feed without room for all drops from the end, so
        pinned listings (open positions) stand first. A listing's mode is the highest that anyone
        wants."""
        modes: dict[int, int] = {}
        for wish in sorted(self._wishes.values(), key=lambda wish: not wish.pinned):
            for listing_id in wish.listing_ids:
                modes[listing_id] = max(modes.get(listing_id, 0), wish.mode)
        union = SubscribeListings(listing_ids=tuple(modes), modes=tuple(modes.values()))
        if union == self._told:
            return
        self._told = union
        for broker in self.context.runtime.feed_sequence:
            self.context.tell(f"feed.{broker}", union)
        self.context.report({
            "owners": {owner: len(wish.listing_ids) for owner, wish in self._wishes.items()},
            "listings": len(modes),
            "pinned": sum(len(wish.listing_ids) for wish in self._wishes.values() if wish.pinned),
        })  # fmt: skip
