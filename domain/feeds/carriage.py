"""Which listings no socket carries, and since when their ticks are missing.

Silence is no loss: a mute socket carries. If the silence lasts, the socket is made anew, and then
the loss counts from its last tick.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from domain.feeds.placement import Parts


def uncarried(
    parts: Parts,
    up: Collection[str],
    was_up: Collection[str],
    *,
    before: Mapping[int, int],
    last_tick_ns: Mapping[str, int],
    now_ns: int,
) -> dict[int, int]:
    """The listings of shards that are not `up`, each with the moment its ticks ended.

    A listing that was missing `before` keeps its moment. Of a shard that fell just now it is the
    shard's last tick; a listing that is placed on a fallen shard was never heard there, and counts
    from now.
    """
    missing = {}
    for name, part in parts.items():
        if name in up:
            continue
        since_ns = (last_tick_ns.get(name, 0) or now_ns) if name in was_up else now_ns
        for listing_id in part:
            missing[listing_id] = before.get(listing_id, since_ns)
    return missing
