"""Which option expiries matter: those whose chains are kept, and the one a leg trades.

Expiries come from the instrument master, ascending; days to expiry are calendar days.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from domain.instruments import format_expiry
from domain.intents import Leg, Refusal


def is_monthly(expiry: date, listed: Sequence[date]) -> bool:
    """True for the last listed expiry of its calendar month."""
    return not any(
        day > expiry and (day.year, day.month) == (expiry.year, expiry.month) for day in listed
    )


def in_band(listed: Sequence[date], today: date, dte_min: int, dte_max: int) -> date | None:
    """The expiry with days to expiry in the band: the monthly if it is there, else the first."""
    inside = [day for day in listed if dte_min <= (day - today).days <= dte_max]
    monthly = [day for day in inside if is_monthly(day, listed)]
    return next(iter(monthly or inside), None)


def expiries_to_keep(
    listed: Sequence[date],
    today: date,
    *,
    count: int,
    bands: Iterable[tuple[int, int]],
    held: Iterable[date] = (),
) -> list[date]:
    """The front `count`, one of each band of days to expiry, and those of open positions."""
    chosen = set(listed[:count]) | (set(held) & set(listed))
    for dte_min, dte_max in bands:
        expiry = in_band(listed, today, dte_min, dte_max)
        if expiry:
            chosen.add(expiry)
    return sorted(chosen)


def expiry_of_leg(
    leg: Leg,
    listed: Sequence[date],
    today: date,
    *,
    dte_min: int,
    dte_max: int,
    ordered: date | None,
) -> date | Refusal:
    """The expiry a leg trades (`tomic.md` 8.5, 5.6).

    Its own, else the band's, else the order's, else the front; an offset counts listed expiries
    from the band's, or from the front where there is none. A band of 0..0 is none. `listed` holds
    only what may still be traded today.
    """
    if leg.expiry is None and dte_max > 0:
        found = in_band(listed, today, dte_min, dte_max)
        if found is None:
            text = f"no listed expiry has {dte_min} to {dte_max} days to go"
            return Refusal("NO_EXPIRY_IN_DTE_BAND", text)
        return _counted(listed, listed.index(found), leg.expiry_offset or 0)
    if leg.expiry is None and leg.expiry_offset is not None:
        return _counted(listed, 0, leg.expiry_offset)
    wanted = leg.expiry or ordered or next(iter(listed), None)
    if wanted and wanted in listed:
        return wanted
    told = format_expiry(wanted) if wanted else "any"
    return Refusal("EXPIRY_NOT_LISTED", f"expiry {told} is not listed for trading")


def _counted(listed: Sequence[date], first: int, offset: int) -> date | Refusal:
    if first + offset < len(listed):
        return listed[first + offset]
    text = f"expiry number {first + offset} is wanted but only {len(listed)} are listed"
    return Refusal("EXPIRY_OFFSET_BEYOND_LIST", text)
