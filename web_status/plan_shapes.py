"""What the market's context and the day's plans answer (`tomic.md` 12.1, 12.2, 13.5)."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from web_status.shapes import Presence, Shape

Bias = Literal["BULLISH", "BEARISH", "NEUTRAL"]
Numbers = dict[str, float]  # by underlying; one that is not known is left out


class MarketContext(Shape):
    """One snapshot. Beside these stand `<underlying>_ltp` and `<underlying>_trend`, as `nifty_ltp`;
    open interest is of the front expiry, index points, `gex` in rupees a per cent of the spot.
    """

    vix: float | None
    vix_regime: Literal["UNKNOWN", "TOO_LOW", "NORMAL", "ELEVATED", "HIGH", "EXTREME"]
    as_of: str
    pcr: Numbers
    pcr_bias: dict[str, Bias]
    prev_day_high: Numbers
    prev_day_low: Numbers
    max_pain: Numbers
    oi_put_wall: Numbers
    oi_call_wall: Numbers
    gex: Numbers
    expiry: dict[str, str]
    oi_as_of: dict[str, str]


class NothingYet(Shape):
    """Of who has not looked at the market yet, or is not in the tree."""

    model_config = ConfigDict(extra="forbid")


class ContextAnswer(Shape):
    """The market context; `data` is empty while it is unavailable."""

    status: Presence
    data: MarketContext | NothingYet


class Plan(Shape):
    """A plan of the day; `ended` says why it is active no more, deltas are sizes."""

    date: str
    instrument: str
    strategy_type: Literal["BULL_PUT_SPREAD", "BEAR_CALL_SPREAD", "IRON_CONDOR"]
    entry_mode: Literal["morning_plan", "event_driven"]
    vix_at_plan: float
    regime_at_plan: str
    pcr_at_plan: float
    short_delta_target: float
    wing_delta_target: float
    lots: int
    expiry_date: str
    rationale: str
    valid_until_hhmm: str
    is_active: bool
    reentry_count: int
    strength: float
    margin_estimate: float
    ended: str
    strategy_id: str


class PlanAnswer(Shape):
    """The plans of the day; no `date` while they are unavailable."""

    status: Presence
    plans: list[Plan]


class Watched(Shape):
    """An underlying of the universe; `rank` 0 is of the operator's own list, `rs` 100 is in line
    with the benchmark, `volume` the mean of 50 days in units.
    """

    exchange: str
    instrument: str
    rank: int
    hot: bool
    rs: float | None
    volume: int


class LeftOut(Shape):
    """A share that is not watched, and why."""

    instrument: str
    code: str
    reason: str


class UniverseAnswer(Shape):
    """The universe of a day (`tomic.md` 12.6); no `day` while none was built."""

    status: Presence
    watched: list[Watched]
    left_out: list[LeftOut]
    left_out_total: int
