"""Pauses: how a generated market lives through time in which nobody moved it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.sandbox.lived import QUARTER_NS
from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_MINUTE

FINE_NS = 5 * 24 * 60 * NS_PER_MINUTE  # the end of a pause is lived by the minute
COARSE_STEPS_MAX = 3_000  # before that, in steps of whole quarters of an hour


def pause_steps(
    from_ns: int, to_ns: int, calendar: ExchangeCalendar | None
) -> Iterator[tuple[int, int, bool]]:
    """Begin and end of each step, and whether it comes after closed hours.

    Only what lies in a session is a step; the last ends at `to_ns`. Without a calendar the market
    never closes.
    """
    quarters = -(-max(to_ns - from_ns - FINE_NS, 0) // QUARTER_NS)
    coarse_ns = max(1, -(-quarters // COARSE_STEPS_MAX)) * QUARTER_NS
    at_ns, is_rested = from_ns, False
    while at_ns < to_ns:
        stride_ns = coarse_ns if to_ns - at_ns > FINE_NS else NS_PER_MINUTE
        ends_ns = min((at_ns // stride_ns + 1) * stride_ns, to_ns)
        if calendar is None or calendar.is_open(at_ns):
            yield at_ns, ends_ns, is_rested
            is_rested = False
        else:
            is_rested = True
        at_ns = ends_ns
