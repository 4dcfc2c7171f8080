"""A session of the generated market as a recording: the file that `--replay` reads, and the daily
files that `--history` reads, from one seed.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from adapters.sandbox.generator import GeneratedMarket
from adapters.sandbox.recording import COLUMNS
from adapters.sandbox.scenarios import Scenario
from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_MINUTE, exchange_time
from domain.instruments import Listing
from domain.prices import BAR_DTYPE
from domain.readings import Phase
from domain.signals.regime import PARAMETERS, PhaseMemory, raw_phase, read_bars, score_of

MINUTE_S = 60.0
HISTORY_DAYS = 500
REACH, REACH_LEAST = 1.3, 0.02  # strikes so many deviations from the spot, and this share of it
MOMENTUM_DAYS, INCOME_DAYS = (5, 10), (25, 45)  # to expiry (`tomic.md` 2.3); the nearest besides
NO_IV = "0"  # none published: who needs one computes it from the prices
HISTORY_NAMES = {"NIFTY": "nifty", "INDIAVIX": "india-vix"}


def phase_before(seed: int, scenario: Scenario, opens_ns: int) -> Phase | None:
    """The phase that the daily history of a session is in, by the regime's own rules."""
    market = GeneratedMarket(seed, opens_ns + NS_PER_MINUTE, scenario=scenario)
    listing, day = market.index.underlying("NIFTY"), exchange_time(opens_ns).date()
    assert listing is not None
    bars = market.history(
        listing, "D", day - timedelta(days=HISTORY_DAYS), day - timedelta(days=1)
    )[-PARAMETERS.window_bars :]
    window = np.zeros(len(bars), BAR_DTYPE)
    for name in ("start_ns", "open", "high", "low", "close", "volume"):
        window[name] = [getattr(bar, name) for bar in bars]
    memory = PhaseMemory()
    for end in range(1, len(window) + 1):
        reading = read_bars(window[:end], "1D")
        if reading:
            score = score_of(reading, scenario.volatility_index, None)
            memory = memory.with_bar(reading.start_ns, raw_phase(reading, score, "NEUTRAL"))
    return memory.ruling


@dataclass(frozen=True, slots=True)
class Made:
    """Where the files of a session are."""

    recording: Path
    history: Path


def make_session(
    folder: Path,
    underlying: str,
    *,
    calendar: ExchangeCalendar,
    day: date,
    seed: int,
    scenario: Scenario,
    first_minute: int,
    minutes: int,
) -> Made:
    """Writes a row a minute for each option near the money, from that minute after the open on. The
    folder must be new."""
    session = calendar.session(day)
    if session is None:
        raise ValueError(f"{day} is no trading day")
    folder.mkdir(parents=True)
    market = GeneratedMarket(
        seed,
        session.opens_ns + (1 + first_minute) * NS_PER_MINUTE,
        tick_interval_s=MINUTE_S,
        scenario=scenario,
    )
    for name, stem in HISTORY_NAMES.items():
        _write_daily(folder / f"{stem}-daily.csv", market, name, before=day)
    recording = folder / f"{underlying.lower()}-{day}.csv.gz"
    with gzip.open(recording, "wt", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        left = (session.closes_ns - session.opens_ns) // NS_PER_MINUTE - 1 - first_minute
        for _ in range(min(minutes, left)):
            writer.writerows(_rows(market, underlying, day))
            market.advance(market.next_ns())
    return Made(recording, folder)


def _rows(market: GeneratedMarket, underlying: str, day: date) -> Iterator[tuple[str, ...]]:
    index = market.index.underlying(underlying)
    assert index is not None
    fear = market.index.underlying("INDIAVIX")
    assert fear is not None
    spot, points = market.quote(index.listing_id), market.quote(fear.listing_id)
    assert spot is not None
    assert points is not None
    at = exchange_time(market.next_ns()) - timedelta(seconds=MINUTE_S)
    for expiry in _kept(market.index.expiries(underlying, day), day):
        deviation = points.ltp / 100 * math.sqrt((expiry - day).days / 365)
        reach = REACH_LEAST + REACH * deviation
        for listing in market.index.chain(underlying, expiry):
            if abs(float(listing.strike) / spot.ltp - 1) <= reach:
                yield _row(market, listing, at.isoformat(), spot.ltp)


def _kept(expiries: Sequence[date], day: date) -> list[date]:
    bands = (MOMENTUM_DAYS, INCOME_DAYS)
    return [
        one
        for one in expiries
        if one == expiries[0] or any(low <= (one - day).days <= high for low, high in bands)
    ]


def _row(market: GeneratedMarket, listing: Listing, at: str, spot: float) -> tuple[str, ...]:
    quote = market.quote(listing.listing_id)
    assert quote is not None
    assert listing.expiry is not None
    return (
        at,
        listing.expiry.isoformat(),
        str(listing.strike),
        listing.kind.value,
        f"{spot:.2f}",
        f"{quote.ltp:.2f}",
        str(quote.volume),
        str(quote.open_interest),
        NO_IV,
    )


def _write_daily(path: Path, market: GeneratedMarket, name: str, *, before: date) -> None:
    listing = market.index.underlying(name)
    assert listing is not None
    bars = market.history(
        listing, "D", before - timedelta(days=HISTORY_DAYS), before - timedelta(days=1)
    )
    with path.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["date", "open", "high", "low", "close"])
        for bar in bars:
            day = exchange_time(bar.start_ns).date()
            writer.writerow([day, *(f"{v:.2f}" for v in (bar.open, bar.high, bar.low, bar.close))])
