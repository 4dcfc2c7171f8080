"""The chain keeper: option chains with volatility and greeks, and legs on real contracts.

Hears the canonical feed's ticks, PositionChanged, ResolveLegs, InstrumentsLoaded, UniverseChanged,
the session and restarts; publishes `chain.<UNDERLYING>.<DDMMMYY>`, announces AtmShifted and
ChainSummarised, answers LegsResolved, wants the strikes it keeps, and a snapshot after a gap.
Twins: chain_book, chains, resolution.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.market.following import SEGMENT, CanonicalTicks, read_index
from adapters.tick_bus import Batch
from domain.clock import exchange_time, seconds
from domain.instruments import OPTION_KINDS, InstrumentIndex, Listing, format_expiry
from domain.intents import Refusal
from domain.market.chain_book import ChainBook, Key, LadderRules
from domain.market.chain_readings import constant_maturity_iv
from domain.market.chains import Carry
from domain.market.resolution import resolve_legs
from domain.prices import CHAIN_DTYPE, MODE_DEPTH
from messages.lifecycle import NodeRestarted
from messages.market import (
    AtmShifted,
    ChainSummarised,
    FeedSwitched,
    InstrumentsLoaded,
    LegsResolved,
    ResolveLegs,
    SessionClosed,
    SessionOpened,
    UniverseChanged,
    WantListings,
)
from messages.trading import PositionChanged
from persistence.database import open_engine
from persistence.market import MarketStore

HELD = "underlyings of positions"  # whose shares or indices nobody else wants
IV_MATURITY_DAYS = 30.0
KEEP_IV_EVERY_S = 300.0
REPORT_EVERY_S = 1.0


@dataclass(frozen=True)
class ChainSettings:
    """How many strikes are kept around the money, and which days to expiry structures trade."""

    strikes_each_side: int = 25
    strikes_each_side_max: int = 60
    dte_bands: list[list[int]] = field(default_factory=lambda: [[30, 45], [5, 10]])

    def __post_init__(self) -> None:
        if not 1 <= self.strikes_each_side <= self.strikes_each_side_max <= 200:
            raise ValueError("strikes_each_side must be 1 to strikes_each_side_max, at most 200")
        for band in self.dte_bands:
            if len(band) != 2 or not 0 <= band[0] <= band[1]:
                raise ValueError(f"dte_bands must be [least, most] days to expiry, not {band}")


class ChainKeeper(Actor):
    """State: the chain book; all of it comes again with the ticks."""

    SETTINGS = ChainSettings
    PUBLISHES = ("chain",)
    settings: ChainSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        keys = context.runtime.settings
        plan = context.runtime.replay
        self._stands_ns = plan.interval_ns if plan else 0
        self._price_every_s = keys.option_iv_fallback_cache_s
        self._carry = Carry(
            keys.option_iv_rf, keys.option_dividend_yield, keys.option_iv_fallback_enabled
        )
        self._rules = LadderRules(
            each_side=max(settings.strikes_each_side, keys.strikes_watched_min),
            each_side_max=settings.strikes_each_side_max,
            recenter_steps=keys.option_auto_recenter_steps,
            refresh_s=keys.option_auto_refresh_sec,
            expiry_count=keys.option_auto_expiry_count,
            bands=tuple((band[0], band[1]) for band in settings.dte_bands),
            deep_offset=keys.ditm_offset,
            expiries_kept_s=keys.option_expiry_cache_sec,
        )
        self._index = InstrumentIndex(())
        self._book: ChainBook | None = None
        self._ticks = CanonicalTicks(context, self._on_ticks)
        self._store = MarketStore(open_engine(context.runtime.market_url))
        self._held: dict[str, Listing] = {}
        self._positions: tuple[tuple[str, str], ...] = ()
        self._hot: tuple[tuple[str, str], ...] = ()
        self._wanted: dict[str, WantListings] = {}
        self._in_session = False
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        keys = self.context.runtime.settings
        self._ticks.follow(self.context.runtime.feed_sequence[0])
        self._read_index()
        self.context.every(self._price_every_s, self._price)
        self.context.every(keys.option_auto_refresh_sec, self._place_all)
        self.context.every(KEEP_IV_EVERY_S, self._keep_iv)
        self.context.every(REPORT_EVERY_S, lambda: self.context.report(self._body))

    # -- what it hears --

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self._read_index()

    def on_universe_changed(self, message: UniverseChanged) -> None:
        self._hot = message.hot
        self._follow()

    def on_feed_switched(self, message: FeedSwitched) -> None:
        self._ticks.follow(message.to_broker)

    def on_session_opened(self, _message: SessionOpened) -> None:
        self._in_session = True

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._keep_iv()
        self._in_session = False

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name == "subscription_desk":
            for wish in self._wanted.values():
                self.context.tell("subscription_desk", wish)

    def on_position_changed(self, message: PositionChanged) -> None:
        rows = message.book.open_positions + message.book.unmanaged
        held = tuple(sorted({(row.exchange, row.symbol) for row in rows if row.quantity}))
        if held != self._positions:
            self._positions = held
            self._pin_positions()

    def on_resolve_legs(self, message: ResolveLegs) -> None:
        now_ns, name = self.context.now_ns(), message.underlying
        if self._book is None:
            text = "the instrument master is not loaded yet"
            return self._answer(message, None, Refusal("NO_LIVE_CHAIN", text))
        self._price(name, seconds(self._price_every_s))
        found = resolve_legs(
            self._book.view(name, now_ns, self._stands_ns),
            message.legs,
            dte_min=message.dte_min,
            dte_max=message.dte_max,
            expiry=message.expiry,
        )
        for warning in found.warnings:
            self.context.log.warning("{}", warning)
        if found.missing:
            self._book.ask(name, found.missing)
            self._place(name)
        return self._answer(message, found.structure, found.refusal)

    def _on_ticks(self, batch: Batch) -> None:
        if self._book is None:
            return
        for name in self._book.hear(batch.columns):
            self._place(name)

    # -- chains --

    def _place(self, underlying: str) -> None:
        book, now_ns = self._book, self.context.now_ns()
        if book is None:
            return
        placed = book.place(underlying, now_ns)
        for key in placed.moved:
            anchor = book.anchor(key)
            shift = AtmShifted(
                underlying=key[0], expiry=key[1], atm_strike=anchor.strike, spot=anchor.price
            )
            self.context.announce(shift)
        for key in placed.gone:  # an empty batch says that nothing of it is subscribed any more
            self.context.publish(_topic(key), np.zeros(0, CHAIN_DTYPE), {})
        if placed.moved or placed.gone:
            self._counts["refreshes"] += 1
            self._want("chain_keeper", book.listing_ids(), pinned=False)

    def _place_all(self) -> None:
        for name in self._book.underlyings if self._book else ():
            self._place(name)

    def _price(self, underlying: str = "", holds_ns: int = 0) -> None:
        """Prices what is due, of all underlyings or of one, and tells it; see price_due."""
        book, now_ns = self._book, self.context.now_ns()
        if book is None:
            return
        for key in book.price_due(
            now_ns, self._carry, underlying, stands_ns=self._stands_ns, holds_ns=holds_ns
        ):
            chain, summary = book.chains[key], book.summaries[key]
            meta = {"spot": summary.spot, "forward": summary.forward, "as_of_ns": summary.as_of_ns}
            self.context.publish(_topic(key), chain.columns.copy(), meta)
            self.context.announce(ChainSummarised(summary=summary))
            self._counts["iv_updates"] += 1

    def _keep_iv(self) -> None:
        """One observation a day and underlying; the last of the day stays."""
        if self._book is None or not self._in_session:
            return
        day = exchange_time(self.context.now_ns()).date()
        for _, name in self.context.runtime.settings.underlyings:
            rows = [row for key, row in self._book.summaries.items() if key[0] == name]
            iv = constant_maturity_iv(
                [row.days_to_expiry for row in rows], [row.atm_iv for row in rows], IV_MATURITY_DAYS
            )
            if iv > 0:
                self.context.work(partial(self._store.write_iv, name, day, iv), _must_succeed)

    # -- who is who --

    def _read_index(self) -> None:
        self.context.work(lambda: read_index(self.context.runtime), self._indexed)

    def _indexed(self, index: Any) -> None:
        if isinstance(index, Exception):
            raise index
        if not len(index) or index.by_id == self._index.by_id:
            return  # every broker's session tells of the same master
        keys, old = self.context.runtime.settings, self._book
        manual = [index.find(*name) for name in keys.feed_option_symbols]
        self._index = index
        self._book = ChainBook(
            index,
            self.context.runtime.calendars[SEGMENT],
            self._rules,
            {},
            [row for row in manual if row],
        )
        if old:
            self._book.spots.update(old.spots)
        self._pin_positions()

    def _follow(self) -> None:
        """The operator's own list, what is hot, and what a position is held on."""
        if self._book is None:
            return
        own = [self._index.find(*name) for name in self.context.runtime.settings.underlyings]
        hot = [self._index.find(*name) for name in self._hot]
        options = [row for row in self._held.values() if row.kind in OPTION_KINDS]
        held = [self._index.underlying(row.name) for row in options]
        only = {row.listing_id for row in held if row and row not in (*own, *hot)}
        if only or HELD in self._wanted:
            self._want(HELD, tuple(sorted(only)), pinned=True)
        gone = self._book.follow({row.name: row for row in (*own, *hot, *held) if row})
        for key in gone:
            self.context.publish(_topic(key), np.zeros(0, CHAIN_DTYPE), {})
        if gone:
            self._want("chain_keeper", self._book.listing_ids(), pinned=False)
        self._book.hold(self._held.values())
        self._place_all()

    def _pin_positions(self) -> None:
        found = [self._index.find(*name) for name in self._positions]
        listings = [row for row in found if row]
        if self._book and listings != list(self._held.values()):
            self._held = {row.key: row for row in listings}
            self._want("positions", tuple(row.listing_id for row in listings), pinned=True)
        self._follow()

    def _want(self, owner: str, listing_ids: tuple[int, ...], *, pinned: bool) -> None:
        wish = WantListings(owner=owner, listing_ids=listing_ids, mode=MODE_DEPTH, pinned=pinned)
        if wish != self._wanted.get(owner):
            self._wanted[owner] = wish
            self.context.tell("subscription_desk", wish)

    # -- what it says --

    def _answer(self, asked: ResolveLegs, structure: Any, refusal: Refusal | None) -> None:
        answer = LegsResolved(request=asked.request, structure=structure, refusal=refusal)
        self._counts["resolved" if structure else "refused"] += 1
        self.context.tell(asked.reply_to, answer)

    def _body(self) -> dict[str, Any]:
        keys, book = self.context.runtime.settings, self._book
        chains = book.chains if book else {}
        expiries: dict[str, list[str]] = {}
        for name, day in sorted(chains):
            expiries.setdefault(name, []).append(format_expiry(day))
        sources = Counter[str]()
        for chain in chains.values():
            sources.update(chain.iv_sources)
        ids = book.listing_ids() if book else ()
        return {
            "vol_iv_updates": self._counts["iv_updates"],
            "legs_resolved": self._counts["resolved"],
            "legs_refused": self._counts["refused"],
            "option_symbol_mode": "manual" if keys.feed_option_symbols else "auto",
            "auto_option_refreshes": self._counts["refreshes"],
            "auto_option_subscriptions": len(ids),
            "auto_option_last_error": "" if book else "the instrument master is not loaded yet",
            "option_iv_fallback_enabled": keys.option_iv_fallback_enabled,
            "option_iv_from_feed": sources["feed"],
            "option_iv_from_synthetic": sources["synthetic"],
            "option_iv_missing": sources["missing"],
            "option_symbols": [self._index.by_id[listing_id].symbol for listing_id in ids],
            "option_expiry": {name: days[0] for name, days in expiries.items()},
            "option_expiries": expiries,
            "auto_option_refresh_inflight": [],
            "auto_option_refresh_sec": keys.option_auto_refresh_sec,
            "auto_option_strike_span": self._rules.each_side,
            "auto_option_expiry_count": keys.option_auto_expiry_count,
            "auto_option_strike_offsets": list(keys.option_auto_strike_offsets),
        }  # fmt: skip


def _topic(key: Key) -> str:
    return f"chain.{key[0]}.{format_expiry(key[1])}"


def _must_succeed(result: Any) -> None:
    if isinstance(result, Exception):
        raise result
