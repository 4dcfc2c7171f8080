"""What /tomic/signals/quality answers, key by key (`tomic.md` 13.4)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from web_status.shapes import Bridge, FeedStatus, Shape, Success


class StartupGuard(Shape):
    """What holds entries after a start."""

    grace_s: float
    elapsed_s: float
    require_live_tick_after_start: bool
    live_tick_since_start: bool
    runtime_started_at: str


class MarketSession(Shape):
    """The session as the loop knows it; `window` is HH:MM-HH:MM, empty while none is known."""

    enforced: bool
    open: bool
    reason: str
    offhours_scan_override: bool
    tz: str
    now: str
    weekday: str
    window: str
    holiday: str


class RegimeView(Shape):
    """The regime that signals were read in; `age_s` None before the first."""

    phase: Literal["BULLISH", "BEARISH", "CONGESTION", "BLOWOFF"]
    score: int
    vix: float
    vix_flags: list[str]
    version: int
    age_s: float | None


class Feeds(Shape):
    """The feed's socket and what is built of its ticks."""

    ws: FeedStatus
    bridge: Bridge


class Coverage(Shape):
    """How many instruments have inputs."""

    sniper_instruments: int
    vol_price_underlyings: int
    vol_iv_underlyings: int
    open_positions: int


class Decision(Shape):
    """One word of the router."""

    source: str
    instrument: str
    strategy_type: str
    action: Literal["ACCEPT", "REJECT", "DEFER", "MERGE"]
    reason: str
    reason_code: str
    priority_score: float
    at: str


class RouterView(Shape):
    """The router's diagnostics (`tomic.md` 6.4)."""

    route_count: int
    position_count: int
    max_positions: int
    sector_limit: float
    sector_heat: dict[str, float]
    blocking_reasons: dict[str, int]
    decisions: list[Decision]


class NotRouted(BaseModel):
    """No cycle has been routed yet."""

    model_config = ConfigDict(extra="forbid")


class Step(Shape):
    """A step of the sizing chain; the first has no input, a size without bound no output."""

    step: int
    name: str
    input: float | None
    output: float | None
    reason: str


class Evaluation(Shape):
    """One signal as risk judged it."""

    at: str
    correlation_id: str
    instrument: str
    strategy_type: str
    direction: Literal["BUY", "SELL"]
    regime_phase: str
    regime_vix: float
    result: str
    code: str
    reason: str
    final_units: int
    final_lots: int
    sizing_chain: list[Step]
    free_margin_pct: float | None
    total_positions: int


class RiskView(Shape):
    """Risk's part: what waits, how many of each result, the newest evaluations."""

    pending_signals: int
    counters: dict[str, int]
    recent_evaluations: list[Evaluation]


class SniperReadiness(Shape):
    """Daily bars of one instrument."""

    instrument: str
    bars: int
    ready_30: bool
    zones_cached: int


class VolatilityReadiness(Shape):
    """Daily closes and implied volatility of one underlying."""

    underlying: str
    price_bars: int
    has_iv: bool
    hv_ready_31: bool


class VolatilitySnapshot(Shape):
    """Volatility of one underlying; None is not known."""

    underlying: str
    iv: float | None
    hv: float | None
    iv_rank: float | None
    iv_hv_ratio: float | None
    vol_regime: Literal["IV_HIGH", "IV_LOW", "IV_NORMAL"]
    skew_state: Literal["NORMAL", "STEEP_PUT", "STEEP_CALL"]
    term_structure: Literal["NORMAL", "INVERTED", "FLAT"]


class AgentInputs(Shape):
    """At most ten rows of each."""

    sniper_readiness: list[SniperReadiness]
    volatility_readiness: list[VolatilityReadiness]
    volatility_snapshots: list[VolatilitySnapshot]


class Diagnostics(Shape):
    """Why nothing happened: at most twelve sentences, the gravest first."""

    no_action_reasons: list[str]


class TopSniper(Shape):
    """One of the five strongest directional signals."""

    instrument: str
    direction: Literal["BUY", "SELL"]
    pattern: str
    entry_price: float
    stop_price: float
    score: float


class TopVolatility(Shape):
    """One of the five strongest of volatility."""

    underlying: str
    strategy_type: str
    direction: Literal["BUY", "SELL"]
    strength: float
    reason: str


class TopRouted(Shape):
    """One of the five first in the router's order."""

    source: str
    instrument: str
    strategy_type: str
    direction: Literal["BUY", "SELL"]
    priority_score: float


class Breakdown(Shape):
    """The router's words, counted."""

    ACCEPT: int
    REJECT: int
    DEFER: int
    MERGE: int


class SignalsView(Shape):
    """What the last cycle saw and did."""

    sniper_count: int
    volatility_count: int
    routed_count: int
    sniper_avg_score: float
    volatility_avg_strength: float
    routed_avg_priority: float
    routed_accept_rate_pct: float
    decision_breakdown: Breakdown
    enqueued_count: int
    dedupe_skipped_count: int
    enqueued_keys: list[str]
    dedupe_keys: list[str]
    top_sniper: list[TopSniper]
    top_volatility: list[TopVolatility]
    top_routed: list[TopRouted]
    router_decisions: list[Decision]


class QualityData(Shape):
    """A scan, newly made or at most a minute old."""

    generated_at: str
    timestamp_epoch: float
    runtime_started: bool
    source: Literal["loop", "api"]
    cached: bool
    cached_age_s: float
    startup_guard: StartupGuard
    market_session: MarketSession
    regime: RegimeView
    feed: Feeds
    coverage: Coverage
    router: RouterView | NotRouted
    risk: RiskView
    agent_inputs: AgentInputs
    diagnostics: Diagnostics
    signals: SignalsView


class NoQuality(Shape):
    """There is no scan that is new enough; `message` says why."""

    generated_at: Literal[""]
    timestamp_epoch: float
    runtime_started: bool
    cached: Literal[True]
    cached_age_s: float
    message: str


class QualityAnswer(Shape):
    """What the agents see and why nothing happened."""

    status: Success
    data: QualityData | NoQuality
