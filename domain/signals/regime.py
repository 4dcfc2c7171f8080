"""Regime: bars and the volatility index in, one snapshot of the market out (`tomic.md` 3).

`read_bars` sees one timeframe, `PhaseMemory` keeps a phase from flickering, `next_regime` makes the
snapshot and says whether it differs. The actor keeps what these return and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from domain.clock import NS_PER_S, seconds
from domain.readings import Phase, Regime, VixFlag
from domain.signals import indicators
from domain.signals.indicators import BEARISH, BULLISH, PERIODS, IndicatorPeriods

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RegimeParameters:
    """Limits of `tomic.md` 2.3; `daily_stale_after_s` spans a session after a four-day closure."""

    periods: IndicatorPeriods = PERIODS
    window_bars: int = 200
    ichimoku_points: int = 8
    impulse_points: int = 6
    pcr_bullish: float = 1.2
    pcr_bearish: float = 0.8
    pcr_points: int = 5
    adx_trending: float = 25.0
    adx_ranging: float = 20.0
    adx_points: int = 2
    vwap_points: int = 2
    congestion_damper: int = 4
    ranging_damper: int = 3
    score_max: int = 20
    score_max_low_vix: int = 5
    phase_score_min: int = 5
    vix_low: float = 12.0
    vix_defined_risk: float = 25.0
    vix_half_size: float = 30.0
    vix_halt: float = 40.0
    vix_stale_after_s: float = 60.0
    intraday_bar_s: float = 900.0
    intraday_stale_after_s: float = 1_800.0
    daily_stale_after_s: float = 5 * DAY_S


PARAMETERS = RegimeParameters()


@dataclass(frozen=True, slots=True)
class Vix:
    """The volatility index as last seen; `as_of_ns` 0 means never."""

    value: float = 0.0
    as_of_ns: int = 0

    def flags(
        self, now_ns: int, in_session: bool, rules: RegimeParameters = PARAMETERS
    ) -> tuple[VixFlag, ...]:
        """What it forbids now (`tomic.md` 3.5); a stale value keeps its flags beside UNKNOWN."""
        is_old = in_session and now_ns - self.as_of_ns > seconds(rules.vix_stale_after_s)
        is_known = self.as_of_ns > 0 and self.value > 0
        limits = (
            (VixFlag.UNKNOWN, not is_known or is_old),
            (VixFlag.PREMIUMS_TOO_LOW, is_known and self.value < rules.vix_low),
            (VixFlag.HALF_SIZE, self.value > rules.vix_half_size),
            (VixFlag.DEFINED_RISK_ONLY, self.value > rules.vix_defined_risk),
            (VixFlag.HALT_SHORT_VEGA, self.value > rules.vix_halt),
        )
        return tuple(flag for flag, is_raised in limits if is_raised)


@dataclass(frozen=True, slots=True)
class BarReading:
    """What the bars of one timeframe say, before score and phase; `end_ns` of the last bar."""

    timeframe: str
    start_ns: int
    end_ns: int
    ichimoku: str
    impulse: str
    congestion: bool
    blowoff: bool
    adx: float
    vwap: float
    price_vs_vwap: str


def read_bars(
    bars: np.ndarray, timeframe: str, rules: RegimeParameters = PARAMETERS
) -> BarReading | None:
    """Reads the last bar of a window (BAR_DTYPE, ascending); None while the cloud lacks bars."""
    if len(bars) < rules.periods.bars_min:
        return None
    high, low, close = bars["high"], bars["low"], bars["close"]
    vwap = float(bars["vwap"][-1])
    start_ns = int(bars["start_ns"][-1])
    bar_s = DAY_S if timeframe == "1D" else rules.intraday_bar_s
    return BarReading(
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=start_ns + seconds(bar_s),
        ichimoku=indicators.ichimoku_signal(high, low, close, periods=rules.periods),
        impulse=indicators.impulse_color(close, rules.periods),
        congestion=indicators.is_congested(high, low, close, periods=rules.periods),
        blowoff=indicators.is_blown_off(
            high, low, close, volume=bars["volume"], periods=rules.periods
        ),
        adx=indicators.trend_strength(high, low, close, bars=rules.periods.adx),
        vwap=vwap if vwap > 0 else 0.0,
        price_vs_vwap=indicators.price_vs_vwap(float(close[-1]), vwap, rules.periods),
    )


def choose_timeframe(
    intraday: BarReading | None, daily: BarReading | None, *, is_intraday_missing: bool
) -> BarReading | None:
    """The reading that rules: of 15 minutes, or daily while those are missing (`design.md` 9)."""
    return daily if intraday is None or (is_intraday_missing and daily) else intraday


def score_of(
    reading: BarReading, vix: float, pcr: float | None, *, rules: RegimeParameters = PARAMETERS
) -> int:
    """Score -20..20 (`tomic.md` 3.3); dampers only move it toward zero. `vix` 0 means unknown."""
    score = rules.ichimoku_points * ((reading.ichimoku == BULLISH) - (reading.ichimoku == BEARISH))
    score += rules.impulse_points * ((reading.impulse == "GREEN") - (reading.impulse == "RED"))
    if pcr is not None and pcr > rules.pcr_bullish and reading.ichimoku == BULLISH:
        score += rules.pcr_points
    if pcr is not None and pcr < rules.pcr_bearish and reading.ichimoku == BEARISH:
        score -= rules.pcr_points
    if reading.adx > rules.adx_trending:
        score += rules.adx_points * _sign(score)
    if (reading.price_vs_vwap, _sign(score)) in (("ABOVE", 1), ("BELOW", -1)):
        score += rules.vwap_points * _sign(score)
    damper = rules.congestion_damper * reading.congestion
    damper += rules.ranging_damper * (0 < reading.adx < rules.adx_ranging)
    score = _sign(score) * max(0, abs(score) - damper)
    limit = rules.score_max_low_vix if 0 < vix < rules.vix_low else rules.score_max
    return max(-limit, min(limit, score))


def raw_phase(
    reading: BarReading, score: int, tide: str, *, rules: RegimeParameters = PARAMETERS
) -> Phase:
    """Phase of this bar alone; against the daily cloud (`tide`) a trend counts as CONGESTION."""
    if reading.blowoff:
        return Phase.BLOWOFF
    if reading.congestion or abs(score) < rules.phase_score_min:
        return Phase.CONGESTION
    phase, against = (Phase.BULLISH, BEARISH) if score > 0 else (Phase.BEARISH, BULLISH)
    return Phase.CONGESTION if tide == against else phase


@dataclass(frozen=True, slots=True)
class PhaseMemory:
    """Hysteresis: a phase must stand for two bars in a row before it rules, but for BLOWOFF.

    `before` are the ruling and the last raw phase as of the bar before `bar_ns`, so that a bar may
    be read again (the volatility index moved) without counting twice.
    """

    bar_ns: int = 0
    ruling: Phase | None = None
    raw: Phase | None = None
    before: tuple[Phase | None, Phase | None] = field(default=(None, None))

    def with_bar(self, bar_ns: int, raw: Phase) -> PhaseMemory:
        """The memory after bar `bar_ns` showed `raw`; `ruling` of the result is the phase."""
        before = self.before if bar_ns == self.bar_ns else (self.ruling, self.raw)
        ruling, last_raw = before
        is_settled = ruling is None or raw is Phase.BLOWOFF or raw is last_raw
        return PhaseMemory(bar_ns, raw if is_settled else ruling, raw, before)


def next_regime(
    before: Regime,
    reading: BarReading,
    *,
    phase: Phase,
    score: int,
    vix: Vix,
    flags: tuple[VixFlag, ...],
    now_ns: int,
    rules: RegimeParameters = PARAMETERS,
) -> tuple[Regime, bool]:
    """The snapshot, and True when it should be published.

    Its time is the end of its bar, so that a dead feed lets it grow old whatever the volatility
    index does. The version goes up by one when something differs (3.6); a new bar without
    difference is published too.
    """
    is_daily = reading.timeframe == "1D"
    regime = Regime(
        version=before.version,
        phase=phase,
        score=score,
        vix=vix.value,
        vix_flags=flags,
        ichimoku=reading.ichimoku,
        impulse=reading.impulse,
        congestion=reading.congestion,
        blowoff=reading.blowoff,
        adx=reading.adx,
        vwap=reading.vwap,
        price_vs_vwap=reading.price_vs_vwap,
        timeframe=reading.timeframe,
        as_of_ns=min(now_ns, reading.end_ns),
        stale_after_s=rules.daily_stale_after_s if is_daily else rules.intraday_stale_after_s,
    )
    if before.version == 0 or _differs(before, regime):
        return replace(regime, version=before.version + 1), True
    return regime, regime.as_of_ns > before.as_of_ns


def is_stale(end_ns: int, now_ns: int, rules: RegimeParameters = PARAMETERS) -> bool:
    """True when a 15-minute bar that ended then is older than two intervals."""
    return now_ns - end_ns > rules.intraday_stale_after_s * NS_PER_S


def _differs(before: Regime, after: Regime) -> bool:
    names = (
        "phase",
        "score",
        "vix_flags",
        "ichimoku",
        "impulse",
        "congestion",
        "blowoff",
        "timeframe",
    )
    if any(getattr(before, name) != getattr(after, name) for name in names):
        return True
    return abs(before.vix - after.vix) > 1e-4


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
