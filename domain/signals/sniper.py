"""The sniper's decisions: which setups stand, which of them trade now, and why the others do not
(`tomic.md` 4).

Setups are read when a daily bar closes (`read_instrument`); a scan only holds the price of the
moment against them (`take_aim`), so it is quick however many instruments there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from domain.clock import NS_PER_S, exchange_time
from domain.instruments import Kind
from domain.intents import Refusal, StrategyType
from domain.readings import Phase, Regime
from domain.signals.patterns import Pattern, Setup, find_contraction, find_cup
from domain.signals.relative_strength import IN_LINE, LOOKBACK_BARS, common_bars, relative_strength
from domain.signals.zones import Zone, ZoneFreshness, find_zones, setup_of

BARS_MIN = 30
BARS_MAX = 200
BARS_AGE_MAX_DAYS = 5  # a long weekend; an older window says nothing of today
PRICE_AGE_MAX_S = 150.0  # two minute bars and their grace
REWARD_RISK_MAX = 2.0  # what risk reckons with where nothing is known (`tomic.md` 1.7)
DRY_UP_SCORE = 5.0
IMBALANCE_SCORE = 0.01  # for each basis point of price, so that no index wins by its level
_STRATEGY = {"BUY": StrategyType.DITM_CALL, "SELL": StrategyType.DITM_PUT}
_VIEW = {Phase.BULLISH: "BUY", Phase.BEARISH: "SELL"}


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the daily bars of one instrument say; `rs` is None while it cannot be told."""

    name: str
    bars: int = 0
    last_day_ns: int = 0
    aligned: int = 0
    has_volume: bool = False
    rs: float | None = None
    zones: tuple[Zone, ...] = ()
    setups: tuple[Setup, ...] = ()


@dataclass(frozen=True, slots=True)
class Today:
    """The running session of one instrument so far; `last_ns` is when `last` was true."""

    day_ns: int
    high: float
    low: float
    last: float
    last_ns: int

    def with_bars(self, high: float, low: float, last: float, last_ns: int) -> Today:
        """The same day with more of it; bars may come in any order and more than once."""
        newer = last_ns >= self.last_ns
        return replace(
            self,
            high=max(self.high, high),
            low=min(self.low, low),
            last=last if newer else self.last,
            last_ns=max(last_ns, self.last_ns),
        )


@dataclass(frozen=True, slots=True)
class Shot:
    """A setup that trades now. `ids` names it, and every other one of its view that trades at this
    price: what is entered here is entered for all of them."""

    instrument: str
    setup: Setup
    strategy: StrategyType
    rs: float
    score: float
    price: float
    ids: tuple[str, ...] = ()


def setup_id(instrument: str, setup: Setup) -> str:
    """What a setup is known by, so that it is traded once."""
    return f"{instrument}:{setup.pattern}:{setup.formed_ns}"


def read_instrument(
    name: str, kind: Kind, bars: np.ndarray, benchmark: np.ndarray | None
) -> Instrument:
    """Setups and strength of the last 200 completed daily bars (BAR_DTYPE, ascending).

    `benchmark` is None for the benchmark itself, which is in line with itself.
    """
    bars = bars[-BARS_MAX:]
    if not len(bars):
        return Instrument(name)
    read = Instrument(
        name,
        bars=len(bars),
        last_day_ns=int(bars["start_ns"][-1]),
        aligned=len(bars) if benchmark is None else common_bars(bars, benchmark),
        has_volume=bool((bars["volume"] > 0).any()),
        rs=IN_LINE if benchmark is None else relative_strength(bars, benchmark),
    )
    if len(bars) < BARS_MIN:
        return read
    zones = find_zones(bars)
    fresh = [setup_of(zone) for zone in zones if zone.freshness is ZoneFreshness.FRESH]
    bases = [find_contraction(bars), find_cup(bars) if kind is Kind.EQUITY else None]
    setups = [setup for setup in bases if setup] + fresh
    return replace(read, zones=zones, setups=tuple(setups))


def check_market(regime: Regime) -> Refusal | None:
    """Why nothing directional is entered in this market at all."""
    if regime.as_of_ns == 0:
        return Refusal("REGIME_UNKNOWN", "the market's regime is not known yet")
    if regime.phase in _VIEW:
        return None
    return Refusal(
        f"{regime.phase}_NO_DIRECTION",
        f"phase {regime.phase}: directional entries ask for BULLISH or BEARISH",
    )


def take_aim(
    read: Instrument, today: Today | None, phase: Phase, now_ns: int, traded: Collection[str]
) -> Shot | Refusal:
    """The best setup of an instrument that trades at this moment, or the most telling reason why
    none does. `phase` is BULLISH or BEARISH; `traded` holds the ids of setups that are used up."""
    view, name = _VIEW[phase], read.name
    missing = _bars_missing(read, now_ns)
    if missing:
        return missing
    rs = read.rs
    if rs is None:
        text = f"{name}: {read.aligned} of {LOOKBACK_BARS + 1} daily bars beside the benchmark's"
        return Refusal("RS_UNKNOWN", text)
    setups = [setup for setup in read.setups if setup.view == view]
    if not setups:
        kinds = "contraction, cup or fresh demand zone" if view == "BUY" else "fresh supply zone"
        return Refusal("NO_PATTERN", f"{name}: no {kinds} in {read.bars} daily bars")
    now = _price_now(read, today, now_ns)
    if isinstance(now, Refusal):
        return now
    shots, reasons = [], []
    for setup in setups:
        why = _not_now(setup, now, read, traded)
        if why:
            reasons.append((_distance(setup, now.last), why))
        else:
            score = score_of(rs, setup)
            shots.append(Shot(name, setup, _STRATEGY[view], rs, score, now.last))
    if shots:
        shots.sort(key=_rank)
        return replace(shots[0], ids=tuple(setup_id(name, shot.setup) for shot in shots))
    return min(reasons, key=lambda row: row[0])[1]


def reward_risk(shot: Shot) -> float:
    """What is won at the target over what is lost at the stop, from the price of the moment; a far
    target never counts for more than 2."""
    reward, risk = abs(shot.setup.target - shot.price), abs(shot.price - shot.setup.stop)
    return min(REWARD_RISK_MAX, reward / risk) if risk > 0 else REWARD_RISK_MAX


def ranked(shots: Sequence[Shot]) -> tuple[Shot, ...]:
    """Best score first; equal ones by name."""
    return tuple(sorted(shots, key=_rank))


def score_of(rs: float, setup: Setup) -> float:
    """Relative strength, plus 5 for a dried-up contraction, plus a hundredth of a zone's imbalance
    in basis points of its price (`tomic.md` 4.5)."""
    if setup.pattern is Pattern.VCP and setup.is_dry:
        return rs + DRY_UP_SCORE
    return rs + IMBALANCE_SCORE * 10_000 * setup.imbalance / setup.entry


def _rank(shot: Shot) -> tuple[float, str, int]:
    return -shot.score, shot.instrument, shot.setup.formed_ns


def _bars_missing(read: Instrument, now_ns: int) -> Refusal | None:
    name = read.name
    if read.bars < BARS_MIN:
        text = f"{name}: {read.bars} of {BARS_MIN} daily bars for patterns"
        return Refusal("BARS_SHORT", text)
    last = exchange_time(read.last_day_ns).date()
    age_days = (exchange_time(now_ns).date() - last).days
    if age_days > BARS_AGE_MAX_DAYS:
        text = f"{name}: the newest daily bar is of {last:%d %b}, {age_days} days ago"
        return Refusal("DAILY_BARS_OLD", text)
    return None


def _price_now(read: Instrument, today: Today | None, now_ns: int) -> Refusal | Today:
    if today is None or today.day_ns <= read.last_day_ns:
        return Refusal("PRICE_UNKNOWN", f"{read.name}: no minute bar of this session yet")
    age_s = (now_ns - today.last_ns) / NS_PER_S
    if age_s > PRICE_AGE_MAX_S:
        return Refusal("PRICE_STALE", f"{read.name}: the last minute bar ended {age_s:.0f} s ago")
    return today


def _not_now(
    setup: Setup, today: Today, read: Instrument, traded: Collection[str]
) -> Refusal | None:
    """Why this setup does not trade at this moment."""
    name, price, is_long = read.name, today.last, setup.view == "BUY"
    if not setup.is_dry:
        if not read.has_volume:
            text = f"{name}: {setup.text}; it has no volume that could dry up"
            return Refusal("NO_VOLUME", text)
        return Refusal("VCP_NOT_DRY", f"{name}: {setup.text}; volume has not dried up")
    if setup_id(name, setup) in traded:
        return Refusal("SETUP_TRADED", f"{name}: {setup.text}; it was traded already")
    if today.low < setup.stop if is_long else today.high > setup.stop:
        text = f"{name}: {setup.text}; today went beyond its stop {setup.stop:.2f}"
        return Refusal("SETUP_FAILED", text)
    if setup.enter_low <= price <= setup.enter_high:
        return None
    if setup.pattern is not Pattern.SUPPLY_DEMAND and price > setup.enter_high:
        text = f"{name}: {price:.2f} is more than 5 % above the pivot {setup.entry:.2f}"
        return Refusal("EXTENDED", text)
    code = "WAITS_FOR_ZONE" if setup.pattern is Pattern.SUPPLY_DEMAND else "WAITS_FOR_BREAKOUT"
    share = _distance(setup, price)
    return Refusal(code, f"{name}: {setup.text}; the price {price:.2f} is {share:.1%} away")


def _distance(setup: Setup, price: float) -> float:
    """How far the price is from where the setup is entered, a share of it."""
    outside = max(setup.enter_low - price, price - setup.enter_high, 0.0)
    return outside / price
