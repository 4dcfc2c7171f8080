"""The sniper: directional entries from patterns of daily bars, at the price where they are entered.

Hears ScanRequested, bars of a day, a quarter and a minute, the session, and StructureOpened (a
setup is traded once); announces ScanCompleted, SignalRaised and, of the universe, UniverseChanged.
An instrument without a signal gets a note that says why. Twins: sniper (aim and rank), patterns,
zones, relative_strength, swings, universe.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.signals.instrument_index import benchmark_of, read_index
from actors.signals.session_view import SessionView
from actors.signals.universe_desk import UniverseDesk
from actors.signals.warm_bars import WarmBars
from adapters.tick_bus import Batch
from domain.clock import seconds
from domain.instruments import INDEX_EXCHANGES, InstrumentIndex, Kind, Listing
from domain.intents import STRATEGY_TRAITS, Refusal, Signal
from domain.orders import CommandStatus
from domain.prices import BAR_DTYPE
from domain.readings import Regime
from domain.signals.indicators import merge_bars
from domain.signals.sniper import (
    BARS_MAX,
    BARS_MIN,
    Instrument,
    Shot,
    check_market,
    ranked,
    read_instrument,
    reward_risk,
    setup_id,
    take_aim,
)
from domain.signals.volatility import weighted_volatility
from messages.lifecycle import NodeRestarted
from messages.market import FeedSwitched, InstrumentsLoaded, SessionClosed, SessionOpened
from messages.trading import ScanCompleted, ScanRequested, SignalRaised, StructureOpened
from persistence.commands import CommandStore
from persistence.database import open_engine

SOURCE = "SNIPER"
DAILY = "1D"
EARLY_BATCHES_MAX = 64
READINESS_MAX = 10
TRADED_KEPT_NS = 90 * seconds(86_400)  # no setup of 200 daily bars waits longer for its price


@dataclass(frozen=True)
class SniperSettings:
    """Days to expiry of the option that is bought, [least, most] (`tomic.md` 2.3); stocks list
    monthly expiries only and are left two sessions before."""

    dte: tuple[int, int] = (5, 10)
    equity_dte: tuple[int, int] = (10, 45)

    def __post_init__(self) -> None:
        for name in ("dte", "equity_dte"):
            band = getattr(self, name)
            if len(band) != 2 or not 0 <= band[0] <= band[1]:
                raise ValueError(f"{name} must be [least, most] days to expiry, not {band}")


class SniperAgent(Actor):
    """Keeps daily bars, what they say, and today's range; all of it comes again with the bars."""

    SETTINGS = SniperSettings
    settings: SniperSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        keys = context.runtime.settings
        watched = [name for _, name in keys.underlyings]
        wanted = [name for _, name in keys.sniper_listings]
        names = [name for name in wanted if name in watched]
        self._unwatched = [name for name in wanted if name not in watched]
        self._benchmark = benchmark_of(watched)
        self._always = [row for row in keys.underlyings if row[1] in (*names, self._benchmark)]
        self._index = InstrumentIndex(())
        self._listings: dict[int, Listing] = {}
        self._bars: dict[str, np.ndarray] = {}
        self._read = {name: Instrument(name) for name in names}
        self._own = tuple(self._read)
        self._universe = UniverseDesk(context, self._benchmark, self._always, self._follow)
        self._session = SessionView(context)
        self._traded: set[str] = set()
        self._early: deque[Batch] = deque(maxlen=EARLY_BATCHES_MAX)
        self._warm = WarmBars(context)

    def start(self) -> None:
        self._restore()
        self._universe.start()
        self._find_listings(read_index(self.context.runtime))
        self.context.subscribe("bars.", self._on_bars)
        self._warm.ask()
        self._report([])

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self.context.work(lambda: read_index(self.context.runtime), self._find_listings)

    def on_session_opened(self, message: SessionOpened) -> None:
        self._universe.session_opened(message.day)

    def on_session_closed(self, message: SessionClosed) -> None:
        self._universe.session_closed(message.next_opens_ns)

    def on_feed_switched(self, message: FeedSwitched) -> None:
        self._universe.feed_switched(message.to_broker)

    def on_node_restarted(self, message: NodeRestarted) -> None:
        self._universe.remind(message.name)

    def on_structure_opened(self, message: StructureOpened) -> None:
        self._traded.update(used_by(message.intent.signal.extras))

    def on_scan_requested(self, message: ScanRequested) -> None:
        shots, notes = self._aim(message.regime)
        signals = tuple(
            self._signal(shot, message.regime, number) for number, shot in enumerate(shots)
        )
        completed = ScanCompleted(
            cycle=message.cycle,
            source=self.context.name,
            signals=signals,
            notes=tuple(notes),
            regime_version=message.regime.version,
            dry=message.dry,
            inputs={
                "sniper_instruments": len(self._read),
                "sniper_readiness": self._readiness(),
            },
        )
        if message.dry:
            self.context.tell("signal_loop", completed)
            return
        self.context.announce(completed)
        for signal in signals:
            self.context.announce(SignalRaised(signal=signal))
        self._report(list(shots))

    # -- opinions --

    def _aim(self, regime: Regime) -> tuple[tuple[Shot, ...], list[Refusal]]:
        notes = [
            Refusal("NOT_WATCHED", f"{name} is not among TOMIC_FEED_UNDERLYINGS: it has no bars")
            for name in self._unwatched
        ]
        notes += self._universe.notes()
        blocked = check_market(regime)
        if blocked:
            return (), [blocked, *notes]
        now_ns = self.context.now_ns()
        found = [
            take_aim(read, self._session.today(name), regime.phase, now_ns, self._traded)
            for name, read in self._read.items()
        ]
        notes = [row for row in found if isinstance(row, Refusal)] + notes
        return ranked([row for row in found if isinstance(row, Shot)]), notes

    def _signal(self, shot: Shot, regime: Regime, number: int) -> Signal:
        now_ns, setup, name = self.context.now_ns(), shot.setup, shot.instrument
        is_call = STRATEGY_TRAITS[shot.strategy].bias == "BULLISH"
        dte = self.settings.equity_dte if self._is_equity(name) else self.settings.dte
        interval_s = self.context.runtime.settings.signal_loop_interval_s
        return Signal(
            correlation_id=f"{SOURCE}:{name}:{shot.strategy}:{now_ns}:{number}",
            source=SOURCE,
            instrument=name,
            strategy=shot.strategy,
            direction=STRATEGY_TRAITS[shot.strategy].direction,
            bias=STRATEGY_TRAITS[shot.strategy].bias,
            strength=round(shot.score, 2),
            reason=f"{setup.text}; price {shot.price:.2f}, stop {setup.stop:.2f}, "
            f"target {setup.target:.2f}, RS {shot.rs:.1f}",
            dte_min=dte[0],
            dte_max=dte[1],
            product="NRML",
            entry_price=setup.entry,
            stop_price=setup.stop,
            target_price=setup.target,
            price_basis="UNDERLYING",
            rr_ratio=reward_risk(shot),
            instrument_vol=weighted_volatility(self._bars[name]["close"].astype(float)),
            valid_until_ns=now_ns + seconds(interval_s),
            regime_version=regime.version,
            pattern=setup.pattern,
            extras={
                "signal_direction": setup.view,
                "option_type": Kind.CALL if is_call else Kind.PUT,
                "rs_score": f"{shot.rs:.2f}",
                "signal_score": f"{shot.score:.2f}",
                "setup_ids": " ".join(shot.ids),
                "price_at_signal": f"{shot.price:.2f}",
                "vix_at_signal": f"{regime.vix:.2f}",
            },
        )

    # -- inputs --

    def _on_bars(self, batch: Batch) -> None:
        self._warm.note(batch)
        if not self._listings:
            self._early.append(batch)
            return
        timeframe = batch.topic.removeprefix("bars.")
        warm = bool(batch.meta.get("warm"))
        mine = batch.columns[np.isin(batch.columns["listing"], list(self._listings))]
        for listing_id in np.unique(mine["listing"]).tolist():
            name, rows = self._listings[listing_id].name, mine[mine["listing"] == listing_id]
            if timeframe == DAILY:
                window = self._bars.get(name, np.empty(0, BAR_DTYPE))
                self._bars[name] = merge_bars(window, rows, BARS_MAX)
            else:
                self._session.take(name, timeframe, rows, warm=warm)
        if timeframe == DAILY and len(mine):
            self._read_bars()

    def _read_bars(self) -> None:
        none = np.empty(0, BAR_DTYPE)
        benchmark = self._bars.get(self._benchmark, none)
        for listing in self._listings.values():
            name = listing.name
            if name in self._read:
                beside = None if name == self._benchmark else benchmark
                self._read[name] = read_instrument(
                    name, listing.kind, self._bars.get(name, none), beside
                )
        self._report([])

    def _restore(self) -> None:
        """Setups that an earlier life saw traded."""
        engine = open_engine(self.context.runtime.database_url)
        try:
            since_ns = self.context.now_ns() - TRADED_KEPT_NS
            for row in CommandStore(engine).entries_since(since_ns):
                extras = json.loads(row.payload)["signal"]["extras"]
                if row.status is CommandStatus.DONE:
                    self._traded.update(used_by(extras))
        finally:
            engine.dispose()

    def _find_listings(self, index: InstrumentIndex | Exception) -> None:
        if isinstance(index, Exception):
            raise index
        self._index = index
        self._universe.take_index(index)
        self._follow()
        while self._listings and self._early:
            self._on_bars(self._early.popleft())

    def _follow(self) -> None:
        """Reads its own list and what is hot; who left the hot list is forgotten."""
        hot = self._universe.hot
        names = dict.fromkeys((*self._own, *(name for _, name in hot)))
        self._read = {name: self._read.get(name, Instrument(name)) for name in names}
        found = [self._index.find(*row) for row in (*self._always, *hot)]
        self._listings = {row.listing_id: row for row in found if row}
        known = {row.name for row in self._listings.values()}
        self._bars = {name: bars for name, bars in self._bars.items() if name in known}

    def _is_equity(self, name: str) -> bool:
        rows = (row for row in self._listings.values() if row.name == name)
        return all(row.exchange not in INDEX_EXCHANGES for row in rows)

    # -- what it shows --

    def _readiness(self) -> list[dict[str, Any]]:
        return [
            {
                "instrument": read.name,
                "bars": read.bars,
                "ready_30": read.bars >= BARS_MIN,
                "zones_cached": len(read.zones),
                "setups": len(read.setups),
                "rs": None if read.rs is None else round(read.rs, 2),
            }
            for read in list(self._read.values())[:READINESS_MAX]
        ]

    def _report(self, shots: list[Shot]) -> None:
        self.context.report(
            {
                "benchmark": self._benchmark,
                "universe": self._universe.body(),
                "readiness": self._readiness(),
                "setups": [
                    {
                        "instrument": read.name,
                        "pattern": setup.pattern,
                        "signal_direction": setup.view,
                        "entry_price": round(setup.entry, 2),
                        "stop_price": round(setup.stop, 2),
                        "target_price": round(setup.target, 2),
                        "text": setup.text,
                        "traded": setup_id(read.name, setup) in self._traded,
                    }
                    for read in self._read.values()
                    for setup in read.setups
                ],
                "shots": [f"{shot.instrument} {shot.strategy}" for shot in shots],
                "swings": self._session.swings(),
            }
        )


def used_by(extras: dict[str, str]) -> list[str]:
    """The setups that a signal's entry uses up."""
    return extras.get("setup_ids", "").split()
