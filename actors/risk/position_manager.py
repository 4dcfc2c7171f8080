"""Watches open structures and proposes their exits (`tomic.md` 12.4).

Hears StructureOpened, the book, chains on the bus, the session and what became of its closes. Tells
CloseStructure to execution, one outstanding a structure, and ShortBreached. What a watch must not
forget (its trail, its best price, its count of closes) is a row of `latches`; a structure it never
heard open is found in the book, and the levels of a directional entry in the row of its order. A
long single option goes by its virtual guard (8.10).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from actors.actor import Actor, Context
from actors.risk.long_guard import LegQuote, LongGuard
from actors.risk.watch_rows import PREFIX, WatchRows
from adapters.tick_bus import Batch
from domain.clock import NS_PER_S, exchange_time, seconds
from domain.instruments import OPTION_KINDS, Kind, parse_expiry
from domain.intents import Signal
from domain.positions import BookSnapshot, Position
from domain.risk.exits import (
    EXIT_REASONS,
    Deadlines,
    Levels,
    Trail,
    bars_since,
    breached_shorts,
    check_levels,
    check_time,
    closing_cost,
    decide_exit,
    delta_warning,
    entry_credit,
    levels_of,
    sessions_to_delivery,
)
from messages.codec import from_plain
from messages.market import SessionOpened
from messages.trading import (
    CloseStructure,
    CommandEnded,
    PositionChanged,
    ShortBreached,
    StructureClosed,
    StructureOpened,
)
from persistence.commands import CommandStore
from persistence.database import open_engine
from persistence.latches import Latch

EXECUTION = "execution_agent"


@dataclass(frozen=True)
class ManagerSettings:
    """Seconds. A short may rest three bars after its hedge stands (`tomic.md` 8.6), so only older
    legs of nobody's watch are an open structure."""

    decide_every_s: float = 1.0
    clock_every_s: float = 5.0
    quote_max_age_s: float = 10.0
    adopt_after_s: float = 240.0
    unpriced_alert_s: float = 60.0
    repeat_close_s: float = 10.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"{name} must be greater than 0, not {value}")


@dataclass
class Watch:
    """One structure under watch. `closing` is the word of the close on its way, "" while none
    is."""

    strategy_id: str
    trail: Trail = field(default_factory=Trail)
    closes: int = 0
    closing: str = ""
    told_ns: int = 0
    decided_ns: int = 0
    priced_ns: int = 0
    warned: str = ""
    levels: Levels | None = None
    high: float = 0.0

    def body(self) -> dict[str, Any]:
        """What its row keeps."""
        trail = {"armed": self.trail.armed, "peak": self.trail.peak}
        kept = {"closes": self.closes, "closing": self.closing, "high": self.high}
        return {"trail": trail} | kept


class PositionManager(Actor):
    """Every structure in the book is watched; one without a price for a minute is told of."""

    SETTINGS = ManagerSettings
    settings: ManagerSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._watches: dict[str, Watch] = {}
        self._legs: dict[str, tuple[Position, ...]] = {}
        self._quotes: dict[str, LegQuote] = {}
        self._session: SessionOpened | None = None
        self._book_heard = False

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url, prompt=True)
        self._guard = LongGuard(self.context)
        self._rows = WatchRows(self.context)
        for strategy_id, row in self._rows.read().items():
            body = dict(row.body or {})
            watch = Watch(strategy_id, Trail(**body["trail"]), body["closes"])
            watch.closing, watch.priced_ns = body["closing"], self.context.now_ns()
            watch.high = body.get("high", 0.0)
            watch.levels = self._levels_of(watch.strategy_id)
            self._watches[watch.strategy_id] = watch
        self.context.subscribe("chain.", self._on_chain)
        self.context.every(self.settings.clock_every_s, self._on_clock)

    def on_session_opened(self, message: SessionOpened) -> None:
        self._session = message
        self._on_clock()

    def on_structure_opened(self, message: StructureOpened) -> None:
        self._register(message.intent.strategy_id)

    def on_position_changed(self, message: PositionChanged) -> None:
        self._legs, self._book_heard = _by_strategy(message.book), True
        keys = {leg.key for legs in self._legs.values() for leg in legs}
        self._quotes = {key: quote for key, quote in self._quotes.items() if key in keys}
        adopt_ns = self.context.now_ns() - seconds(self.settings.adopt_after_s)
        for strategy_id, legs in self._legs.items():
            if strategy_id not in self._watches and max(row.entry_ns for row in legs) < adopt_ns:
                self._register(strategy_id)

    def on_structure_closed(self, message: StructureClosed) -> None:
        self._drop(message.strategy_id)
        self.context.report(self._body)

    def on_command_ended(self, message: CommandEnded) -> None:
        """A close that ended while legs are left is proposed again under the next number."""
        watch = self._watches.get(message.strategy_id)
        if watch and message.is_exit and watch.closing and message.status == "DONE":
            number = watch.closes
            # The book's word that it is flat may still be on its way.
            wait_s = self.settings.repeat_close_s
            self.context.after(wait_s, lambda: self._free(message.strategy_id, number))
            return
        if (
            watch
            and message.is_exit
            and watch.closing
            and message.status in ("FAILED", "DEAD_LETTER")
        ):
            watch.closing = ""
            self._remember(watch)
            self.context.alert(
                "CRITICAL", f"Closing {watch.strategy_id} failed", f"close:{watch.strategy_id}"
            )

    # -- prices and clock --

    def _on_chain(self, batch: Batch) -> None:
        _, underlying, expiry_word = batch.topic.split(".", 2)
        expiry = parse_expiry(expiry_word)
        now_ns = self.context.now_ns()
        self._guard.heard(batch.columns)
        for strategy_id in list(self._watches):
            legs = [
                leg
                for leg in self._legs.get(strategy_id, ())
                if leg.underlying == underlying and leg.expiry == expiry
            ]
            for leg in legs:
                self._read_quote(leg, batch, now_ns)
            if legs:
                spot = float(batch.meta.get("spot", 0.0))
                self._decide(self._watches[strategy_id], now_ns, spot)

    def _read_quote(self, leg: Position, batch: Batch, now_ns: int) -> None:
        rows = batch.columns
        mine = (rows["strike"] == float(leg.strike)) & (rows["is_call"] == (leg.kind == Kind.CALL))
        found = rows[mine]
        if len(found):
            row = found[0]
            bid, ask, delta, last = (float(row[name]) for name in ("bid", "ask", "delta", "ltp"))
            self._quotes[leg.key] = LegQuote(bid, ask, delta, now_ns, last, int(row["ts_ns"]))

    def _decide(self, watch: Watch, now_ns: int, spot: float) -> None:
        if now_ns - watch.decided_ns < seconds(self.settings.decide_every_s) or watch.closing:
            return
        watch.decided_ns = now_ns
        legs = self._legs[watch.strategy_id]
        at_level = check_levels(watch.levels, spot)
        if self._guard.guards(legs):
            self._decide_guarded(watch, legs[0], at_level, now_ns)
            return
        fresh = self._fresh_quotes(legs, now_ns)
        cost = None
        if len(fresh) == len(legs):
            cost = closing_cost(legs, {key: (row.bid, row.ask) for key, row in fresh.items()})
        if cost is not None:
            watch.priced_ns = now_ns
        deltas = {key: row.delta for key, row in fresh.items()}
        decision = decide_exit(legs, cost, deltas, watch.trail, at_level)
        before, watch.trail = watch.trail, decision.trail
        if (before.armed, before.peak) != (watch.trail.armed, watch.trail.peak):
            self._remember(watch)
        self._warn_of_delta(watch, delta_warning(legs, deltas))
        if decision.action == "ADJUST_DELTA":
            symbols = breached_shorts(legs, deltas)
            self.context.announce(ShortBreached(strategy_id=watch.strategy_id, symbols=symbols))
        if decision.action in EXIT_REASONS:
            self._close(watch, EXIT_REASONS[decision.action], decision.reason)

    def _decide_guarded(
        self, watch: Watch, leg: Position, at_level: tuple[str, str] | None, now_ns: int
    ) -> None:
        """By the option's own last price, at once; a new best price is on disk before it counts."""
        quote, watch.priced_ns = self._quotes.get(leg.key), now_ns
        best = self._guard.best(leg, quote, watch.high)
        if best > watch.high:
            watch.high = best
            self._remember(watch)
        verdict = self._guard.price_verdict(leg, quote, watch.high)
        if verdict:
            text = f"{verdict.code}, {leg.symbol}: {verdict.reason}"
            self._close(watch, EXIT_REASONS[verdict.action], text)
            return
        decision = decide_exit((leg,), None, {}, watch.trail, at_level)
        watch.trail = decision.trail if at_level else Trail()
        if decision.action in EXIT_REASONS:
            self._close(watch, EXIT_REASONS[decision.action], decision.reason)

    def _look_for_silence(self, watch: Watch, legs: tuple[Position, ...], now_ns: int) -> None:
        name = watch.strategy_id
        if not self._guard.guards(legs):
            if now_ns - watch.priced_ns > seconds(self.settings.unpriced_alert_s):
                text = f"{name} has no executable price: profit and stop are blind"
                self.context.alert("RISK", text, f"unpriced:{name}")
            return
        assert self._session
        quote, opens_ns = self._quotes.get(legs[0].key), self._session.opens_ns
        verdict = self._guard.silence_verdict(legs[0], quote, opens_ns)
        if verdict is None:
            return
        text = f"{verdict.code}, {legs[0].symbol}: {verdict.reason}"
        if verdict.action in EXIT_REASONS:
            self._close(watch, EXIT_REASONS[verdict.action], text)
        else:
            self.context.alert("RISK", text, f"blind:{name}")

    def _fresh_quotes(self, legs: Iterable[Position], now_ns: int) -> dict[str, LegQuote]:
        oldest_ns = now_ns - seconds(self.settings.quote_max_age_s)
        quotes = ((leg.key, self._quotes.get(leg.key)) for leg in legs)
        return {key: quote for key, quote in quotes if quote and quote.at_ns >= oldest_ns}

    def _on_clock(self) -> None:
        now_ns = self.context.now_ns()
        for watch in list(self._watches.values()):
            legs = self._legs.get(watch.strategy_id)
            if not legs:
                unheld_ns = now_ns - watch.priced_ns
                if self._book_heard and unheld_ns > seconds(self.settings.adopt_after_s):
                    self._drop(watch.strategy_id)
                continue
            if watch.closing:
                self._repeat(watch, now_ns)
                continue
            reason = self._time_is_up(watch, legs, now_ns)
            if reason:
                self._close(watch, EXIT_REASONS["CLOSE_TIME"], reason)
            elif self._in_session(now_ns):
                self._look_for_silence(watch, legs, now_ns)
        self.context.report(self._body)

    def _in_session(self, now_ns: int) -> bool:
        session = self._session
        return session is not None and session.opens_ns <= now_ns < session.closes_ns

    def _time_is_up(self, watch: Watch, legs: tuple[Position, ...], now_ns: int) -> str:
        session = self._session
        if session is None or not self._in_session(now_ns):
            return ""
        today = exchange_time(now_ns).date()
        # A session that never closes has no hours to leave by.
        hours = (0, 0) if session.always_open else (session.intraday_exit_ns, session.square_off_ns)
        calendar = self.context.runtime.calendars.get(legs[0].exchange)
        expiries = [leg.expiry for leg in legs if leg.expiry and leg.kind in OPTION_KINDS]
        name, left, held = legs[0].underlying, None, None
        if expiries:
            left = sessions_to_delivery(name, min(expiries), today, calendar)
        if watch.levels:
            entered = exchange_time(min(leg.entry_ns for leg in legs)).date()
            held = bars_since(entered, today, calendar)
        return check_time(legs, Deadlines(today, *hours), now_ns, left, held)

    # -- closes --

    def _close(self, watch: Watch, word: str, reason: str) -> None:
        watch.closes += 1
        watch.closing = word
        self._remember(watch)
        self._tell_close(watch)
        text = f"{watch.strategy_id} is closed ({word}): {reason}"
        self.context.alert("SIGNAL", text, f"close:{watch.strategy_id}:{watch.closes}")
        self.context.report(self._body)

    def _repeat(self, watch: Watch, now_ns: int) -> None:
        """The same key again: execution finds its first row, or takes it if it never heard."""
        if now_ns - watch.told_ns >= seconds(self.settings.repeat_close_s):
            self._tell_close(watch)

    def _tell_close(self, watch: Watch) -> None:
        watch.told_ns = self.context.now_ns()
        close = CloseStructure(
            strategy_id=watch.strategy_id,
            reason=watch.closing,
            key=f"{watch.strategy_id}:close:{watch.closes}",
            by=self.context.name,
            force=watch.closing == EXIT_REASONS["CLOSE_BLIND"],  # no price to be patient with
        )
        self.context.tell(EXECUTION, close)

    def _free(self, strategy_id: str, number: int) -> None:
        watch = self._watches.get(strategy_id)
        if watch and watch.closes == number and self._legs.get(strategy_id):
            watch.closing = ""
            self._remember(watch)

    def _warn_of_delta(self, watch: Watch, warning: str) -> None:
        if warning and not watch.warned:
            self.context.alert(
                "RISK", f"{watch.strategy_id}: {warning}", f"delta:{watch.strategy_id}"
            )
        watch.warned = warning

    def _drop(self, strategy_id: str) -> None:
        """It is flat; after a restart the book may be the only one who knows."""
        if self._watches.pop(strategy_id, None):
            self._rows.put(strategy_id, None)

    def _register(self, strategy_id: str) -> None:
        if strategy_id not in self._watches:
            watch = Watch(strategy_id, priced_ns=self.context.now_ns())
            watch.levels = self._levels_of(strategy_id)
            self._watches[strategy_id] = watch
            self._remember(watch)
            self.context.report(self._body)

    def _levels_of(self, strategy_id: str) -> Levels | None:
        """Stop and target on the underlying, from the row of its entry."""
        for row in CommandStore(self._engine).commands_of(strategy_id):
            if not row.is_exit:
                return levels_of(from_plain(Signal, json.loads(row.payload)["signal"]))
        return None

    def _remember(self, watch: Watch) -> None:
        now_ns = self.context.now_ns()
        day = exchange_time(now_ns).date().isoformat()
        name = PREFIX + watch.strategy_id
        row = Latch(name, bool(watch.closing), day, watch.closing, now_ns, now_ns, watch.body())
        self._rows.put(watch.strategy_id, row)

    def _body(self) -> dict[str, Any]:
        watched = {key: self._legs.get(key) for key in self._watches}
        return {key: self._shown(key, legs) for key, legs in watched.items() if legs}

    def _shown(self, strategy_id: str, legs: tuple[Position, ...]) -> dict[str, Any]:
        watch, guard = self._watches[strategy_id], None
        if self._guard.guards(legs):
            guard = self._guard.view(legs[0], self._quotes.get(legs[0].key), watch.high)
        return {
            "instrument": legs[0].underlying,
            "entry_credit": round(entry_credit(legs), 2),
            "trail_stop_activated": guard["trailing"] if guard else watch.trail.armed,
            "underlying_stop": watch.levels.stop if watch.levels else 0.0,
            "underlying_target": watch.levels.target if watch.levels else 0.0,
            "peak_profit_pct": round(watch.trail.peak * 100, 1),
            "quantity": legs[0].quantity,
            "closing": watch.closing,
            "unpriced_s": round((self.context.now_ns() - watch.priced_ns) / NS_PER_S, 1),
            "virtual_guard": guard,
        }


def _by_strategy(book: BookSnapshot) -> dict[str, tuple[Position, ...]]:
    """Open rows of our own structures."""
    groups: dict[str, list[Position]] = {}
    for row in book.open_positions:
        if row.strategy_id:
            groups.setdefault(row.strategy_id, []).append(row)
    return {key: tuple(rows) for key, rows in groups.items()}
