"""One option chain as columns: ticks in, implied volatility, greeks and a summary out.

A chain is the tracked listings of one underlying and expiry. Ticks only overwrite columns; when
somebody asks, the arithmetic is done for all rows of all chains at once (`tomic.md` 8.5, 11.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import compress

import numpy as np

from domain.black76 import forward_of, greeks, implied_volatility
from domain.clock import NS_PER_S, seconds
from domain.freshness import IV_WARN_AGE_S, told_ns
from domain.instruments import Kind, Listing
from domain.market.atm import nearest_strike
from domain.market.chain_readings import (
    gamma_exposure,
    interest_walls,
    is_interest_known,
    iv_at_delta,
    max_pain,
    parity_forward,
    premium,
    put_call_ratio,
)
from domain.prices import CHAIN_DTYPE
from domain.readings import ChainSummary

IV_MAX = 5.0
PERCENT_ABOVE = 3.0  # a feed's volatility above this is in percent (`tomic.md` 5.1)
NS_PER_DAY = 86_400 * NS_PER_S
DAYS_A_YEAR = 365.0
PRICE_AGE_MAX_NS = 30 * NS_PER_S  # an older price says nothing of the forward of now
IV_AGE_MAX_NS = seconds(IV_WARN_AGE_S)  # nor an older quote of the volatility


@dataclass(frozen=True, slots=True)
class Carry:
    """Rates a year, and whether a missing volatility may be computed from the price."""

    risk_free: float
    dividend_yield: float
    synthetic: bool


class OptionChain:
    """The tracked options of one underlying and expiry."""

    def __init__(self, underlying: str, expiry: date, expires_ns: int) -> None:
        self.underlying, self.expiry, self.expires_ns = underlying, expiry, expires_ns
        self.columns = np.zeros(0, CHAIN_DTYPE)
        self.forward = float("nan")
        self.dirty = False
        self.priced_ns = 0  # when all its rows were priced
        self.iv_sources = {"feed": 0, "synthetic": 0, "missing": 0}
        self._feed_iv, self._feed_ns = np.zeros(0), np.zeros(0, np.int64)
        self._iv_ns = np.zeros(0, np.int64)  # of the quote behind each row's volatility
        self._fed = np.zeros(0, bool)
        self._pair = np.zeros(0, np.int64)

    def track(self, listings: Sequence[Listing]) -> None:
        """Keeps exactly these listings, by strike, calls first; known ones keep their columns."""
        before = {int(row["listing"]): index for index, row in enumerate(self.columns)}
        ordered = sorted(listings, key=lambda row: (row.strike, row.kind))
        columns, feed_iv = np.zeros(len(ordered), CHAIN_DTYPE), np.full(len(ordered), np.nan)
        feed_ns = np.zeros(len(ordered), np.int64)
        for name in ("ltp", "bid", "ask", "iv", "delta", "gamma", "theta", "vega"):
            columns[name] = np.nan
        columns["volume"] = columns["open_interest"] = -1
        for index, listing in enumerate(ordered):
            old = before.get(listing.listing_id)
            if old is not None:
                columns[index], feed_iv[index] = self.columns[old], self._feed_iv[old]
                feed_ns[index] = self._feed_ns[old]
            columns[index]["listing"] = listing.listing_id
            columns[index]["strike"] = float(listing.strike)
            columns[index]["is_call"] = listing.kind is Kind.CALL
        self.columns, self._feed_iv, self.dirty = columns, feed_iv, True
        self.priced_ns = 0
        self._feed_ns, self._iv_ns = feed_ns, np.zeros(len(ordered), np.int64)
        self._pair = _pairs(columns)

    def hear(self, rows: np.ndarray, ticks: np.ndarray) -> None:
        """Overwrites columns with a TICK_DTYPE batch whose `rows` are positions in this chain.

        Numbers a tick does not carry leave the old ones; a tick without a price is ignored.
        """
        priced = ticks["ltp"] > 0
        rows, ticks = rows[priced], ticks[priced]
        if not len(rows):
            return
        columns = self.columns
        columns["ltp"][rows] = ticks["ltp"]
        columns["ts_ns"][rows] = told_ns(ticks)
        for name in ("bid", "ask"):
            told = np.isfinite(ticks[name])
            columns[name][rows[told]] = ticks[name][told]
        for name in ("volume", "open_interest"):
            told = ticks[name] >= 0
            columns[name][rows[told]] = ticks[name][told]
        iv = np.where(ticks["iv"] > PERCENT_ABOVE, ticks["iv"] / 100.0, ticks["iv"])
        told = (iv > 0) & (iv <= IV_MAX)
        self._feed_iv[rows[told]] = iv[told]
        self._feed_ns[rows[told]] = told_ns(ticks)[told]
        self.dirty = True

    def days_to_expiry(self, now_ns: int) -> float:
        """Days, with their fraction, to the segment's close on expiry; never negative."""
        return max(self.expires_ns - now_ns, 0) / NS_PER_DAY

    def _find_forward(self, spot: float, years: float, now_ns: int, carry: Carry) -> float:
        carried = forward_of(
            spot, years, rate=carry.risk_free, dividend_yield=carry.dividend_yield
        ).item()
        columns = self.columns
        recent = now_ns - columns["ts_ns"] <= PRICE_AGE_MAX_NS
        prices = np.where(recent, premium(columns), np.nan)
        calls = np.flatnonzero(columns["is_call"] & (self._pair >= 0))
        return parity_forward(
            columns["strike"][calls], prices[calls], prices[self._pair[calls]],
            spot=spot, growth=float(np.exp(carry.risk_free * years)), carried=carried,
        )  # fmt: skip

    def _take_volatility(self, solved: np.ndarray, oldest_ns: int) -> None:
        """Of quotes no older than `oldest_ns`: the feed's word, else what the price implies."""
        columns = self.columns
        iv = np.where(self._feed_ns >= oldest_ns, self._feed_iv, np.nan)
        fed = np.isfinite(iv)
        iv = np.where(fed, iv, solved)
        self._fed, own = fed, np.isfinite(iv)
        self.iv_sources["feed"] = int(fed.sum())
        self.iv_sources["synthetic"] = int((own & ~fed).sum())
        self.iv_sources["missing"] = int((~own).sum())
        stamps = np.where(fed, self._feed_ns, columns["ts_ns"])
        # Deep in the money the price is all intrinsic value; the other side of the strike knows.
        paired = self._pair >= 0
        columns["iv"] = np.where(own, iv, np.where(paired, iv[self._pair], np.nan))
        self._iv_ns = np.where(own | ~paired, stamps, stamps[self._pair])

    def _summary(self, spot: float, now_ns: int) -> ChainSummary:
        columns = self.columns
        strikes = np.unique(columns["strike"])
        atm = float(strikes[nearest_strike(strikes, spot)])
        at_the_money = columns["strike"] == atm
        atm_ivs = columns["iv"][at_the_money]
        told = np.isfinite(atm_ivs)
        known, fed = atm_ivs[told], self._fed[at_the_money].any()
        # Without a volatility the chain is as old as the last quote at the money.
        stamps = self._iv_ns[at_the_money]
        as_of_ns = int(stamps[told].min() if told.any() else stamps.max())
        puts, calls = columns[~columns["is_call"]], columns[columns["is_call"]]
        # Without its columns a reading of open interest is NaN, so a filling chain has none.
        telling = columns if is_interest_known(columns) else columns[:0]
        put_wall, call_wall = interest_walls(telling)
        return ChainSummary(
            underlying=self.underlying,
            expiry=self.expiry,
            spot=spot,
            forward=self.forward,
            atm_strike=atm,
            atm_iv=float(known.mean()) if len(known) else float("nan"),
            put_iv_25d=iv_at_delta(puts["delta"], puts["iv"]),
            call_iv_25d=iv_at_delta(calls["delta"], calls["iv"]),
            put_call_ratio=put_call_ratio(telling),
            max_pain=max_pain(telling),
            days_to_expiry=self.days_to_expiry(now_ns),
            iv_source="feed" if fed else "synthetic" if len(known) else "missing",
            as_of_ns=as_of_ns,
            gamma_exposure=gamma_exposure(telling, spot),
            put_wall=put_wall,
            call_wall=call_wall,
        )


def price_chains(
    chains: Sequence[tuple[OptionChain, float]], now_ns: int, carry: Carry, stands_ns: int = 0
) -> list[ChainSummary | None]:
    """Volatility and greeks of every row of these chains, each with its spot, and their summaries;
    None for a chain that tracks nothing or has no spot. A quote stands for `stands_ns`: 0 live, the
    recording's interval in a replay.

    All rows go through the formulas at once: over the twenty rows of one chain they cost as much as
    over a thousand.
    """
    is_ready = [len(chain.columns) > 0 and spot > 0 for chain, spot in chains]
    ready = list(compress(chains, is_ready))
    for chain, _ in chains:
        chain.dirty = False
    if not ready:
        return [None] * len(chains)
    years = [chain.days_to_expiry(now_ns) / DAYS_A_YEAR for chain, _ in ready]
    for (chain, spot), left in zip(ready, years, strict=True):
        chain.priced_ns = now_ns
        chain.forward = chain._find_forward(spot, left, now_ns, carry)
    _solve([chain for chain, _ in ready], years, carry, now_ns - IV_AGE_MAX_NS - stands_ns)
    return [
        chain._summary(spot, now_ns) if told else None
        for (chain, spot), told in zip(chains, is_ready, strict=True)
    ]


def _solve(
    chains: Sequence[OptionChain], years: Sequence[float], carry: Carry, oldest_ns: int
) -> None:
    """Volatility and greeks of every row, with the time left of each chain."""
    counts = [len(chain.columns) for chain in chains]
    ends = np.cumsum(counts)[:-1]
    rows = np.concatenate([chain.columns for chain in chains])
    left = np.repeat(years, counts)
    forward = np.repeat([chain.forward for chain in chains], counts)
    solved = np.full(len(rows), np.nan)
    if carry.synthetic:
        recent = rows["ts_ns"] >= oldest_ns
        solved = implied_volatility(
            np.where(recent, premium(rows), np.nan), forward, rows["strike"],
            years=left, rate=carry.risk_free, is_call=rows["is_call"],
        )  # fmt: skip
    for chain, part in zip(chains, np.split(solved, ends), strict=True):
        chain._take_volatility(part, oldest_ns)
    found = greeks(
        forward, rows["strike"], left, volatility=np.concatenate([c.columns["iv"] for c in chains]),
        rate=carry.risk_free, is_call=rows["is_call"], dividend_yield=carry.dividend_yield,
    )  # fmt: skip
    for name in ("delta", "gamma", "theta", "vega"):
        for chain, part in zip(chains, np.split(getattr(found, name), ends), strict=True):
            chain.columns[name] = part


def _pairs(columns: np.ndarray) -> np.ndarray:
    """For each row the row of the other side on its strike, -1 where it is not tracked."""
    rows = {(row["strike"].item(), row["is_call"].item()): i for i, row in enumerate(columns)}
    return np.array(
        [rows.get((strike, not is_call), -1) for strike, is_call in rows], dtype=np.int64
    )
