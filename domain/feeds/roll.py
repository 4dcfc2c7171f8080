"""Which shards may carry listings: a drop has a grace, a return is trusted after a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.clock import NS_PER_S

GRACE_NS = 5 * NS_PER_S  # `subscriptions.md` 6: a blip moves nothing
UNHEARD_NS = 15 * NS_PER_S  # three of its reports missed: nobody knows what it carries
TRUSTED_NS = 60 * NS_PER_S
UP = ("live", "mute")


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What a feed knows of one shard; monotonic times. `since_ns` is when it went up, or down."""

    state: str
    since_ns: int
    heard_ns: int
    carries: bool = True


def after_report(record: ShardRecord, state: str, now_ns: int) -> ShardRecord:
    """The record after the shard told its state."""
    turned = (state in UP) != (record.state in UP)
    since_ns = now_ns if turned else record.since_ns
    return replace(record, state=state, since_ns=since_ns, heard_ns=now_ns)


def is_up(record: ShardRecord, now_ns: int) -> bool:
    """True when the shard's socket stands, as far as is known."""
    return record.state in UP and now_ns - record.heard_ns < UNHEARD_NS


def call_roll(records: Mapping[str, ShardRecord], now_ns: int) -> dict[str, ShardRecord]:
    """The records with `carries` as it should be now (`subscriptions.md` 6).

    Out: refused at once, down for 5 s, unheard for 15 s. In again: up for 60 s, or up at all while
    no other carries.
    """
    rolled = {}
    others = any(record.carries and record.state in UP for record in records.values())
    for name, record in records.items():
        lasting_ns = now_ns - record.since_ns
        unheard = now_ns - record.heard_ns >= UNHEARD_NS
        stands = is_up(record, now_ns)
        if record.carries:
            carries = stands or not (record.state == "refused" or unheard or lasting_ns >= GRACE_NS)
        else:
            carries = stands and (lasting_ns >= TRUSTED_NS or not others)
        rolled[name] = replace(record, carries=carries)
    return rolled


def summarise(states: list[str]) -> str:
    """The state of a feed as a whole: live, degraded, mute, refused or down."""
    if states and all(state == "live" for state in states):
        return "live"
    if "live" in states:
        return "degraded"
    if "mute" in states:
        return "mute"
    return "refused" if states and all(state == "refused" for state in states) else "down"
