"""The universe: which shares the sniper looks at, scored and ranked (`tomic.md` 2.3, 12.6).

Built once a session from the daily bars of every share with listed options (the exchange lists
options on shares of its 500 largest alone, so membership needs no list of our own); scored again
through the day with live prices. Volumes are units a day, strengths 100 in line with the benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from domain.readings import Universe, UniverseRow

LOOKBACK_DAYS = 50
IN_LINE = 100.0
NO_OPTIONS, NO_HISTORY, SHORT_HISTORY = "NO_OPTIONS", "NO_HISTORY", "SHORT_HISTORY"
STALE_HISTORY = "STALE_HISTORY"
VOLUME_BELOW_MIN, RANK_BELOW_TOP = "VOLUME_BELOW_MIN", "RANK_BELOW_TOP"

Days = Mapping[date, tuple[float, float]]  # completed days: close and volume


@dataclass(frozen=True, slots=True)
class UniverseRules:
    """How many shares are watched, how many of them closely, and the least mean daily volume."""

    members_max: int = 50
    hot_max: int = 10
    volume_min: float = 500_000.0


@dataclass(frozen=True, slots=True)
class Share:
    """A candidate. `days` is None where no history was told, and `fault` says why."""

    exchange: str
    name: str
    has_options: bool = True
    days: Days | None = None
    fault: str = ""


def build_universe(
    day: date,
    now_ns: int,
    *,
    always: Sequence[UniverseRow],
    benchmark: Days | None,
    shares: Iterable[Share],
    rules: UniverseRules,
) -> Universe:
    """The universe of that day. `always` are the rows of the operator's own list."""
    scored = [_scored(share, benchmark, rules) for share in shares]
    return Universe(day, now_ns, now_ns, (*always, *_ranked(scored, rules, is_new=True)))


def always_row(exchange: str, name: str, days: Days | None) -> UniverseRow:
    """A row of the operator's own list; its base is known where its days are."""
    return UniverseRow(exchange, name, rs=math.nan, base_close=_base(days, _last_days(days)))


def rescore(
    universe: Universe,
    prices: Mapping[str, float],
    benchmark: str,
    *,
    now_ns: int,
    rules: UniverseRules,
) -> Universe:
    """The members ranked anew by live prices (rupees by name), and with them the hot list.

    A member keeps its strength while its price or the benchmark's is not known.
    """
    base = {row.name: row.base_close for row in universe.rows}
    market = _growth(prices.get(benchmark, 0.0), base.get(benchmark, 0.0))
    shares, others = [], []
    for row in universe.rows:
        if row.code or not row.rank:
            others.append(row)
            continue
        own = _growth(prices.get(row.name, 0.0), row.base_close)
        shares.append(replace(row, rs=IN_LINE * own / market) if own and market else row)
    ranked = _ranked(shares, rules, is_new=False)
    return replace(universe, scored_ns=now_ns, rows=(*others, *ranked))


def _scored(share: Share, benchmark: Days | None, rules: UniverseRules) -> UniverseRow:
    """The row of a candidate, still without its rank."""
    blank = UniverseRow(share.exchange, share.name)
    if not share.has_options:
        text = f"{share.name}: no options are listed on it, and only options are traded"
        return replace(blank, code=NO_OPTIONS, text=text)
    if share.days is None or benchmark is None:
        fault = share.fault or "the benchmark's days are not known"
        return replace(blank, code=NO_HISTORY, text=f"{share.name}: no daily bars ({fault})")
    common = sorted(share.days.keys() & benchmark.keys())[-LOOKBACK_DAYS - 1 :]
    if len(common) <= LOOKBACK_DAYS:
        text = f"{share.name}: {len(common)} of {LOOKBACK_DAYS + 1} days beside the benchmark's"
        return replace(blank, code=SHORT_HISTORY, text=text)
    if common[-1] != max(benchmark):
        text = f"{share.name}: its newest daily bar is of {common[-1]:%d %b}"
        return replace(blank, code=STALE_HISTORY, text=text)
    closes = [share.days[day][0] for day in (common[0], common[-1])]
    market = [benchmark[day][0] for day in (common[0], common[-1])]
    volume = sum(share.days[day][1] for day in common[1:]) / LOOKBACK_DAYS
    known = replace(
        blank,
        rs=IN_LINE * _growth(closes[1], closes[0]) / _growth(market[1], market[0]),
        volume=volume,
        base_close=_base(share.days, common),
    )
    if volume < rules.volume_min:
        text = f"{share.name}: {volume:,.0f} shares a day, {rules.volume_min:,.0f} are needed"
        return replace(known, code=VOLUME_BELOW_MIN, text=text)
    return known


def _ranked(
    rows: Iterable[UniverseRow], rules: UniverseRules, *, is_new: bool
) -> tuple[UniverseRow, ...]:
    """Members numbered by strength, equal ones by name; in a new universe the weakest leave."""
    rows = tuple(rows)
    standing = sorted((row for row in rows if not row.code), key=lambda row: (-row.rs, row.name))
    found = [row for row in rows if row.code]
    for rank, row in enumerate(standing, start=1):
        if is_new and rank > rules.members_max:
            text = f"{row.name}: strength {row.rs:.1f} is rank {rank}, {rules.members_max} are kept"
            found.append(replace(row, code=RANK_BELOW_TOP, text=text))
        else:
            found.append(replace(row, rank=rank, is_hot=rank <= rules.hot_max))
    return tuple(found)


def _growth(now: float, before: float) -> float:
    return now / before if now > 0 and before > 0 else 0.0


def _last_days(days: Days | None) -> list[date]:
    return sorted(days)[-LOOKBACK_DAYS - 1 :] if days else []


def _base(days: Days | None, kept: Sequence[date]) -> float:
    """The close that today's strength counts from: today is the newest bar, so it is one day later
    than that of the strength at the build."""
    return days[kept[1]][0] if days and len(kept) > LOOKBACK_DAYS else 0.0
