"""Which broker's feed is canonical: when to leave one, where to go, when to come back (`tomic.md`
11.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.clock import NS_PER_S, exchange_time

FAILURES_MAX = 3
DISCONNECTS_MAX = 3
DISCONNECTS_WITHIN_NS = 60 * NS_PER_S
SILENT_MAX_NS = 15 * NS_PER_S
RETURN_AFTER_NS = 300 * NS_PER_S
FAILOVERS_A_DAY_MAX = 3
USABLE = ("live", "degraded")


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """One feed as the selector knows it. Times are 0 where there is none.

    `state` is a word of messages.market.FeedStateChanged; `disconnected_ns` holds the moments of
    the newest disconnects; `disconnects` is the feed's own count, which begins again with its life.
    """

    state: str = "down"
    failures_in_row: int = 0
    disconnects: int = 0
    disconnected_ns: tuple[int, ...] = ()
    live_since_ns: int = 0
    mute_since_ns: int = 0


@dataclass(frozen=True, slots=True)
class Switch:
    """The canonical feed is to be another's: a failover, or the return to a better one."""

    to_broker: str
    reason: str
    is_return: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose feed is canonical, and when feeds were left today: what a new life must not forget."""

    canonical: str
    failovers_ns: tuple[int, ...] = ()

    def after(self, switch: Switch, now_ns: int) -> Choice:
        """The choice after a switch; a return is no failover."""
        left = () if switch.is_return else (now_ns,)
        return Choice(switch.to_broker, self.of_today(now_ns) + left)

    def of_today(self, now_ns: int) -> tuple[int, ...]:
        """Failovers of the exchange's date."""
        today = exchange_time(now_ns).date()
        return tuple(at for at in self.failovers_ns if exchange_time(at).date() == today)


def recall(kept: Choice | None, sequence: Sequence[str], now_ns: int, kept_ns: int) -> Choice:
    """What a new life begins with: today's choice, which only healthy minutes take back; on another
    day, or when that broker feeds no more, the first of `sequence`."""
    if kept is None or exchange_time(kept_ns).date() != exchange_time(now_ns).date():
        return Choice(sequence[0])
    canonical = kept.canonical if kept.canonical in sequence else sequence[0]
    return Choice(canonical, kept.of_today(now_ns))


def after_report(
    health: FeedHealth, *, state: str, failures_in_row: int, disconnects: int, last_tick_ns: int,
    now_ns: int,
) -> FeedHealth:  # fmt: skip
    """The health after a report of the feed. Silence counts from its last tick and ends with the
    next one: a connection made anew is no sign of life."""
    fresh = max(0, disconnects - health.disconnects)
    moments = health.disconnected_ns + (now_ns,) * min(fresh, DISCONNECTS_MAX)
    mute_ns = health.mute_since_ns if health.mute_since_ns >= last_tick_ns else 0
    if state == "mute" and not mute_ns:
        mute_ns = last_tick_ns or now_ns
    return FeedHealth(
        state=state,
        failures_in_row=failures_in_row,
        disconnects=disconnects,
        disconnected_ns=moments[-DISCONNECTS_MAX:],
        live_since_ns=(health.live_since_ns or now_ns) if state in USABLE else 0,
        mute_since_ns=mute_ns,
    )


def after_close(health: FeedHealth) -> FeedHealth:
    """The session is over: silence means nothing any more."""
    return replace(health, mute_since_ns=0)


def after_restart(health: FeedHealth) -> FeedHealth:
    """The feed has a new life: its count of disconnects begins at 0."""
    return replace(health, disconnects=0)


def why_unfit(health: FeedHealth, now_ns: int) -> str:
    """Why this feed must not stay canonical; empty while it may."""
    if health.state == "refused":
        return "its key or session was refused"
    if health.failures_in_row >= FAILURES_MAX and health.state not in USABLE:
        return f"{health.failures_in_row} failures in a row"
    recent = [at for at in health.disconnected_ns if now_ns - at <= DISCONNECTS_WITHIN_NS]
    if len(recent) >= DISCONNECTS_MAX:
        return f"{len(recent)} disconnects within 60 s"
    if health.mute_since_ns and now_ns - health.mute_since_ns >= SILENT_MAX_NS:
        return "connected but silent for 15 s"
    return ""


def decide(
    sequence: Sequence[str], canonical: str, feeds: Mapping[str, FeedHealth], now_ns: int
) -> Switch | None:
    """The switch to make now, if any.

    Away from an unfit feed to the first usable one of `sequence`; back towards the front of it once
    a feed there has been healthy for 5 minutes. Without a usable feed the canonical one stays.
    """
    reason = why_unfit(feeds[canonical], now_ns)
    if reason:
        usable = [name for name in sequence if name != canonical and _is_fit(feeds[name], now_ns)]
        return Switch(usable[0], f"{canonical}: {reason}") if usable else None
    for name in sequence[: sequence.index(canonical)]:
        health = feeds[name]
        if _is_fit(health, now_ns) and now_ns - health.live_since_ns >= RETURN_AFTER_NS:
            return Switch(name, f"{name} has been healthy for 5 minutes", is_return=True)
    return None


def _is_fit(health: FeedHealth, now_ns: int) -> bool:
    proven = health.failures_in_row < FAILURES_MAX  # they are forgotten with the first tick
    return health.state in USABLE and proven and not why_unfit(health, now_ns)
