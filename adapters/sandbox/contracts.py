"""Contracts: every listing of the generated market as columns, priced many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from adapters.sandbox import surface
from adapters.sandbox.history import Minutes
from adapters.sandbox.price_source import BOOK_LOTS, book
from adapters.sandbox.walk import NAMES
from domain import black76
from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_S
from domain.instruments import OPTION_KINDS, Kind, Listing

NS_A_YEAR = 365 * 24 * 3600 * NS_PER_S
TRADES_A_SECOND = 2.0  # lots, of the busiest strike
INTEREST_LOTS = 40_000  # open interest of the busiest strike
PUT_INTEREST = 1.05  # puts held per call


class Prices(NamedTuple):
    """Columns of one pricing, a row a listing; bid and ask 0 where there is none."""

    ltp: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    quantity: np.ndarray  # at the best prices, units
    pace: np.ndarray  # units traded a second
    open_interest: np.ndarray


class Contracts:
    """Static columns by listing id (row 0 is nobody)."""

    def __init__(
        self, listings: Sequence[Listing], calendars: Mapping[str, ExchangeCalendar]
    ) -> None:
        size = max(row.listing_id for row in listings) + 1
        self.ids = np.array([row.listing_id for row in listings], dtype=np.int64)
        self.names = np.zeros(size, dtype=np.int64)
        self.strikes = np.ones(size)
        self.expiries_ns = np.zeros(size, dtype=np.int64)
        self.ticks, self.lots = np.ones(size), np.ones(size, dtype=np.int64)
        self.is_option, self.is_call, self.is_index = np.zeros((3, size), dtype=bool)
        self._chains: dict[object, list[int]] = {}
        self._chain_of: dict[int, object] = {}
        closes: dict[object, int] = {}
        for row in listings:
            at = row.listing_id
            self.names[at] = NAMES.index(row.name)
            self.ticks[at], self.lots[at] = float(row.tick_size), row.lot_size
            self.is_index[at] = row.kind is Kind.INDEX
            chain: object = at
            if row.expiry:
                key = (row.exchange, row.expiry)
                if key not in closes:
                    closes[key] = closing_ns(row, calendars)
                self.expiries_ns[at] = closes[key]
            if row.kind in OPTION_KINDS:
                self.is_option[at], self.is_call[at] = True, row.kind is Kind.CALL
                self.strikes[at] = float(row.strike)
                chain = (row.name, row.expiry)
            self._chain_of[at] = chain
            self._chains.setdefault(chain, []).append(at)

    def chain_of(self, listing_id: int) -> np.ndarray:
        """The ids of all options of its underlying and expiry; its own for anything else."""
        return np.array(self._chains[self._chain_of[listing_id]], dtype=np.int64)

    def price(self, ids: np.ndarray, levels: np.ndarray, now_ns: int) -> Prices:
        """Prices of these at those levels; a contract past its expiry is its intrinsic value."""
        spot, ticks, lots = levels[self.names[ids]], self.ticks[ids], self.lots[ids]
        years = np.maximum(self.expiries_ns[ids] - now_ns, 0) / NS_A_YEAR
        mid = spot * np.exp(surface.CARRY_RATE * years)
        distance = np.zeros(len(ids))
        chosen = np.flatnonzero(self.is_option[ids])
        if len(chosen):
            mid[chosen], distance[chosen] = option_prices(
                mid[chosen],
                self.strikes[ids[chosen]],
                years[chosen],
                level=levels[0] / 100.0 * _RELATIVE[self.names[ids[chosen]]],
                is_call=self.is_call[ids[chosen]],
            )
        bid, ask = book(mid, distance, ticks)
        ltp = np.maximum(np.round(mid / ticks), 1.0) * ticks
        has_book = ~self.is_index[ids]
        busy = np.exp(-0.5 * distance * distance) / (1.0 + 8.0 * years)
        return Prices(
            np.round(ltp, 4),
            np.where(has_book, bid, 0.0),
            np.where(has_book, ask, 0.0),
            (np.ceil(BOOK_LOTS * busy) * lots * has_book).astype(np.int64),
            TRADES_A_SECOND * busy * lots * has_book,
            (self._interest(ids, busy) * lots).astype(np.int64),
        )

    def minutes_of(self, listing: Listing, spot: Minutes, points: np.ndarray) -> Minutes:
        """A contract's minutes made of its underlying's and the volatility index's."""
        at = listing.listing_id
        years = np.maximum(self.expiries_ns[at] - spot.start_ns, 0) / NS_A_YEAR
        carry = np.exp(surface.CARRY_RATE * years)
        ends = [column * carry for column in (spot.open, spot.high, spot.low, spot.close)]
        pace = np.full(len(years), TRADES_A_SECOND)
        if self.is_option[at]:
            strike = np.full(len(years), self.strikes[at])
            level = points / 100.0 * _RELATIVE[self.names[at]]
            priced = [
                option_prices(end, strike, years, level=level, is_call=self.is_call[at])
                for end in ends
            ]
            ends = [column for column, _distance in priced]
            pace *= np.exp(-0.5 * priced[3][1] ** 2) / (1.0 + 8.0 * years)
        tick = self.ticks[at]
        opens, *others, close = (np.maximum(np.round(end / tick), 1.0) * tick for end in ends)
        high = np.maximum.reduce([opens, *others, close])
        low = np.minimum.reduce([opens, *others, close])
        volume = (pace * 60.0).astype(np.int64) * listing.lot_size
        return Minutes(spot.start_ns, opens, high, low, close, volume)

    def _interest(self, ids: np.ndarray, busy: np.ndarray) -> np.ndarray:
        """Lots held: more at round strikes, a little more in puts; none outside derivatives."""
        held = self.expiries_ns[ids] > 0
        is_round = np.where(self.strikes[ids] % 500 == 0, 2.0, 1.0)
        puts = np.where(self.is_option[ids] & ~self.is_call[ids], PUT_INTEREST, 1.0)
        return np.asarray(np.floor(INTEREST_LOTS * np.sqrt(busy) * is_round * puts * held))


def option_prices(
    forward: np.ndarray,
    strike: np.ndarray,
    years: np.ndarray,
    *,
    level: np.ndarray | float,
    is_call: np.ndarray | bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Fair prices, and how many deviations each strike lies from its forward."""
    base = surface.at_the_money(level, years)
    distance = surface.deviations(forward, strike, years, volatility=base)
    fair = black76.price(
        forward,
        strike,
        years,
        volatility=base * surface.smile(distance),
        rate=surface.CARRY_RATE,
        is_call=is_call,
    )
    return fair, distance


def closing_ns(listing: Listing, calendars: Mapping[str, ExchangeCalendar]) -> int:
    """The moment a contract ends: the close of its segment on its expiry date."""
    day = listing.expiry
    while day is not None:
        session = calendars[listing.exchange].session(day)
        if session:
            return session.closes_ns
        day -= timedelta(days=1)
    return 0


_RELATIVE = np.array([surface.RELATIVE.get(name, 1.0) for name in NAMES])
