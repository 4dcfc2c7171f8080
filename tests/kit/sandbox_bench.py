"""A sandbox exchange on free ports over prices that the test sets by hand."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from adapters.sandbox.config import InstanceConfig, RateLimits, SandboxConfig
from adapters.sandbox.price_source import Level, Quote
from adapters.sandbox.server import SandboxServer
from domain.brokers import HistoryBar
from domain.clock import EXCHANGE_ZONE, NS_PER_S, epoch_ns
from domain.instruments import InstrumentIndex, Kind, Listing, future_symbol, option_symbol
from domain.prices import TICK_DTYPE

KEY = "a" * 64
# A Friday morning at the exchange, with the next Thursday and month end as expiries.
DAY = date(2026, 11, 20)
START_NS = epoch_ns(datetime(2026, 11, 20, 10, 0, tzinfo=EXCHANGE_ZONE))
WEEKLY, MONTHLY = date(2026, 11, 26), date(2026, 12, 29)
STRIKES = [Decimal(strike) for strike in range(25_500, 26_501, 50)]
NIFTY_LTP = 25_970.0
PACELESS = RateLimits(10_000, 10_000, 10_000)


def listings() -> list[Listing]:
    """NIFTY with its future and two chains, SENSEX, and four shares; ids from 1."""
    tick = Decimal("0.05")
    rows = [
        ("NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 65, None, Decimal(0)),
        ("BSE_INDEX", "SENSEX", "SENSEX", Kind.INDEX, 20, None, Decimal(0)),
        ("NSE", "SBIN", "SBIN", Kind.EQUITY, 1, None, Decimal(0)),
        ("NSE", "INFY", "INFY", Kind.EQUITY, 1, None, Decimal(0)),
        ("NSE", "NOQUOTE", "NOQUOTE", Kind.EQUITY, 1, None, Decimal(0)),
        ("NFO", future_symbol("NIFTY", MONTHLY), "NIFTY", Kind.FUTURE, 65, MONTHLY, Decimal(0)),
    ]
    for expiry in (WEEKLY, MONTHLY):
        for strike in STRIKES:
            for kind in (Kind.CALL, Kind.PUT):
                symbol = option_symbol("NIFTY", expiry, strike, kind)
                rows.append(("NFO", symbol, "NIFTY", kind, 65, expiry, strike))
    return [
        Listing(number, exchange, symbol, name, kind, lot, tick, 1800, expiry, strike)
        for number, (exchange, symbol, name, kind, lot, expiry, strike) in enumerate(rows, 1)
    ]


class HandMarket:
    """A PriceSource whose prices change only by `set`; ticks are due every second."""

    def __init__(self, start_ns: int = START_NS) -> None:
        self.index = InstrumentIndex(listings())
        self.derived: tuple[str, ...] = ("depth",)
        self.counts: dict[str, int] = {}
        self.warnings: list[str] = []
        self.ended = False
        self.watched: set[int] | None = None
        self._now_ns = start_ns
        self._quotes: dict[int, Quote] = {}
        self._due: list[tuple[int, float]] = []
        for row in self.index.by_id.values():
            if row.symbol != "NOQUOTE":
                self._quotes[row.listing_id] = self._first_quote(row)

    def set(self, exchange: str, symbol: str, ltp: float, **numbers: Any) -> None:
        """The listing's next price, told at the next advance."""
        row = self.index.get(exchange, symbol)
        old = self._quotes.get(row.listing_id) or self._first_quote(row)
        changed = {"bid": round(ltp - 0.05, 2), "ask": round(ltp + 0.05, 2), **numbers}
        high, low = max(old.high, ltp), min(old.low, ltp)
        quote = replace(old, **{"ltp": ltp, "high": high, "low": low, **changed})
        self._quotes[row.listing_id] = quote
        self._due.append((row.listing_id, ltp))

    def next_ns(self) -> int | None:
        return None if self.ended else self._now_ns + NS_PER_S

    def advance(self, to_ns: int) -> np.ndarray:
        ticks = np.zeros(len(self._due), TICK_DTYPE)
        for place, (listing_id, ltp) in enumerate(self._due):
            quote = replace(
                self._quotes[listing_id], ts_ns=to_ns, volume=self._quotes[listing_id].volume + 10
            )
            self._quotes[listing_id] = quote
            ticks[place] = (
                listing_id, 3, to_ns, to_ns, ltp, quote.bid, quote.ask, quote.bid_quantity,
                quote.ask_quantity, quote.volume, quote.open_interest, np.nan,
            )  # fmt: skip
        self._due.clear()
        self._now_ns = to_ns
        return ticks

    def watch(self, listing_ids: Iterable[int]) -> None:
        self.watched = set(listing_ids)

    def quote(self, listing_id: int) -> Quote | None:
        return self._quotes.get(listing_id)

    def depth(self, listing_id: int) -> tuple[list[Level], list[Level]]:
        quote = self._quotes[listing_id]
        bids = [(round(quote.bid - 0.05 * step, 2), 65 * (step + 1), step + 1) for step in range(5)]
        asks = [(round(quote.ask + 0.05 * step, 2), 65 * (step + 1), step + 1) for step in range(5)]
        return bids, asks

    def close(self) -> None:
        """Nothing is kept."""

    def history(self, listing: Listing, interval: str, first: date, last: date) -> list[HistoryBar]:
        """Every day the same: daily 100/110/90/105; six minutes from 09:15 open 100, 101, ..."""
        bars: list[HistoryBar] = []
        day = first
        while day <= last:
            if day.weekday() < 5 and interval == "D":
                midnight = epoch_ns(datetime.combine(day, time(0), UTC))
                bars.append(HistoryBar(midnight, 100.0, 110.0, 90.0, 105.0, 1_000))
            elif day.weekday() < 5:
                opens = epoch_ns(datetime.combine(day, time(9, 15), EXCHANGE_ZONE))
                for minute in range(6):
                    price = 100.0 + minute
                    start = opens + minute * 60 * NS_PER_S
                    bars.append(HistoryBar(start, price, price + 2, price - 1, price + 1, 10, 7))
            day += timedelta(days=1)
        return bars

    def _first_quote(self, row: Listing) -> Quote:
        ltp = {"NIFTY": NIFTY_LTP, "SENSEX": 85_000.0, "SBIN": 800.0, "INFY": 1500.0}.get(
            row.symbol
        )
        if row.kind == Kind.FUTURE:
            ltp = 26_000.0
        if row.strike:
            # Parity about a forward of 25,980 and 150 of time value: simple numbers, right enough.
            inside = 25_980.0 - float(row.strike)
            inside = inside if row.kind == Kind.CALL else -inside
            ltp = round(max(inside, 0.0) + 150.0, 2)
        ltp = ltp or 100.0
        bid, ask = (0.0, 0.0) if row.kind == Kind.INDEX else (ltp - 0.05, ltp + 0.05)
        return Quote(
            ltp, ltp + 5, ltp - 5, ltp, round(bid, 2), round(ask, 2), 65, 130, ltp - 10, 1_000, 500,
            START_NS,
        )  # fmt: skip


def instance(name: str = "zerodha") -> InstanceConfig:
    """An instance on free ports."""
    return InstanceConfig(name, 0, 0, KEY)


def bench(market: HandMarket | None = None, **settings: Any) -> SandboxServer:
    """A stepped sandbox over hand-set prices, not yet serving."""
    settings.setdefault("instances", (instance(),))
    settings.setdefault("limits", PACELESS)
    settings.setdefault("stepped", True)
    return SandboxServer(SandboxConfig(source=market or HandMarket(), **settings))


def call(
    base: str,
    endpoint: str,
    body: Any = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, dict[str, str]]:
    """One raw HTTP call under /api/v1: status, parsed body, headers (lower case)."""
    data = None
    if method != "GET":
        data = (
            body
            if isinstance(body, bytes)
            else json.dumps(body if body is not None else {}).encode()
        )
    url = endpoint if endpoint.startswith("http") else f"{base}/api/v1/{endpoint}"
    request = urllib.request.Request(url, data=data, method=method)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status, text, found = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as refused:
        status, text, found = refused.code, refused.read(), refused.headers
    names = {name.lower(): value for name, value in found.items()}
    parsed = json.loads(text) if "json" in names.get("content-type", "") else text.decode()
    return status, parsed, names
