"""What a person is told of the feeds: lost and back, silent and back, all gone (`tomic.md` 10.5,
10.2). At the edges only, and only while the segment trades.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.alerts import CRITICAL, INFO, RISK, Alert
from domain.clock import NS_PER_S
from domain.feeds.failover import USABLE

LOST_AFTER_S = 5.0  # as a silent feed is marked mute (`tomic.md` 11.2): a reconnect is no loss
ALL_LOST_AFTER_S = 60.0  # `tomic.md` 10.2: both feeds down
UNCONNECTED = ("down", "refused")


@dataclass(frozen=True, slots=True)
class FeedSigns:
    """A feed now: the word of its state and why, since when it is not usable (0: it is), and when
    its newest tick came, 0 for never."""

    state: str
    reason: str
    unusable_since_ns: int
    tick_ns: int


@dataclass(frozen=True, slots=True)
class FeedWatch:
    """What stands told: feeds that are lost, the canonical feed that is silent, all of them gone.
    `since_ns` is when this watch began to listen in this session."""

    since_ns: int = 0
    lost: frozenset[str] = frozenset()
    stale: str = ""
    all_lost: bool = False


def watch_feeds(
    told: FeedWatch,
    feeds: Mapping[str, FeedSigns],
    canonical: str,
    now_ns: int,
    *,
    stale_after_s: float,
) -> tuple[FeedWatch, list[Alert]]:
    """What stands told afterwards, and the alerts of this look. Ask only within the session."""
    alerts: list[Alert] = []

    def say(level: str, text: str, key: str) -> None:
        alerts.append(Alert(level, text, key, now_ns))

    lost = frozenset(name for name, row in feeds.items() if _is_lost(row, told.since_ns, now_ns))
    for name in sorted(lost - told.lost):
        row = feeds[name]
        why = f": {row.reason}" if row.reason else ""
        what = "was refused by its server" if row.state == "refused" else "is disconnected"
        say(RISK, f"the feed of {name} {what}{why}", f"feed:{name}")
    for name in sorted(told.lost - lost):
        say(INFO, f"the feed of {name} is connected again", f"feed:{name}:back")
    heard_ns = max(feeds[canonical].tick_ns, told.since_ns)
    silent_s = (now_ns - heard_ns) / NS_PER_S
    stale = canonical if silent_s >= stale_after_s else ""
    if stale and not told.stale:
        text = f"no tick from {canonical} for {silent_s:.0f} s; entries are blocked, exits go on"
        say(RISK, text, "feed:stale")
    if told.stale and not stale:
        say(INFO, f"ticks come again, from {canonical}", "feed:stale:back")
    gone = all(
        _unusable_s(row, told.since_ns, now_ns) >= ALL_LOST_AFTER_S for row in feeds.values()
    )
    if gone and not told.all_lost:
        text = f"no feed works since {ALL_LOST_AFTER_S:.0f} s ({', '.join(feeds)}); no entries"
        say(CRITICAL, text, "feed:all")
    if told.all_lost and not gone:
        say(INFO, "a feed works again", "feed:all:back")
    return FeedWatch(told.since_ns, lost, stale, gone), alerts


def _unusable_s(row: FeedSigns, since_ns: int, now_ns: int) -> float:
    if row.state in USABLE or not row.unusable_since_ns:
        return 0.0
    return (now_ns - max(row.unusable_since_ns, since_ns)) / NS_PER_S


def _is_lost(row: FeedSigns, since_ns: int, now_ns: int) -> bool:
    waited = _unusable_s(row, since_ns, now_ns) >= LOST_AFTER_S
    return row.state in UNCONNECTED and (waited or row.state == "refused")
