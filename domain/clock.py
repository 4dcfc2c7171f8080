"""Clock: the only source of time, always passed in.

`now_ns` is the wall clock (UTC epoch, nanoseconds); `monotonic_ns` measures durations. In a replay
both are the recorded clock, so that nothing in the product can tell a replay from a day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
EXCHANGE_ZONE = ZoneInfo("Asia/Kolkata")
EXCHANGE_OFFSET = timezone(timedelta(hours=5, minutes=30))


class Clock(Protocol):
    """What everyone who needs the time is given."""

    def now_ns(self) -> int:
        """Wall clock, nanoseconds since the epoch, UTC."""

    def monotonic_ns(self) -> int:
        """Never goes back; for ages and durations only."""


SET_BACK_MIN_NS = NS_PER_S  # less is a clock that is corrected for its drift


class StepWatch:
    """Notices a wall clock that is set back, by the monotonic one beside it."""

    def __init__(self, now_ns: int, monotonic_ns: int) -> None:
        self._ahead_ns = now_ns - monotonic_ns

    def set_back_ns(self, now_ns: int, monotonic_ns: int) -> int:
        """By how much it was set back since it was last looked at; 0 when it was not."""
        ahead_ns = now_ns - monotonic_ns
        back_ns, self._ahead_ns = self._ahead_ns - ahead_ns, ahead_ns
        return back_ns if back_ns >= SET_BACK_MIN_NS else 0


class ForwardClock:
    """The wall time, but when that is set back it goes on from where it was: for durations that
    outlive a process."""

    def __init__(self, now_ns: int, monotonic_ns: int) -> None:
        self._steps = StepWatch(now_ns, monotonic_ns)
        self._back_ns = 0

    def at(self, now_ns: int, monotonic_ns: int) -> int:
        """Nanoseconds; never less than at an earlier call."""
        self._back_ns += self._steps.set_back_ns(now_ns, monotonic_ns)
        return now_ns + self._back_ns


def seconds(duration_s: float) -> int:
    """Seconds as nanoseconds."""
    return round(duration_s * NS_PER_S)


def exchange_time(at_ns: int) -> datetime:
    """The wall time at the exchange (Asia/Kolkata) of an epoch time in nanoseconds."""
    return datetime.fromtimestamp(at_ns / NS_PER_S, tz=EXCHANGE_ZONE)


def zone_named(name: str) -> tzinfo:
    """The zone of that IANA name; the exchange's offset where there is none (`tomic.md` 2.1)."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return EXCHANGE_OFFSET


def epoch_ns(moment: datetime) -> int:
    """Epoch nanoseconds of an aware datetime, exact to the microsecond."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * NS_PER_S + delta.microseconds * 1_000


def iso_utc(at_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`, as audit and journal write it."""
    moment = datetime.fromtimestamp(at_ns // NS_PER_S, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ns % NS_PER_S // 1_000_000:03d}Z"
