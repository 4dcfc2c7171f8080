"""What we believe about the market at a moment: regime, freshness, margin, volatility.

Every reading carries the time it was true (`as_of_ns`), so that who uses it can see its age.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from domain.stamps import Stamps


class Phase(StrEnum):
    """Phase of the market (`tomic.md` 1.1)."""

    BULLISH = "BULLISH"
    BEARISH = "BEARISH"
    CONGESTION = "CONGESTION"
    BLOWOFF = "BLOWOFF"


class VixFlag(StrEnum):
    """What the volatility index forbids (`tomic.md` 3.5), in emission order."""

    UNKNOWN = "VIX_UNKNOWN"
    PREMIUMS_TOO_LOW = "PREMIUMS_TOO_LOW"
    HALF_SIZE = "HALF_SIZE"
    DEFINED_RISK_ONLY = "DEFINED_RISK_ONLY"
    HALT_SHORT_VEGA = "HALT_SHORT_VEGA"


@dataclass(frozen=True, slots=True)
class Regime:
    """One snapshot of the regime agent (`tomic.md` 3.6). `version` 0 means nothing is known yet.

    `timeframe` is the one the phase was read on: `15m`, or `1D` while 15-minute bars are still
    missing (`design.md` 9). `stale_after_s` is two bar intervals: who reads an older snapshot must
    not enter.
    """

    version: int = 0
    phase: Phase = Phase.CONGESTION
    score: int = 0
    vix: float = 0.0
    vix_flags: tuple[VixFlag, ...] = (VixFlag.UNKNOWN,)
    ichimoku: str = "NEUTRAL"
    impulse: str = "BLUE"
    congestion: bool = False
    blowoff: bool = False
    adx: float = 0.0
    vwap: float = 0.0
    price_vs_vwap: str = "UNKNOWN"
    timeframe: str = "15m"
    as_of_ns: int = 0
    stale_after_s: float = 1800.0


class VixRegime(StrEnum):
    """Band of the volatility index for the day's plans (`tomic.md` 12.1)."""

    UNKNOWN = "UNKNOWN"
    TOO_LOW = "TOO_LOW"
    NORMAL = "NORMAL"
    ELEVATED = "ELEVATED"
    HIGH = "HIGH"
    EXTREME = "EXTREME"


class PcrBias(StrEnum):
    """What the put-call ratio of open interest says (`tomic.md` 12.1)."""

    BULLISH = "BULLISH"
    BEARISH = "BEARISH"
    NEUTRAL = "NEUTRAL"


class Trend(StrEnum):
    """Price against the mean of 20 daily closes (`tomic.md` 12.1)."""

    ABOVE = "ABOVE_20MA"
    BELOW = "BELOW_20MA"
    NEUTRAL = "NEUTRAL"


@dataclass(frozen=True, slots=True)
class UnderlyingContext:
    """One underlying's part of the market's context; index points, NaN is not known.

    What open interest tells is of the front expiry at `as_of_ns`, 0 for never.
    """

    underlying: str
    price: float
    trend: Trend = Trend.NEUTRAL
    previous_high: float = float("nan")
    previous_low: float = float("nan")
    expiry: date | None = None
    put_call_ratio: float = 1.0
    pcr_bias: PcrBias = PcrBias.NEUTRAL
    max_pain: float = float("nan")
    put_wall: float = float("nan")
    call_wall: float = float("nan")
    gamma_exposure: float = float("nan")
    as_of_ns: int = 0


@dataclass(frozen=True, slots=True)
class MarketContext:
    """What the day's plans go by (`tomic.md` 12.1); `vix` 0 means never seen."""

    vix: float
    vix_regime: VixRegime
    underlyings: tuple[UnderlyingContext, ...]
    as_of_ns: int

    def of(self, underlying: str) -> UnderlyingContext | None:
        """That underlying's part."""
        return next((row for row in self.underlyings if row.underlying == underlying), None)


@dataclass(frozen=True, slots=True)
class StrategyOdds:
    """How often a strategy won over its newest closed trades, and average win over average loss."""

    strategy: str
    trades: int
    win_rate: float
    reward_risk: float


@dataclass(frozen=True, slots=True)
class Correlation:
    """Of the daily returns of two underlyings, -1..1."""

    one: str
    other: str
    value: float


@dataclass(frozen=True, slots=True)
class FreshnessMark:
    """Ages of the data an entry depends on (`tomic.md` 9.4), as known at `as_of_ns`; valid to
    `expires_ns`.

    `quotes_ns` maps an underlying's name, and an option's symbol, to the time its last price was
    true by its source. Never seen is absent. `iv_ns` maps an underlying to the time of the quotes
    its last implied volatility came from. A price stands for `stands_ns`: 0 live, the recording's
    interval in a replay.
    """

    as_of_ns: int
    expires_ns: int
    quotes_ns: Stamps
    iv_ns: dict[str, int]
    vix_ns: int
    switched_ns: int
    gate_open: bool
    gate_reason: str = ""
    depth_ns: Stamps = field(default_factory=Stamps)
    pcr_ns: dict[str, int] = field(default_factory=dict)
    gex_ns: dict[str, int] = field(default_factory=dict)
    max_pain_ns: dict[str, int] = field(default_factory=dict)
    stands_ns: int = 0


@dataclass(frozen=True, slots=True)
class MarginState:
    """Money as the execution broker last told it, rupees; `as_of_ns` 0 means never."""

    broker: str
    capital: Decimal
    free: Decimal
    used: Decimal
    as_of_ns: int

    @property
    def free_share(self) -> float:
        """Free margin as a share of free plus used, 0..1."""
        whole = self.free + self.used
        return float(self.free / whole) if whole > 0 else 0.0


@dataclass(frozen=True, slots=True)
class VolatilityReading:
    """The volatility agent's view of one underlying (`tomic.md` 5.7). Volatilities are decimals a
    year.

    `iv_rank`, `iv_percentile` and `conservative_rank` are None while the history is too short to
    tell.
    """

    underlying: str
    iv: float
    hv: float
    iv_rank: float | None
    iv_percentile: float | None
    conservative_rank: float | None
    iv_hv_ratio: float
    vol_regime: str
    put_iv_25d: float
    call_iv_25d: float
    skew_ratio: float
    skew_state: str
    front_iv: float
    back_iv: float
    term_structure: str
    as_of_ns: int


@dataclass(frozen=True, slots=True)
class ChainSummary:
    """What the control plane may know of a chain without its columns; one per underlying and
    expiry.

    `as_of_ns` is the time of the oldest quote behind `atm_iv`; without one, of the newest quote at
    the money. What open interest tells (ratio, max pain, gamma exposure in rupees per per cent of
    spot, walls) is NaN without any.
    """

    underlying: str
    expiry: date
    spot: float
    forward: float
    atm_strike: float
    atm_iv: float
    put_iv_25d: float
    call_iv_25d: float
    put_call_ratio: float
    max_pain: float
    days_to_expiry: float
    iv_source: str
    as_of_ns: int
    gamma_exposure: float = float("nan")
    put_wall: float = float("nan")
    call_wall: float = float("nan")


def entry_levels(front: ChainSummary) -> dict[str, str]:
    """The journal's `pcr_at_entry` and `max_pain_dist` (`tomic.md` 9.5) of a front expiry: the
    put-call ratio, and how far the spot stands above max pain as a share of it; what is not known
    is left out.
    """
    values = {
        "pcr_at_entry": front.put_call_ratio,
        "max_pain_dist": front.spot / front.max_pain - 1 if front.max_pain > 0 else float("nan"),
    }
    return {name: f"{value:.6g}" for name, value in values.items() if value == value}


@dataclass(frozen=True, slots=True)
class UniverseRow:
    """One underlying of the universe (`tomic.md` 12.6), or why it is left out.

    `code` is empty for what is watched, with `rank` by strength from 1 on (0: always watched, by
    the operator's own list); else it and `text` say why not. `rs` is 100 in line with the
    benchmark, NaN unknown; `volume` the mean of 50 days in units; `base_close` the close that the
    strength of today is measured from, rupees or index points.
    """

    exchange: str
    name: str
    code: str = ""
    text: str = ""
    rank: int = 0
    is_hot: bool = False
    rs: float = float("nan")
    volume: float = 0.0
    base_close: float = 0.0


@dataclass(frozen=True, slots=True)
class Universe:
    """Which underlyings are traded on a day and why; `scored_ns` is the newest scoring."""

    day: date
    built_ns: int
    scored_ns: int
    rows: tuple[UniverseRow, ...] = ()

    @property
    def watched(self) -> tuple[UniverseRow, ...]:
        """Its members in order of rank, those of the operator's own list first."""
        kept = (row for row in self.rows if not row.code)
        return tuple(sorted(kept, key=lambda row: (row.rank, row.name)))

    @property
    def hot(self) -> tuple[tuple[str, str], ...]:
        """(exchange, name) of the shares that are looked at closely now, strongest first."""
        return tuple((row.exchange, row.name) for row in self.watched if row.is_hot)
