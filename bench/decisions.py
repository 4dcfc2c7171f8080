"""From a closed bar to the signal: what each agent takes for 50 underlyings.

    python bench/decisions.py [--json FILE]

Each agent runs in this process on a recording context: no host, no mail. Milliseconds of processor
time, so that what else the machine does does not count. `bars` is the batch of a closed bar among
2,000 options, `scan` the answer to the loop's question; `plans` is the morning's look at all 50,
`plan` one of them written down when its contracts are known.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loguru import logger

import persistence.order_tables  # noqa: F401  its tables are read by the sniper
from actors.market.market_context_agent import ContextSettings, MarketContextAgent
from actors.routing.conflict_router import ConflictRouter, RouterSettings
from actors.routing.strategy_engine import EngineSettings, StrategyEngine
from actors.signals.daily_plan_agent import DailyPlanAgent, PlanSettings
from actors.signals.expiry_specialist import ExpirySettings, ExpirySpecialist
from actors.signals.regime_agent import RegimeAgent
from actors.signals.sniper_agent import SniperAgent, SniperSettings
from actors.signals.volatility_agent import VolatilityAgent, VolatilitySettings
from bench.kit import machine, options, quantile, table, tell
from domain.clock import NS_PER_MINUTE
from domain.instruments import Kind, Listing, format_expiry
from domain.intents import DailyPlan, StrategyType
from domain.prices import BAR_DTYPE, CHAIN_DTYPE
from domain.readings import (
    ChainSummary,
    MarketContext,
    Phase,
    Regime,
    UnderlyingContext,
    VixRegime,
)
from domain.settings import Settings
from domain.supervision.topology import Node
from messages.market import (
    ChainSummarised,
    ContextChanged,
    LegsResolved,
    ResolveLegs,
    SessionOpened,
)
from messages.plans import PlanChanged
from messages.trading import RegimeChanged, RouteSignals, ScanRequested, SignalRaised
from persistence.database import MainBase, MarketBase, open_engine
from persistence.instruments import InstrumentStore
from tests.kit.daily_bars import generated
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime
from tests.kit.risk_makers import PUT_SPREAD_LEGS, a_put_spread, a_signal

UNDERLYINGS, OPTIONS, MINUTES = 50, 2_000, 375
TODAY = date(2026, 11, 20)
QUARTER_NS = 15 * NS_PER_MINUTE
PLAN_DAYS, DAY_NS = 20, 1_440 * NS_PER_MINUTE
GOAL_MS = 5.0
SESSION = SessionOpened(
    day=TODAY, opens_ns=START_NS, closes_ns=START_NS + MINUTES * NS_PER_MINUTE,
    intraday_exit_ns=0, square_off_ns=0,
)  # fmt: skip
BULLISH = Regime(version=1, phase=Phase.BULLISH, vix=16.0, vix_flags=(), as_of_ns=START_NS)


def a_runtime(folder: Path) -> tuple[Any, dict[str, int]]:
    """A runtime of 50 underlyings, and their listing ids by name."""
    names = [f"STOCK{number:02d}" for number in range(UNDERLYINGS - 1)]
    keys = [("NSE_INDEX", "NIFTY"), *(("NSE", name) for name in names)]
    watched = (*keys, ("NSE_INDEX", "INDIAVIX"))
    runtime = make_runtime(folder)
    runtime.settings = Settings(feed_underlyings=watched)
    for url, base in ((runtime.database_url, MainBase), (runtime.market_url, MarketBase)):
        base.metadata.create_all(open_engine(url))
    store = InstrumentStore(open_engine(runtime.database_url))
    kinds = {"NSE": Kind.EQUITY, "NSE_INDEX": Kind.INDEX}
    tick = Decimal("0.05")
    rows = [Listing(0, at, name, name, kinds[at], 1, tick, 0) for at, name in watched]
    store.load(rows, "alpha", TODAY)
    found = {row.name: row.listing_id for row in store.load_index().by_id.values()}
    return runtime, {name: found[name] for _, name in keys}


def history(ids: dict[str, int]) -> np.ndarray:
    """200 days of each underlying."""
    windows = []
    for number, listing_id in enumerate(ids.values()):
        window = generated(number, 200)
        window["listing"] = listing_id
        windows.append(window)
    return np.concatenate(windows)


def closed(ids: dict[str, int], prices: np.ndarray, start_ns: int) -> np.ndarray:
    """One bar of each underlying among those of options."""
    bars = np.zeros(UNDERLYINGS + OPTIONS, BAR_DTYPE)
    bars["listing"] = [*ids.values(), *range(100_000, 100_000 + OPTIONS)]
    bars["start_ns"], bars["vwap"] = start_ns, np.nan
    for name in ("open", "high", "low", "close"):
        bars[name][:UNDERLYINGS] = prices
    return bars


class Times:
    """Milliseconds by agent and step."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    def of(self, name: str, call: Callable[[], Any]) -> None:
        """Times one call."""
        began = time.process_time()
        call()
        self.taken.setdefault(name, []).append((time.process_time() - began) * 1e3)


def run_sniper(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """A session of minutes with a scan after each."""
    context = RecordingContext("sniper_agent", runtime, now_ns=START_NS)
    agent = SniperAgent(context, SniperSettings())
    agent.start()
    days = history(ids)
    times.of("sniper, days", lambda: context.feed("bars.1D", days))
    prices, dice = days["close"][199::200].copy(), np.random.default_rng(1)
    for minute in range(MINUTES):
        prices *= 1 + dice.normal(0, 0.0007, UNDERLYINGS)
        bars = closed(ids, np.round(prices, 2), START_NS - (MINUTES - minute) * NS_PER_MINUTE)
        times.of("sniper, bars", lambda bars=bars: context.feed("bars.1m", bars))
        asked = ScanRequested(cycle=minute, regime=BULLISH)
        times.of("sniper, scan", lambda asked=asked: context.deliver(agent, asked))
        context.clear()


def run_volatility(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """Scans on two expiries an underlying."""
    context = RecordingContext("volatility_agent", runtime, now_ns=START_NS)
    agent = VolatilityAgent(context, VolatilitySettings())
    agent.start()
    days = history(ids)
    times.of("volatility, days", lambda: context.feed("bars.1D", days))
    for name in ids:
        for ahead in (7, 32):
            context.deliver(agent, ChainSummarised(summary=a_summary(name, ahead)))
    for cycle in range(MINUTES):
        asked = ScanRequested(cycle=cycle, regime=BULLISH)
        times.of("volatility, scan", lambda asked=asked: context.deliver(agent, asked))
        context.clear()


def a_summary(name: str, days: int) -> ChainSummary:
    """A chain at 20 %."""
    return ChainSummary(
        underlying=name, expiry=TODAY + timedelta(days=days), spot=1_000.0, forward=1_001.0,
        atm_strike=1_000.0, atm_iv=0.20, put_iv_25d=0.21, call_iv_25d=0.20, put_call_ratio=1.0,
        max_pain=1_000.0, days_to_expiry=float(days), iv_source="feed", as_of_ns=START_NS,
    )  # fmt: skip


def run_regime(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """Quarters of an hour, one after the other."""
    context = RecordingContext("regime_agent", runtime, now_ns=START_NS)
    agent = RegimeAgent(context, None)
    agent.start()
    context.feed("bars.1D", history(ids))
    prices, dice = np.full(UNDERLYINGS, 1_000.0), np.random.default_rng(2)
    for quarter in range(MINUTES):
        prices *= 1 + dice.normal(0, 0.002, UNDERLYINGS)
        bars = closed(ids, prices, START_NS - (MINUTES - quarter) * QUARTER_NS)
        times.of("regime, bars", lambda bars=bars: context.feed("bars.15m", bars))
        context.clear()


def run_market_context(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """Minutes of bars and of chains; a look is what the agent does each five seconds."""
    context = RecordingContext("market_context_agent", runtime, now_ns=START_NS)
    agent = MarketContextAgent(context, ContextSettings())
    agent.start()
    context.deliver(agent, SESSION)
    context.feed("bars.1D", history(ids))
    prices = np.full(UNDERLYINGS, 1_000.0)
    for minute in range(MINUTES):
        start_ns = START_NS + (minute - 1) * NS_PER_MINUTE
        bars = closed(ids, prices + minute, start_ns)
        times.of("market context, bars", lambda bars=bars: context.feed("bars.1m", bars))
        for name in ids:
            summary = replace(a_summary(name, 7), as_of_ns=context.now_ns(), spot=1_000.0 + minute)
            context.deliver(agent, ChainSummarised(summary=summary))
        times.of("market context, look", lambda: context.advance(5.0))
        context.advance(55.0)
        context.clear()


def run_strategy_engine(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """Scans with a plan an underlying, all due each quarter of an hour."""
    context = RecordingContext("strategy_engine", runtime, now_ns=START_NS)
    agent = StrategyEngine(context, EngineSettings())
    agent.start()
    for name in ids:
        context.deliver(agent, PlanChanged(plan=a_plan(name)))
    for cycle in range(MINUTES):
        asked = ScanRequested(cycle=cycle, regime=BULLISH)
        times.of("strategy engine, scan", lambda asked=asked: context.deliver(agent, asked))
        context.advance(60.0)
        context.clear()


def run_router(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """A signal of the sniper and one of volatility on each underlying."""
    context = RecordingContext("conflict_router", runtime, now_ns=START_NS)
    agent = ConflictRouter(context, RouterSettings())
    signals = tuple(
        a_signal(kind, (), instrument=name, source=source, correlation_id=f"{source}:{name}")
        for name in ids
        for kind, source in (
            (StrategyType.DITM_CALL, "SNIPER"), (StrategyType.BULL_PUT_SPREAD, "VOLATILITY"),
        )
    )  # fmt: skip
    for cycle in range(MINUTES):
        asked = RouteSignals(cycle=cycle, signals=signals, regime=BULLISH)
        times.of("router, cycle", lambda asked=asked: context.deliver(agent, asked))
        context.clear()


def run_daily_plan(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """Days on each of which every underlying gets its plan, by a new life with nothing kept."""
    executes = Node("execution_agent", actor="", settings={"broker": "alpha"})
    runtime.tree = Node("root", strategy="one_for_one", children=(executes,))
    rows = tuple(UnderlyingContext(name, 1_000.0) for name in ids)
    for day in range(PLAN_DAYS):
        now_ns = START_NS + day * DAY_NS
        context = RecordingContext("daily_plan_agent", runtime, now_ns=now_ns)
        agent = DailyPlanAgent(context, PlanSettings())
        agent.start()
        opened = replace(
            SESSION, day=TODAY + timedelta(days=day), opens_ns=now_ns - 45 * NS_PER_MINUTE,
            closes_ns=now_ns + 330 * NS_PER_MINUTE, intraday_exit_ns=now_ns + 290 * NS_PER_MINUTE,
        )  # fmt: skip
        seen = MarketContext(16.0, VixRegime.NORMAL, rows, now_ns)
        context.deliver(agent, opened)
        context.deliver(agent, RegimeChanged(regime=replace(BULLISH, as_of_ns=now_ns)))
        news = ContextChanged(context=seen, is_news=True)
        times.of("daily plan, plans", partial(context.deliver, agent, news))
        asked = context.told_to("chain_keeper", ResolveLegs)
        assert len(asked) == UNDERLYINGS, context.reports[-1]
        for one in asked:
            found = replace(a_put_spread(), underlying=one.underlying)
            answer = LegsResolved(request=one.request, structure=found, refusal=None)
            times.of("daily plan, plan", partial(context.deliver, agent, answer))
        assert len(context.heard(PlanChanged)) >= UNDERLYINGS


def run_expiry(runtime: Any, ids: dict[str, int], times: Times) -> None:
    """The last hour of an expiry day: a chain of 40 options an underlying each minute, and a
    scan."""
    context = RecordingContext("expiry_specialist", runtime, now_ns=START_NS)
    agent = ExpirySpecialist(context, ExpirySettings(enabled=True))
    agent.start()
    exit_ns = START_NS + 60 * NS_PER_MINUTE
    context.deliver(agent, replace(SESSION, intraday_exit_ns=exit_ns))
    chain = np.zeros(OPTIONS // UNDERLYINGS, CHAIN_DTYPE)
    half = len(chain) // 2
    chain["strike"] = np.repeat(980.0 + 2.0 * np.arange(half), 2)
    chain["is_call"] = np.tile([True, False], half)
    chain["ask"], chain["bid"] = 5.0, 4.5
    for minute in range(60):
        for name in ids:
            topic = f"chain.{name}.{format_expiry(TODAY)}"
            times.of("expiry, chain", lambda topic=topic: context.feed(topic, chain, spot=1_000.0))
        asked = ScanRequested(cycle=minute, regime=BULLISH)
        times.of("expiry, scan", lambda asked=asked: context.deliver(agent, asked))
        assert len(context.heard(SignalRaised)) == UNDERLYINGS
        context.advance(60.0)
        context.clear()


def a_plan(name: str) -> DailyPlan:
    """A put spread for today."""
    return DailyPlan(
        plan_id=f"plan:{name}", day=TODAY, instrument=name, strategy=StrategyType.BULL_PUT_SPREAD,
        entry_mode="morning_plan", vix_at_plan=16.0, vix_regime=VixRegime.NORMAL,
        regime_at_plan="BULLISH", pcr_at_plan=1.0, short_delta=0.25, wing_delta=0.10,
        legs=PUT_SPREAD_LEGS, lots=1, strength=50.0, rationale="", made_ns=START_NS,
        valid_until_ns=START_NS + MINUTES * NS_PER_MINUTE,
    )  # fmt: skip


def main() -> None:
    """Runs the agents and prints their table."""
    given = options(__doc__).parse_args()
    logger.remove()
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        runtime, ids = a_runtime(Path(folder))
        for run in (
            run_sniper, run_volatility, run_regime, run_market_context, run_strategy_engine,
            run_router, run_daily_plan, run_expiry,
        ):  # fmt: skip
            run(runtime, ids, times)
    rows = [("step", "times", "p50 ms", "p99 ms", "goal p99 ms")]
    for name, taken in times.taken.items():
        goal = "" if name.endswith("days") else f"{GOAL_MS:g}"
        figures = (f"{quantile(taken, share):.2f}" for share in (0.5, 0.99))
        rows.append((name, str(len(taken)), *figures, goal))
    table(f"from a closed bar to the signal, {UNDERLYINGS} underlyings", rows)
    told = {name: {"p50_ms": quantile(t, 0.5), "p99_ms": quantile(t, 0.99)}
            for name, t in times.taken.items()}  # fmt: skip
    tell(told, machine("numpy"), given.json)


if __name__ == "__main__":
    main()
