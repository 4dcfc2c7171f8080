"""Listings: what can be traded or watched, the grammar of its symbol, and the index of all of them.

The index is read-only once loaded. A listing's `listing_id` is its row in every columnar batch of
the data plane, stable within a day (issued by persistence.instruments).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from domain.errors import UnknownListing


class Kind(StrEnum):
    """What a listing is (`openalgo.md` 11, instrumenttype)."""

    EQUITY = "EQ"
    FUTURE = "FUT"
    CALL = "CE"
    PUT = "PE"
    INDEX = "INDEX"


OPTION_KINDS = (Kind.CALL, Kind.PUT)
INDEX_EXCHANGES = ("NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX")
EXCHANGES = (
    "NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NCDEX", "NCO",
    "NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX", "CRYPTO",
)  # fmt: skip
DERIVATIVE_EXCHANGE = {
    "NSE_INDEX": "NFO", "BSE_INDEX": "BFO", "NSE": "NFO", "BSE": "BFO", "NFO": "NFO", "BFO": "BFO",
    "MCX": "MCX", "CDS": "CDS",
}  # fmt: skip

# `tomic.md` 9.4: names under which data sources know the indices.
INDEX_ALIASES = {
    "NIFTY50": "NIFTY", "NIFTYINDEX": "NIFTY", "NIFTYBANK": "BANKNIFTY",
    "INDIAVIX": "INDIAVIX", "VIX": "INDIAVIX",
}  # fmt: skip
INDEX_PREFIXES = ("BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "NIFTY", "SENSEX", "BANKEX")
SECTOR_INDEX = "INDEX"

_OPTION = re.compile(r"^([A-Z0-9&-]+?)(\d{2}[A-Z]{3}\d{2})(\d+(?:\.\d+)?)(CE|PE)$")
_FUTURE = re.compile(r"^([A-Z0-9&-]+?)(\d{2}[A-Z]{3}\d{2})FUT$")


@dataclass(frozen=True, slots=True)
class Listing:
    """One row of the instrument master.

    `strike` is 0 and `expiry` None where the kind has none. `name` is the underlying's symbol (an
    equity's or index's own). `freeze_quantity` is the largest quantity of one order, in units.
    """

    listing_id: int
    exchange: str
    symbol: str
    name: str
    kind: Kind
    lot_size: int
    tick_size: Decimal
    freeze_quantity: int
    expiry: date | None = None
    strike: Decimal = Decimal(0)
    token: str = ""

    @property
    def key(self) -> str:
        """`EXCHANGE:SYMBOL`, unique in the master."""
        return f"{self.exchange}:{self.symbol}"


def format_expiry(expiry: date) -> str:
    """`DDMMMYY`, upper case, as requests and symbols carry it."""
    return expiry.strftime("%d%b%y").upper()


def parse_expiry(text: str) -> date:
    """A date from any of the six spellings of `tomic.md` 8.5; ValueError names the text."""
    cleaned = text.strip().upper()
    for pattern in ("%d%b%y", "%d-%b-%y", "%d%b%Y", "%d-%b-%Y", "%Y-%m-%d", "%Y/%m/%d"):
        try:
            return datetime.strptime(cleaned, pattern).date()
        except ValueError:
            continue
    raise ValueError(f"expiry {text!r} is none of DDMMMYY, DD-MMM-YY, DD-MMM-YYYY, YYYY-MM-DD")


def format_strike(strike: Decimal) -> str:
    """A strike as a symbol carries it: no trailing `.0`, needed decimals kept."""
    return f"{strike.normalize():f}"


def option_symbol(name: str, expiry: date, strike: Decimal, kind: Kind) -> str:
    """`NIFTY` + `24NOV26` + `25950` + `CE` (`openalgo.md` 2)."""
    return f"{name}{format_expiry(expiry)}{format_strike(strike)}{kind.value}"


def future_symbol(name: str, expiry: date) -> str:
    """`NIFTY` + `24NOV26` + `FUT`."""
    return f"{name}{format_expiry(expiry)}FUT"


@dataclass(frozen=True, slots=True)
class ParsedSymbol:
    """What a derivative's symbol says of itself."""

    name: str
    expiry: date
    kind: Kind
    strike: Decimal


def parse_symbol(symbol: str) -> ParsedSymbol | None:
    """The parts of an option or future symbol; None for anything else."""
    text = symbol.upper()
    option = _OPTION.match(text)
    try:
        if option:
            name, expiry, strike, kind = option.groups()
            return ParsedSymbol(name, parse_expiry(expiry), Kind(kind), Decimal(strike))
        future = _FUTURE.match(text)
        if future:
            return ParsedSymbol(future[1], parse_expiry(future[2]), Kind.FUTURE, Decimal(0))
    except ValueError:
        return None
    return None


def underlying_of(symbol: str) -> str:
    """The underlying a symbol belongs to, by the rules of `tomic.md` 7.5."""
    text = symbol.upper().split(":")[-1]
    for exchange in EXCHANGES:
        text = text.removesuffix(f".{exchange}")
    compact = text.replace(" ", "").replace("-", "").replace("_", "")
    if compact in INDEX_ALIASES:
        return INDEX_ALIASES[compact]
    for prefix in INDEX_PREFIXES:
        if compact.startswith(prefix):
            return prefix
    if "VIX" in compact:
        return "INDIAVIX"
    parsed = parse_symbol(text)
    return parsed.name if parsed else text


class InstrumentIndex:
    """All listings of a day, found by id, by (exchange, symbol) and by option chain."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.by_id: dict[int, Listing] = {row.listing_id: row for row in listings}
        self._by_key = {row.key: row for row in self.by_id.values()}
        self._chains: dict[tuple[str, date], list[Listing]] = {}
        for row in self.by_id.values():
            if row.kind in OPTION_KINDS and row.expiry:
                self._chains.setdefault((row.name, row.expiry), []).append(row)
        for rows in self._chains.values():
            rows.sort(key=lambda row: (row.strike, row.kind))

    def __len__(self) -> int:
        return len(self.by_id)

    def find(self, exchange: str, symbol: str) -> Listing | None:
        """The listing of that exchange and symbol, or None."""
        return self._by_key.get(f"{exchange}:{symbol}")

    def get(self, exchange: str, symbol: str) -> Listing:
        """As `find`; raises UnknownListing with both words."""
        row = self.find(exchange, symbol)
        if row is None:
            raise UnknownListing(f"symbol {symbol} stands in no master of {exchange}")
        return row

    def expiries(self, name: str, on_or_after: date) -> list[date]:
        """Listed option expiries of an underlying, ascending."""
        return sorted(day for (of, day) in self._chains if of == name and day >= on_or_after)

    def chain(self, name: str, expiry: date) -> list[Listing]:
        """Options of one underlying and expiry, by strike, CE before PE."""
        return self._chains.get((name, expiry), [])

    def strikes(self, name: str, expiry: date) -> list[Decimal]:
        """Listed strikes, ascending."""
        return sorted({row.strike for row in self.chain(name, expiry)})

    def underlying(self, name: str) -> Listing | None:
        """The index or equity listing behind an underlying's name."""
        for exchange in ("NSE_INDEX", "BSE_INDEX", "NSE", "BSE"):
            row = self.find(exchange, name)
            if row:
                return row
        return None
