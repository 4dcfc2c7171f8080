"""What each route answers (`tomic.md` 13), for the documentation and for the tests: keys and types.

Answers are not made from these: an actor's part is passed on whole, so each shape allows more keys.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Row = dict[str, Any]
Success = Literal["success"]
Presence = Literal["success", "unavailable"]


class Shape(BaseModel):
    """At least these keys."""

    model_config = ConfigDict(extra="allow")


class Fault(Shape):
    """The one envelope of every error."""

    status: Literal["error"]
    code: str
    message: str
    details: list[dict[str, str]] = Field(default_factory=list)


class Done(Shape):
    """A command was carried out, or handed on."""

    status: Literal["success", "starting"]
    message: str


class AgentState(Shape):
    """An actor; -1 when it never gave a heartbeat."""

    running: bool
    paused: bool
    last_heartbeat_ago_s: float
    restarts: int


class FeedStatus(Shape):
    """The canonical feed (`tomic.md` 11.2); ages in seconds, -1 is never."""

    connected: bool
    authenticated: bool
    url: str
    using_fallback: bool
    subscribed_symbols: int
    mode: str
    reconnect_count: int
    api_key_configured: bool
    using_fallback_api_key: bool
    last_message_age_s: float
    last_error: str
    last_error_age_s: float
    last_auth_status: str
    last_auth_message: str
    latest_tick_cache: int


class Bridge(Shape):
    """Bars, option subscriptions and volatilities (`tomic.md` 11.4)."""

    ticks_total: int
    underlying_ticks: int
    option_ticks: int
    candles_built_regime: int
    candles_built_sniper: int
    vol_iv_updates: int
    last_tick_wall: str
    last_tick_age_s: float
    last_error: str
    subscriptions: int
    option_symbol_mode: Literal["auto", "manual"]
    auto_option_refreshes: int
    auto_option_subscriptions: int
    auto_option_last_error: str
    option_iv_fallback_enabled: bool
    option_iv_from_feed: int
    option_iv_from_synthetic: int
    option_iv_missing: int
    underlyings: list[str]
    sniper_symbols: list[str]
    option_symbols: list[str]
    benchmark: str
    option_expiry: dict[str, str]
    option_expiries: dict[str, list[str]]
    auto_option_refresh_inflight: list[str]
    auto_option_refresh_sec: float
    auto_option_strike_span: int
    auto_option_expiry_count: int
    auto_option_strike_offsets: list[int]


class WarmStart(Shape):
    """How the windows were filled (`tomic.md` 11.5)."""

    enabled: bool
    status: Literal["idle", "disabled", "running", "ok", "empty", "error"]
    message: str
    loaded_symbols: int
    attempted_symbols: int
    regime_bars_seeded: int
    sniper_bars_seeded: int
    vol_price_bars_seeded: int
    sources: Row
    errors: Row
    lookback_days: int
    interval: str
    max_bars: int


class LoopStatus(Shape):
    """The signal loop; -1 when no cycle ran."""

    enabled: bool
    running: bool
    interval_s: float
    enqueue_cooldown_s: float
    cycles: int
    last_cycle_at: str
    last_cycle_age_s: float
    last_enqueued: int
    last_dedupe_skips: int
    last_error: str


class DailyPlans(Shape):
    """Plans of the day."""

    date: str
    plans: list[Row]


class VirtualGuard(Shape):
    """Stop, target and trail of a long single option (`tomic.md` 8.10); rupees a unit."""

    entry: float
    high: float
    stop: float
    target: float
    trailing: bool
    tick_age_s: float


class Watched(Shape):
    """A structure that the position manager watches, by its tag; rupees."""

    instrument: str
    entry_credit: float
    trail_stop_activated: bool
    lots: int
    virtual_guard: VirtualGuard | None


class PartAge(Shape):
    """How old an actor's part is; `ok` while that actor lives."""

    age_s: float
    ok: bool


class StatusData(Shape):
    """`tomic.md` 13.2. A part is empty until its actor reported."""

    running: bool
    killed: bool
    kill_reason: str
    killed_at: str
    mode: str
    agents: dict[str, AgentState]
    command_queue_pending: int
    command_dead_letters: int
    ws_data: FeedStatus
    market_bridge: Bridge
    warm_start: WarmStart
    signal_loop: LoopStatus
    signal_quality_cached_at: str
    signal_quality_cached_age_s: float
    market_context: Row
    daily_plans: DailyPlans
    position_manager: dict[str, Watched]
    parts: dict[str, PartAge]


class StatusAnswer(Shape):
    """The runtime at a glance."""

    status: Success
    data: StatusData


class BreakerStatus(Shape):
    """A breaker with its threshold and live value (`tomic.md` 10.1); `since` is UTC or empty."""

    tripped: bool
    message: str
    since: str
    threshold_pct: float = 0.0
    threshold: float = 0.0
    threshold_x: float = 0.0
    timeout_s: float = 0.0
    current_pct: float = 0.0
    current: float = 0.0
    current_x: float = 0.0
    unhedged_count: int = 0


class Breakers(Shape):
    """All breakers; rupees."""

    capital: float
    breakers: dict[str, BreakerStatus]


class Latency(Shape):
    """From sent to filled, milliseconds, of the newest fills."""

    avg: float
    p99: float


class OrderFigures(Shape):
    """Orders of all time."""

    placed: int
    filled: int
    rejected: int
    latency_ms: Latency


class Queue(Shape):
    """Commands by state."""

    pending: int
    processing: int
    dead_letter: int
    unknown: int


class MinuteFigures(Shape):
    """One minute in which something happened (`tomic.md` 9.5); `at` is its begin, UTC."""

    at: str
    orders_placed: int
    orders_filled: int
    orders_rejected: int
    latency_avg_ms: float | None
    latency_p99_ms: float | None
    stale_blocks: int
    failovers: int
    unhedged_incidents: int
    dead_letters: int
    lease_reclaims: int
    breaker_trips: int
    slippage_ticks: float | None
    fill_rate: float | None


class MetricsData(Shape):
    """`tomic.md` 13.3. `freshness` holds pcr, gex, max_pain, iv, vix, quote:SYM and option:SYM."""

    circuit_breakers: Breakers
    freshness: dict[str, float]
    ws_data: FeedStatus
    market_bridge: Bridge
    orders: OrderFigures
    queue: Queue
    minutes: list[MinuteFigures]


class MetricsAnswer(Shape):
    """Figures."""

    status: Success
    data: MetricsData


class PositionRow(Shape):
    """A leg; rupees."""

    instrument: str
    strategy_id: str
    strategy_tag: str
    direction: Literal["BUY", "SELL"]
    exchange: str
    product: str
    quantity: int
    avg_price: float
    ltp: float
    pnl: float
    entry_time: str
    leg_no: int
    virtual_guard: VirtualGuard | None


class SyncState(Shape):
    """How the book stands to the broker's."""

    synced: bool
    mode: Literal["broker", "throttled", "unavailable", "error", "invalid"]
    rows: int


class PositionsAnswer(Shape):
    """The position book."""

    status: Success
    version: int
    positions: list[PositionRow]
    strategies: list[str]
    unmanaged: list[Row]
    sync: SyncState


class Trade(Shape):
    """A trade with its context (`tomic.md` 9.5); rupees after charges, None is what nobody knows,
    or can know before its close."""

    id: int
    event_id: str
    correlation_id: str
    strategy_id: str
    strategy_tag: str
    instrument: str
    exchange: str
    direction: Literal["BUY", "SELL"]
    quantity: int
    entry_price: float | None
    entry_reason: str
    entry_reason_meta: Row
    exit_price: float | None
    pnl: float | None
    hold_duration_s: int | None
    exit_reason: str | None
    regime_phase: str
    regime_score: int
    vix_at_entry: float
    iv_rank: float | None
    pcr_at_entry: float | None
    max_pain_dist: float | None
    zone_freshness: float | None
    sizing_chain: list[Row]
    kelly_value: float | None
    sector_heat_pct: float | None
    slippage_ticks: float
    latency_ms: float
    fill_rate: float
    entry_time: str
    exit_time: str | None
    reason: str
    paper: bool | None


class JournalAnswer(Shape):
    """Trades, newest first."""

    status: Success
    trades: list[Trade]


class AuditEntry(Shape):
    """Who did what."""

    id: int
    timestamp: str
    user_id: str
    action: str
    details: Row
    ip_address: str
    category: Literal["CONTROL", "DEAD_LETTER", "EXECUTION", "RISK", "SIGNAL"]


class AuditAnswer(Shape):
    """The audit trail, newest first."""

    status: Success
    entries: list[AuditEntry]
