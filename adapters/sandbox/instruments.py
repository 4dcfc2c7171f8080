"""The sandbox's instrument master: seed data relative to one date (`openalgo.md` 2, 11).

Lots, strike steps, freeze quantities and expiry weekdays stand here and nowhere else: a real broker
sends them. Strikes lie around the levels given; expiries follow the calendar's holidays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import count

from adapters.sandbox.hours import shipped_calendars
from domain.calendar import ExchangeCalendar
from domain.instruments import Kind, Listing, future_symbol, option_symbol

TUESDAY, THURSDAY = 1, 3
# Six weekly expiries reach 35 to 41 days ahead, so that one always lies 30 to 45 days away.
WEEKLY_EXPIRIES, MONTHLY_EXPIRIES = 6, 3
STRIKES_EACH_SIDE = 50
OPTION_TICK = Decimal("0.05")
EQUITY_FREEZE = 100_000
VOLATILITY_INDEX = "INDIAVIX"
SEGMENTS = {"NSE": 1, "NFO": 2, "BFO": 5, "NSE_INDEX": 9, "BSE_INDEX": 9}


@dataclass(frozen=True, slots=True)
class IndexSeed:
    """One index, or a share that was recorded: where it is listed, a level to begin at, and the
    terms of its contracts.

    `strike_step` 0 means that no options are listed in the sandbox.
    """

    name: str
    exchange: str
    level: float
    lot_size: int = 1
    freeze_quantity: int = 0
    strike_step: int = 0
    weekly: bool = False

    @property
    def derivative_exchange(self) -> str:
        """Where its contracts trade."""
        return "BFO" if self.exchange == "BSE_INDEX" else "NFO"

    @property
    def expiry_weekday(self) -> int:
        """NSE contracts expire on Tuesdays, BSE contracts on Thursdays (`tomic.md` 8.5)."""
        return THURSDAY if self.exchange == "BSE_INDEX" else TUESDAY


INDICES = (
    IndexSeed("NIFTY", "NSE_INDEX", 24_600.0, 65, 1_800, 50, True),
    IndexSeed("BANKNIFTY", "NSE_INDEX", 55_200.0, 30, 600, 100),
    IndexSeed("FINNIFTY", "NSE_INDEX", 26_100.0, 60, 1_800, 50),
    IndexSeed("MIDCPNIFTY", "NSE_INDEX", 13_600.0, 120, 2_800, 25),
    IndexSeed("NIFTYNXT50", "NSE_INDEX", 68_500.0, 25, 600),
    IndexSeed("SENSEX", "BSE_INDEX", 80_400.0, 20, 1_000, 100, True),
    IndexSeed("BANKEX", "BSE_INDEX", 61_800.0, 30, 900),
    IndexSeed("SENSEX50", "BSE_INDEX", 25_300.0, 25, 1_800),
)
INDEX_SEEDS = {row.name: row for row in INDICES}

# Levels in rupees near those of August 2026.
EQUITIES = {
    "RELIANCE": 1_334.8, "SBIN": 1_097.2, "INFY": 1_175.1, "TCS": 2_452.7, "HDFCBANK": 731.0,
    "ICICIBANK": 1_421.0, "ITC": 286.1, "TATASTEEL": 187.55, "AXISBANK": 1_238.0,
    "BHARTIARTL": 1_959.9, "BAJFINANCE": 1_078.0, "HCLTECH": 1_356.6, "HINDUNILVR": 2_096.0,
    "KOTAKBANK": 390.75, "LT": 4_056.0, "M&M": 3_502.0, "MARUTI": 14_037.0, "NTPC": 342.5,
    "SUNPHARMA": 1_945.0, "TITAN": 4_941.0, "ULTRACEMCO": 12_105.0, "WIPRO": 187.53,
}  # fmt: skip


def seed_levels() -> dict[str, float]:
    """The level each index and equity begins at when nothing better is known."""
    return {row.name: row.level for row in INDICES} | EQUITIES


def listings_of(
    day: date,
    levels: Mapping[str, tuple[float, float]] | None = None,
    calendars: Mapping[str, ExchangeCalendar] | None = None,
) -> list[Listing]:
    """The whole master as of `day`: contracts expiring on it are still listed. Ids run from 1.

    `levels` (name to lowest and highest price) overrides the seed's where strikes are centred: what
    was listed at a price of before is listed still.
    """
    centres = {name: (level, level) for name, level in seed_levels().items()} | dict(levels or {})
    known = calendars or shipped_calendars()
    ids = count(1)
    rows = [volatility_listing(next(ids))]
    rows += [index_listing(seed, next(ids)) for seed in INDICES]
    rows += [share_listing(name, next(ids), level=level) for name, level in EQUITIES.items()]
    for seed in INDICES:
        monthly, chains = _expiries(seed, day, known)
        low, high = centres[seed.name]
        rows += [_future(seed, next(ids), level=high, expiry=expiry) for expiry in monthly]
        rows += _options(seed, ids, low=low, high=high, expiries=chains)
    return rows


def index_listing(seed: IndexSeed, listing_id: int) -> Listing:
    """The row of an index itself; it cannot be traded."""
    return Listing(
        listing_id,
        seed.exchange,
        seed.name,
        seed.name,
        Kind.INDEX,
        1,
        Decimal("0.05"),
        0,
        token=_token(26_000 + listing_id, seed.exchange),
    )


def volatility_listing(listing_id: int) -> Listing:
    """The row of the volatility index."""
    return Listing(
        listing_id,
        "NSE_INDEX",
        VOLATILITY_INDEX,
        VOLATILITY_INDEX,
        Kind.INDEX,
        1,
        Decimal("0.01"),
        0,
        token=_token(26_000 + listing_id, "NSE_INDEX"),
    )


def option_listing(
    seed: IndexSeed, listing_id: int, *, expiry: date, strike: Decimal, kind: Kind
) -> Listing:
    """The row of one option contract."""
    return Listing(
        listing_id,
        seed.derivative_exchange,
        option_symbol(seed.name, expiry, strike, kind),
        seed.name,
        kind,
        seed.lot_size,
        OPTION_TICK,
        seed.freeze_quantity,
        expiry,
        strike,
        token=_token(40_000 + listing_id, seed.derivative_exchange),
    )


def _future(seed: IndexSeed, listing_id: int, *, level: float, expiry: date) -> Listing:
    return Listing(
        listing_id,
        seed.derivative_exchange,
        future_symbol(seed.name, expiry),
        seed.name,
        Kind.FUTURE,
        seed.lot_size,
        _future_tick(level),
        seed.freeze_quantity,
        expiry,
        token=_token(40_000 + listing_id, seed.derivative_exchange),
    )


def share_listing(name: str, listing_id: int, *, level: float) -> Listing:
    """The row of a share, whose price steps go by its price."""
    return Listing(
        listing_id,
        "NSE",
        name,
        name,
        Kind.EQUITY,
        1,
        _equity_tick(level),
        EQUITY_FREEZE,
        token=_token(1_000 + listing_id, "NSE"),
    )


def _token(number: int, exchange: str) -> str:
    """A number that every broker's feed can know it by: one of them reads a segment in its lowest
    byte (`broker_protocols.md` 1.4)."""
    return str(number << 8 | SEGMENTS[exchange])


def _options(
    seed: IndexSeed, ids: Iterator[int], *, low: float, high: float, expiries: list[date]
) -> Iterator[Listing]:
    if not seed.strike_step:
        return
    first = round(low / seed.strike_step) - STRIKES_EACH_SIDE
    last = round(high / seed.strike_step) + STRIKES_EACH_SIDE
    for expiry in expiries:
        for place in range(first, last + 1):
            strike = Decimal(place * seed.strike_step)
            for kind in (Kind.CALL, Kind.PUT):
                yield option_listing(seed, next(ids), expiry=expiry, strike=strike, kind=kind)


def _expiries(
    seed: IndexSeed, day: date, calendars: Mapping[str, ExchangeCalendar]
) -> tuple[list[date], list[date]]:
    """The monthly expiries, and all that have a chain: the monthly ones and any weekly ones."""
    calendar = calendars[seed.derivative_exchange]
    weekdays = _weekdays(day - timedelta(days=7), seed.expiry_weekday)
    weekly: list[date] = []
    monthly: list[date] = []
    while len(monthly) < MONTHLY_EXPIRIES or len(weekly) < WEEKLY_EXPIRIES:
        due = next(weekdays)
        expiry = _last_session(due, calendar)
        if expiry < day:
            continue
        if len(weekly) < WEEKLY_EXPIRIES:
            weekly.append(expiry)
        is_last_of_month = (due + timedelta(days=7)).month != due.month
        if is_last_of_month and len(monthly) < MONTHLY_EXPIRIES:
            monthly.append(expiry)
    return monthly, sorted({*monthly, *weekly}) if seed.weekly else monthly


def _weekdays(from_day: date, weekday: int) -> Iterator[date]:
    day = from_day + timedelta(days=(weekday - from_day.weekday()) % 7)
    while True:
        yield day
        day += timedelta(days=7)


def _last_session(day: date, calendar: ExchangeCalendar) -> date:
    """That day, or the trading day before it."""
    while calendar.session(day) is None:
        day -= timedelta(days=1)
    return day


def _future_tick(level: float) -> Decimal:
    """NSE's price steps of index futures, by the level of the index."""
    if level < 15_000:
        return Decimal("0.05")
    return Decimal("0.10") if level <= 30_000 else Decimal("0.20")


def _equity_tick(level: float) -> Decimal:
    """NSE's price steps of the cash market, by the share's price."""
    steps = ((250, "0.01"), (1_000, "0.05"), (5_000, "0.10"), (10_000, "0.50"), (20_000, "1.00"))
    return next((Decimal(step) for below, step in steps if level < below), Decimal("5.00"))
