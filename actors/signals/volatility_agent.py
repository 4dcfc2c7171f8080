"""The volatility agent: from chains and daily closes to option structures worth trading.

Hears ScanRequested, ChainSummarised and daily bars; announces ScanCompleted, CorrelationsMeasured
and the facts SignalRaised and VolatilityRead. An underlying without a signal gets notes that say
why. Twins: volatility (how dear), selection (which structure), legs (of what), correlation.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.signals.instrument_index import read_index
from actors.signals.warm_bars import WarmBars
from adapters.tick_bus import Batch
from domain.clock import NS_PER_S, exchange_time, seconds
from domain.instruments import InstrumentIndex, Kind
from domain.intents import STRATEGY_TRAITS, Refusal, Signal
from domain.prices import BAR_DTYPE
from domain.readings import (
    ChainSummary,
    Correlation,
    Phase,
    Regime,
    VolatilityReading,
    entry_levels,
)
from domain.signals.correlation import correlations
from domain.signals.indicators import merge_bars
from domain.signals.legs import LegShape, structure_legs, wing_points_of
from domain.signals.selection import Chosen, View, select_structures
from domain.signals.volatility import (
    VolatilityRules,
    chain_volatility,
    read_volatility,
    weighted_volatility,
)
from messages.codec import to_plain
from messages.lifecycle import NodeRestarted
from messages.market import ChainSummarised, InstrumentsLoaded, SessionOpened, VolatilityRead
from messages.trading import (
    CorrelationsMeasured,
    ScanCompleted,
    ScanRequested,
    SignalRaised,
)
from persistence.database import open_engine
from persistence.market import MarketStore

SOURCE, RISK = "VOLATILITY", "risk_agent"
DAILY_BARS_MAX = 300
HISTORY_DAYS = 365
EARLY_BATCHES_MAX = 64
READINESS_MAX = 10
IV_AGE_MAX_S = 120.0  # older ones never sell premium (`tomic.md` 9.4)
USER_RULES = (
    "enable_jade_lizard",
    "enable_short_strangle",
    "enable_short_straddle",
    "allow_naked_premium",
    "short_premium_iv_rank_min",
    "short_premium_iv_hv_min",
)


@dataclass(frozen=True)
class VolatilitySettings:
    """Where legs are wanted and which expiries suit (`tomic.md` 2.3, 5.5); DTE is [least, most]."""

    income_dte: tuple[int, int] = (30, 45)
    momentum_dte: tuple[int, int] = (5, 10)
    wing_points: dict[str, float] = field(default_factory=lambda: {"NIFTY": 200, "BANKNIFTY": 500})
    short_delta: float = 0.25
    ditm_delta: float = 0.90
    iv_stale_after_s: float = IV_AGE_MAX_S
    vix_proxy_for: str = "NIFTY"

    def __post_init__(self) -> None:
        for name in ("income_dte", "momentum_dte"):
            band = getattr(self, name)
            if len(band) != 2 or not 0 <= band[0] <= band[1]:
                raise ValueError(f"{name} must be [least, most] days to expiry, not {band}")
        if not 0.20 <= self.short_delta <= 0.30:
            raise ValueError(f"short_delta must lie in 0.20-0.30, not {self.short_delta}")
        if not 0.80 <= self.ditm_delta < 1:
            raise ValueError(f"ditm_delta must lie in 0.80-1, not {self.ditm_delta}")
        if not 0 < self.iv_stale_after_s <= IV_AGE_MAX_S:
            raise ValueError(
                f"iv_stale_after_s must lie in 0-{IV_AGE_MAX_S:g}, not {self.iv_stale_after_s}"
            )
        if any(points <= 0 for points in self.wing_points.values()):
            raise ValueError("wing_points must be greater than 0")


class VolatilityAgent(Actor):
    """Keeps a window of daily bars and the newest chain summaries of each underlying."""

    SETTINGS = VolatilitySettings
    settings: VolatilitySettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        keys = context.runtime.settings
        self._rules = VolatilityRules(**{name: getattr(keys, name) for name in USER_RULES})
        self._underlyings = [name for _, name in keys.underlyings]
        self._vix = keys.feed_vix_symbol[1]
        self._names: dict[int, str] = {}  # listing id -> underlying (or the volatility index)
        self._bars: dict[str, np.ndarray] = {}
        self._chains: dict[str, dict[date, ChainSummary]] = {}
        self._iv_history: dict[str, np.ndarray] = {}
        self._told: dict[str, VolatilityReading] = {}
        self._correlations: tuple[Correlation, ...] = ()
        self._early: deque[Batch] = deque(maxlen=EARLY_BATCHES_MAX)
        self._warm = WarmBars(context)

    def start(self) -> None:
        self._find_listings(read_index(self.context.runtime))
        self._keep_history(self._read_history())
        self.context.subscribe("bars.1D", self._on_bars)
        self._warm.ask()

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self.context.work(lambda: read_index(self.context.runtime), self._find_listings)

    def on_session_opened(self, _message: SessionOpened) -> None:
        self.context.work(self._read_history, self._keep_history)

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name == RISK:
            self._tell_correlations()

    def on_chain_summarised(self, message: ChainSummarised) -> None:
        summary = message.summary
        self._chains.setdefault(summary.underlying, {})[summary.expiry] = summary

    def on_scan_requested(self, message: ScanRequested) -> None:
        signals: list[Signal] = []
        notes: list[Refusal] = []
        readings: list[VolatilityReading] = []
        for underlying in self._underlyings:
            reading = self._read(underlying)
            readings.append(reading)
            found, reasons = self._consider(reading, message.regime, len(signals))
            signals.extend(found)
            notes.extend(reasons)
        completed = ScanCompleted(
            cycle=message.cycle,
            source=self.context.name,
            signals=tuple(signals),
            notes=tuple(notes),
            regime_version=message.regime.version,
            dry=message.dry,
            inputs=self._inputs(readings),
        )
        if message.dry:
            self.context.tell("signal_loop", completed)
        else:
            self.context.announce(completed)
            self._tell_facts(readings, signals)

    # -- opinions --

    def _read(self, underlying: str) -> VolatilityReading:
        return read_volatility(
            underlying,
            chain_volatility(
                self._chains.get(underlying, {}).values(),
                self.context.now_ns(),
                self.settings.iv_stale_after_s,
            ),
            closes=self._closes(underlying),
            iv_history=self._history_of(underlying),
            rules=self._rules,
        )

    def _consider(
        self, reading: VolatilityReading, regime: Regime, count: int
    ) -> tuple[list[Signal], tuple[Refusal, ...]]:
        blocked = self._blocked(reading, regime)
        if blocked:
            return [], (blocked,)
        days = len(self._history_of(reading.underlying))
        chosen, notes = select_structures(View(reading, regime, days, self._rules))
        signals = [
            self._signal(one, reading, regime, count + index) for index, one in enumerate(chosen)
        ]
        return signals, () if signals else notes

    def _blocked(self, reading: VolatilityReading, regime: Regime) -> Refusal | None:
        name = reading.underlying
        if regime.as_of_ns == 0:
            return Refusal("REGIME_UNKNOWN", f"{name}: the market's regime is not known yet")
        if reading.as_of_ns == 0:
            return Refusal("IV_UNKNOWN", f"{name}: no at-the-money IV from the option chain yet")
        if reading.iv <= 0:
            age_s = (self.context.now_ns() - reading.as_of_ns) / NS_PER_S
            return Refusal("IV_STALE", f"{name}: the newest IV is {age_s:.0f} s old")
        return None

    def _signal(
        self, chosen: Chosen, reading: VolatilityReading, regime: Regime, index: int
    ) -> Signal:
        now_ns, name = self.context.now_ns(), reading.underlying
        dte = self.settings.income_dte if chosen.is_income else self.settings.momentum_dte
        interval_s = self.context.runtime.settings.signal_loop_interval_s
        shape = LegShape(
            short_delta=self.settings.short_delta,
            wing_points=wing_points_of(name, self._spot(name), self.settings.wing_points),
            ditm_delta=self.settings.ditm_delta,
            calendar_type=Kind.PUT if regime.phase is Phase.BEARISH else Kind.CALL,
        )
        return Signal(
            correlation_id=f"{SOURCE}:{name}:{chosen.strategy}:{now_ns}:{index}",
            source=SOURCE,
            instrument=name,
            strategy=chosen.strategy,
            direction=chosen.direction,
            bias=STRATEGY_TRAITS[chosen.strategy].bias,
            legs=structure_legs(chosen.strategy, shape),
            strength=round(chosen.strength, 2),
            reason=f"{chosen.reason} ({self._numbers(reading)})",
            dte_min=dte[0],
            dte_max=dte[1],
            product="NRML",
            instrument_vol=weighted_volatility(self._closes(name), self._rules),
            valid_until_ns=now_ns + seconds(interval_s),
            regime_version=regime.version,
            extras=self._extras(reading, regime) | self._levels(name),
        )

    @staticmethod
    def _numbers(reading: VolatilityReading) -> str:
        rank = "unknown" if reading.iv_rank is None else f"{reading.iv_rank:.0f}"
        return f"IV {reading.iv:.1%}, IV/HV {reading.iv_hv_ratio:.2f}, IV rank {rank}"

    @staticmethod
    def _extras(reading: VolatilityReading, regime: Regime) -> dict[str, str]:
        numbers = {
            key: f"{value:.6g}" if isinstance(value, float) else str(value)
            for key, value in to_plain(reading).items()
            if value is not None and key not in ("underlying", "as_of_ns")
        }
        return numbers | {"vix_at_signal": f"{regime.vix:.2f}"}

    def _levels(self, name: str) -> dict[str, str]:
        """What open interest of the front expiry says, for the journal."""
        chains = self._chains.get(name)
        return entry_levels(chains[min(chains)]) if chains else {}

    def _tell_facts(self, readings: list[VolatilityReading], signals: list[Signal]) -> None:
        for reading in readings:
            if reading.iv > 0 and self._told.get(reading.underlying) != reading:
                self._told[reading.underlying] = reading
                self.context.announce(VolatilityRead(reading=reading))
        for signal in signals:
            self.context.announce(SignalRaised(signal=signal))

    def _tell_correlations(self) -> None:
        self.context.announce(CorrelationsMeasured(correlations=self._correlations))

    def _inputs(self, readings: list[VolatilityReading]) -> dict[str, Any]:
        readiness = []
        for reading in readings[:READINESS_MAX]:
            bars = len(self._closes(reading.underlying))
            readiness.append(
                {
                    "underlying": reading.underlying,
                    "price_bars": bars,
                    "has_iv": reading.iv > 0,
                    "hv_ready_31": bars >= self._rules.hv_returns + 1,
                    "iv_days": len(self._history_of(reading.underlying)),
                }
            )
        snapshots = [to_plain(reading) for reading in readings[:READINESS_MAX] if reading.iv > 0]
        priced = sum(1 for reading in readings if len(self._closes(reading.underlying)))
        return {
            "vol_price_underlyings": priced,
            "vol_iv_underlyings": sum(1 for reading in readings if reading.iv > 0),
            "volatility_readiness": readiness,
            "volatility_snapshots": snapshots,
        }

    # -- inputs --

    def _on_bars(self, batch: Batch) -> None:
        self._warm.note(batch)
        if not self._names:
            self._early.append(batch)
            return
        for listing_id, name in self._names.items():
            rows = batch.columns[batch.columns["listing"] == listing_id]
            if len(rows):
                window = self._bars.get(name, np.empty(0, BAR_DTYPE))
                self._bars[name] = merge_bars(window, rows, DAILY_BARS_MAX)
        self._measure()

    def _measure(self) -> None:
        bars = {name: rows for name, rows in self._bars.items() if name != self._vix}
        found = correlations(bars)
        if found != self._correlations:
            self._correlations = found
            self._tell_correlations()

    def _closes(self, name: str) -> np.ndarray:
        bars = self._bars.get(name)
        return np.empty(0) if bars is None else bars["close"].astype(float)

    def _history_of(self, underlying: str) -> np.ndarray:
        """Daily IVs; the volatility index stands in for its underlying while those are too few."""
        own = self._iv_history.get(underlying, np.empty(0))
        if underlying != self.settings.vix_proxy_for or len(own) >= self._rules.history_days_min:
            return own
        proxy = self._closes(self._vix) / 100.0
        return proxy if len(proxy) > len(own) else own

    def _spot(self, underlying: str) -> float:
        chains = self._chains.get(underlying, {})
        return max(chains.values(), key=lambda row: row.as_of_ns).spot if chains else 0.0

    def _find_listings(self, index: InstrumentIndex | Exception) -> None:
        if isinstance(index, Exception):
            raise index
        for name in (*self._underlyings, self._vix):
            row = index.underlying(name)
            if row:
                self._names[row.listing_id] = name
        while self._names and self._early:
            self._on_bars(self._early.popleft())

    def _read_history(self) -> dict[str, np.ndarray]:
        today = exchange_time(self.context.now_ns()).date()
        engine = open_engine(self.context.runtime.market_url)
        try:
            store, since = MarketStore(engine), today - timedelta(days=HISTORY_DAYS)
            return {
                name: np.array([iv for day, iv in store.iv_history(name, since) if day < today])
                for name in self._underlyings
            }
        finally:
            engine.dispose()

    def _keep_history(self, history: dict[str, np.ndarray] | Exception) -> None:
        if isinstance(history, Exception):
            raise history
        self._iv_history = history
