"""Pauses: how a generated market lives through time in which nobody moved it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_MINUTE

STEPS_MAX = 10_000  # of one pause: a longer one moves in steps of some minutes


def pause_steps(
    from_ns: int, to_ns: int, calendar: ExchangeCalendar | None
) -> Iterator[tuple[int, int, bool]]:
    """Begin and end of each step, and whether it comes after closed hours.

    Only what lies in a session is a step; the last ends at `to_ns`. Without a calendar the market
    never closes.
    """
    minutes = -(-(to_ns - from_ns) // NS_PER_MINUTE)
    stride_ns = max(1, -(-minutes // STEPS_MAX)) * NS_PER_MINUTE
    at_ns, is_rested = from_ns, False
    while at_ns < to_ns:
        ends_ns = min((at_ns // stride_ns + 1) * stride_ns, to_ns)
        if calendar is None or calendar.is_open(at_ns):
            yield at_ns, ends_ns, is_rested
            is_rested = False
        else:
            is_rested = True
        at_ns = ends_ns
