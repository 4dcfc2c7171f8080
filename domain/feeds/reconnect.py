"""When a socket connects again: doubling delays, forgiven only by a minute of ticks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from domain.clock import NS_PER_S

DELAY_MAX_S = 60.0
JITTER_SHARE = 0.2
FORGIVEN_AFTER_NS = 60 * NS_PER_S
ALERT_AT_ATTEMPT = 5
REFUSED_DELAY_S = 60.0  # `tomic.md` 11.2: an auth failure is not hammered


@dataclass(frozen=True, slots=True)
class Reconnect:
    """A socket's record: attempts since it last ran well, and since when ticks flow (0: they do
    not).
    """

    attempt: int = 0
    flowing_since_ns: int = 0


def delay_s(record: Reconnect, jitter: float) -> float:
    """Seconds before the next connection: min(2^attempt, 60), give or take `jitter` (-1..1) x 20 %
    (`data_pipeline.md` 5)."""
    # Past 2^6 it is the maximum; a larger power would only overflow after weeks without a market.
    return min(2.0 ** min(record.attempt, 6), DELAY_MAX_S) * (1 + JITTER_SHARE * jitter)


def after_ticks(record: Reconnect, now_ns: int) -> Reconnect:
    """Ticks came: after 60 s of them the attempts are forgotten."""
    if not record.flowing_since_ns:
        return replace(record, flowing_since_ns=now_ns)
    if record.attempt and now_ns - record.flowing_since_ns >= FORGIVEN_AFTER_NS:
        return replace(record, attempt=0)
    return record


def after_loss(record: Reconnect) -> Reconnect:
    """A connection failed or ended; to be called after `delay_s` was asked."""
    return Reconnect(record.attempt + 1)
