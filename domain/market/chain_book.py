"""All chains of all underlyings: which are kept, which strikes each has, and whose a tick is.

The chain keeper's memory between ticks. A chain is keyed by (underlying, expiry).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from domain.calendar import ExchangeCalendar
from domain.clock import exchange_time, seconds
from domain.freshness import last_true_ns, told_ns
from domain.instruments import InstrumentIndex, Listing
from domain.market.atm import (
    Anchor,
    has_moved,
    ladder,
    nearest_strike,
    strike_step,
    strikes_reached,
)
from domain.market.chains import DAYS_A_YEAR, Carry, OptionChain, price_chains
from domain.market.expiries import expiries_to_keep
from domain.market.resolution import SPOT_AGE_MAX_NS, MarketView
from domain.market.sessions import expires_ns, last_entry_ns
from domain.readings import ChainSummary

VOLATILITY_GUESS = 0.15  # to size a ladder before its chain has told its own

Key = tuple[str, date]


@dataclass(frozen=True, slots=True)
class LadderRules:
    """How wide ladders are and when they move; `bands` are [least, most] days to expiry. The list
    of expiries is read from the master again after `expiries_kept_s`."""

    each_side: int
    each_side_max: int
    recenter_steps: float
    refresh_s: float
    expiry_count: int
    bands: tuple[tuple[int, int], ...]
    deep_offset: str = "ITM1"
    expiries_kept_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Spot:
    """Last price of an underlying and when it was true by its source."""

    price: float
    true_ns: int


@dataclass(frozen=True, slots=True)
class Placed:
    """Chains whose strikes moved, and chains that are kept no more."""

    moved: tuple[Key, ...] = ()
    gone: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class _Settled:
    """While the price lies in (low, high) and the time before `until_ns`, no ladder moves."""

    low: float
    high: float
    until_ns: int

    def holds(self, price: float, now_ns: int) -> bool:
        return self.low < price < self.high and now_ns < self.until_ns


class ChainBook:
    """Chains, spots and the routing of ticks to rows, for the underlyings it was made for."""

    def __init__(
        self,
        index: InstrumentIndex,
        calendar: ExchangeCalendar,
        rules: LadderRules,
        underlyings: Mapping[str, Listing],
        manual: Iterable[Listing] = (),
    ) -> None:
        self._index, self._calendar, self._rules = index, calendar, rules
        self._underlyings = dict(underlyings)
        self._manual = list(manual)
        self._names = {row.listing_id: name for name, row in underlyings.items()}
        self.chains: dict[Key, OptionChain] = {}
        self.spots: dict[str, Spot] = {}
        self.summaries: dict[Key, ChainSummary] = {}
        self._anchors: dict[Key, Anchor] = {}
        self._tolerances: dict[Key, float] = {}
        self._settled: dict[str, _Settled] = {}
        self._listed: dict[str, tuple[date, int, list[date]]] = {}
        self._asked: set[Key] = set()
        self._held: dict[Key, list[Listing]] = {}
        self._ordered: list[OptionChain] = []
        self._chain_of = np.full(1, -1, np.int32)
        self._row_of = np.zeros(1, np.int64)

    # -- what is kept --

    @property
    def underlyings(self) -> tuple[str, ...]:
        """Whose chains are kept."""
        return tuple(self._underlyings)

    def follow(self, underlyings: Mapping[str, Listing]) -> tuple[Key, ...]:
        """From now on chains of exactly these are kept; returns those that are kept no more."""
        if underlyings == self._underlyings:
            return ()
        gone = tuple(key for key in self.chains if key[0] not in underlyings)
        for key in gone:
            self._drop(key)
        self._underlyings = dict(underlyings)
        self._names = {row.listing_id: name for name, row in underlyings.items()}
        if gone:
            self._route()
        return gone

    def hold(self, listings: Iterable[Listing]) -> None:
        """Options of open positions: their chains and strikes stay whatever the price does."""
        self._held = {}
        self._settled.clear()
        for row in listings:
            if row.expiry and row.name in self._underlyings:
                self._held.setdefault((row.name, row.expiry), []).append(row)

    def ask(self, underlying: str, expiry: date) -> None:
        """Keeps one more expiry, because legs on it are wanted."""
        self._asked.add((underlying, expiry))
        self._settled.pop(underlying, None)

    def tradable(self, underlying: str, now_ns: int) -> list[date]:
        """Listed expiries that a new entry may still use, ascending."""
        listed = self._expiries(underlying, now_ns)
        return [day for day in listed if last_entry_ns(self._calendar, day) > now_ns]

    def place(self, underlying: str, now_ns: int) -> Placed:
        """Finds chains and ladders anew where due; cheap while the price stays in its band."""
        spot, settled = self.spots.get(underlying), self._settled.get(underlying)
        if spot is None or (settled and settled.holds(spot.price, now_ns)):
            return Placed()
        wanted = self._wanted(underlying, now_ns)
        gone = [key for key in self.chains if key[0] == underlying and key not in wanted]
        for key in gone:
            self._drop(key)
        moved = [key for key in wanted if self._place_one(key, spot.price, now_ns)]
        self._settle(underlying, now_ns)
        if gone or moved:
            self._route()
        return Placed(tuple(moved), tuple(gone))

    def anchor(self, key: Key) -> Anchor:
        """Where a chain's ladder stands."""
        return self._anchors[key]

    def listing_ids(self) -> tuple[int, ...]:
        """Every option in a chain, front expiries first."""
        ordered = sorted(self.chains.items(), key=lambda item: item[0][1])
        return tuple(int(i) for _, chain in ordered for i in chain.columns["listing"])

    # -- ticks and prices --

    def hear(self, ticks: np.ndarray) -> list[str]:
        """Takes a TICK_DTYPE batch; returns the underlyings whose own price came with it, in the
        order in which they are followed: what is done for them is done the same in every run."""
        ids = ticks["listing"]
        inside = ids < len(self._chain_of)
        chain_of = np.where(inside, self._chain_of[np.where(inside, ids, 0)], -1)
        for number in np.unique(chain_of[chain_of >= 0]).tolist():
            mine = chain_of == number
            self._ordered[number].hear(self._row_of[ids[mine]], ticks[mine])
        told: dict[str, None] = {}
        for listing_id, name in self._names.items():
            rows = ticks[(ids == listing_id) & (ticks["ltp"] > 0)]
            if len(rows):
                self.spots[name] = Spot(float(rows["ltp"][-1]), int(told_ns(rows)[-1]))
                told[name] = None
        return list(told)

    def price_due(
        self,
        now_ns: int,
        carry: Carry,
        underlying: str = "",
        *,
        stands_ns: int = 0,
        holds_ns: int = 0,
    ) -> list[Key]:
        """Prices the chains that heard a tick since; by a spot older than five seconds, none. What
        was priced less than `holds_ns` ago holds."""
        due: dict[Key, float] = {}
        for key, chain in self.chains.items():
            spot = self.spots.get(key[0])
            asked = chain.dirty and underlying in ("", key[0])
            held = 0 <= now_ns - chain.priced_ns < holds_ns
            if asked and not held and spot and now_ns - spot.true_ns <= SPOT_AGE_MAX_NS:
                due[key] = spot.price
        pairs = [(self.chains[key], price) for key, price in due.items()]
        summaries = zip(due, price_chains(pairs, now_ns, carry, stands_ns), strict=True)
        found = {key: summary for key, summary in summaries if summary}
        self.summaries |= found
        return list(found)

    def view(self, underlying: str, now_ns: int, stands_ns: int = 0) -> MarketView:
        """What legs on this underlying are resolved against; a price stands for `stands_ns`."""
        spot = self.spots.get(underlying, Spot(float("nan"), 0))
        chains = {key[1]: chain for key, chain in self.chains.items() if key[0] == underlying}
        return MarketView(
            underlying=underlying,
            spot=spot.price,
            spot_ns=last_true_ns(spot.true_ns, now_ns, stands_ns),
            now_ns=now_ns,
            today=exchange_time(now_ns).date(),
            listed=self.tradable(underlying, now_ns),
            chains={day: chain.columns for day, chain in chains.items()},
            listings={
                int(i): self._index.by_id[int(i)]
                for chain in chains.values()
                for i in chain.columns["listing"]
            },
            days={day: chain.days_to_expiry(now_ns) for day, chain in chains.items()},
            deep_offset=self._rules.deep_offset,
        )

    # -- the steps of placing --

    def _expiries(self, underlying: str, now_ns: int) -> list[date]:
        """Listed from today on; the master is asked again on another day, or after a while."""
        today = exchange_time(now_ns).date()
        day, until_ns, listed = self._listed.get(underlying, (date.min, 0, []))
        if day != today or now_ns >= until_ns:
            listed = self._index.expiries(underlying, today)
            until_ns = now_ns + seconds(self._rules.expiries_kept_s)
            self._listed[underlying] = (today, until_ns, listed)
        return listed

    def _wanted(self, underlying: str, now_ns: int) -> list[Key]:
        today = exchange_time(now_ns).date()
        held = {day for name, day in self._held.keys() | self._asked if name == underlying}
        listed = self._expiries(underlying, now_ns)
        if self._manual:
            chosen = {row.expiry for row in self._manual if row.name == underlying} | held
            return [(underlying, day) for day in listed if day in chosen]
        tradable = self.tradable(underlying, now_ns)
        kept = expiries_to_keep(
            tradable, today, count=self._rules.expiry_count, bands=self._rules.bands, held=held
        )
        return [(underlying, day) for day in listed if day in kept or day in held]

    def _place_one(self, key: Key, price: float, now_ns: int) -> bool:
        underlying, expiry = key
        rules, listed = self._rules, self._index.chain(underlying, expiry)
        strikes = np.unique([float(row.strike) for row in listed])
        step, anchor = strike_step(strikes.tolist(), price), self._anchors.get(key)
        is_moved = has_moved(
            anchor, price, now_ns,
            step=step, recenter_steps=rules.recenter_steps, refresh_s=rules.refresh_s,
        )  # fmt: skip
        self._tolerances[key] = max(step, step * rules.recenter_steps)
        held = {row.listing_id for row in self._held.get(key, ())}
        chain = self.chains.get(key)
        known = set(chain.columns["listing"].tolist()) if chain else set()
        if not len(strikes) or not (is_moved or held - known):
            return False
        if chain is None:
            ends_ns = expires_ns(self._calendar, expiry)
            chain = self.chains[key] = OptionChain(underlying, expiry, ends_ns)
        each_side = self._each_side(key, price, step, chain.days_to_expiry(now_ns))
        near = set(ladder(strikes, price, each_side).tolist())
        manual = {row.listing_id for row in self._manual}
        tracked = [
            row
            for row in listed
            if row.listing_id in held
            or (row.listing_id in manual if manual else float(row.strike) in near)
        ]
        atm = float(strikes[nearest_strike(strikes, price)])
        self._anchors[key] = Anchor(atm, price, now_ns)
        if {row.listing_id for row in tracked} != known:
            chain.track(tracked)
            return True
        return anchor is None or anchor.strike != atm

    def _settle(self, underlying: str, now_ns: int) -> None:
        bands = [
            (anchor, self._tolerances[key])
            for key, anchor in self._anchors.items()
            if key[0] == underlying
        ]
        self._settled[underlying] = _Settled(
            low=max((anchor.price - width for anchor, width in bands), default=float("inf")),
            high=min((anchor.price + width for anchor, width in bands), default=float("-inf")),
            until_ns=now_ns + seconds(self._rules.refresh_s),
        )

    def _each_side(self, key: Key, price: float, step: float, days: float) -> int:
        summary = self.summaries.get(key)
        volatility = summary.atm_iv if summary and summary.atm_iv > 0 else VOLATILITY_GUESS
        reach = strikes_reached(price, step, days / DAYS_A_YEAR, volatility)
        return min(max(self._rules.each_side, reach), self._rules.each_side_max)

    def _drop(self, key: Key) -> None:
        del self.chains[key]
        self._anchors.pop(key, None)
        self.summaries.pop(key, None)

    def _route(self) -> None:
        self._ordered = list(self.chains.values())
        last = max(
            (int(c.columns["listing"].max()) for c in self._ordered if len(c.columns)), default=0
        )
        self._chain_of = np.full(last + 1, -1, np.int32)
        self._row_of = np.zeros(last + 1, np.int64)
        for number, chain in enumerate(self._ordered):
            self._chain_of[chain.columns["listing"]] = number
            self._row_of[chain.columns["listing"]] = np.arange(len(chain.columns))
