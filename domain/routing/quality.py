"""The quality snapshot (`tomic.md` 13.4): what was seen, what was routed, why nothing happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from domain.clock import NS_PER_S, exchange_time, iso_utc, zone_named
from domain.intents import Refusal, RouteDecision, Signal
from domain.positions import BookSnapshot
from domain.readings import Regime
from domain.routing.conflicts import (
    ACCEPT,
    DEFER,
    REJECT,
    SNIPER,
    VOLATILITY,
    decision_row,
    priority_of,
)
from domain.routing.cycle import Guards, dedupe_key

REASONS_MAX = 12
READY_BARS = 30
TOP_MAX = 5
DECISIONS_MAX = 20
CLOSED_ALWAYS = ("weekend", "before the open", "after the close")


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What one cycle brought; of a dry scan the enqueued are those that would have gone on."""

    source: str = "loop"
    signals: tuple[Signal, ...] = ()
    notes: tuple[Refusal, ...] = ()
    accepted: tuple[Signal, ...] = ()
    decisions: tuple[RouteDecision, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    enqueued: tuple[Signal, ...] = ()
    held: tuple[tuple[Signal, Refusal], ...] = ()
    faults: tuple[str, ...] = ()

    def with_answer(
        self, signals: Sequence[Signal], notes: Sequence[Refusal], inputs: Mapping[str, Any]
    ) -> CycleResult:
        """The same with one more agent's opinions."""
        return replace(
            self,
            signals=(*self.signals, *signals),
            notes=(*self.notes, *notes),
            inputs={**self.inputs, **inputs},
        )

    def with_routing(
        self,
        accepted: Sequence[Signal],
        decisions: Sequence[RouteDecision],
        diagnostics: Mapping[str, Any],
    ) -> CycleResult:
        """The same with the router's answer."""
        return replace(
            self,
            accepted=tuple(accepted),
            decisions=tuple(decisions),
            diagnostics=diagnostics,
        )

    def with_fault(self, text: str) -> CycleResult:
        """The same with one more fault."""
        return replace(self, faults=(*self.faults, text))


@dataclass(frozen=True, slots=True)
class FeedView:
    """State of the canonical feed; `listings` is -1 until it told."""

    broker: str = ""
    state: str = "unknown"
    reason: str = ""
    listings: int = -1
    connected: int = 0
    last_message_ns: int = 0
    quotes: int = 0
    gate_open: bool = False
    gate_reason: str = ""

    def with_marks(self, quotes: int, gate_open: bool, gate_reason: str) -> FeedView:
        """The same with what the freshness keeper last said."""
        return replace(self, quotes=quotes, gate_open=gate_open, gate_reason=gate_reason)


@dataclass(frozen=True, slots=True)
class LoopView:
    """The last that the loop heard of market, book and feed."""

    regime: Regime = field(default_factory=Regime)
    book: BookSnapshot = field(default_factory=BookSnapshot)
    feed: FeedView = field(default_factory=FeedView)

    @property
    def open_tags(self) -> frozenset[str]:
        """Strategy tags with an open position."""
        return frozenset(row.strategy_tag for row in self.book.open_positions)

    @property
    def position_count(self) -> int:
        """Open strategies, not legs."""
        return len({row.strategy_id for row in self.book.open_positions})


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """Figures of the loop itself, for the status page."""

    interval_s: float
    cooldown_s: float
    cycles: int = 0
    last_cycle_ns: int = 0
    last_enqueued: int = 0
    last_skips: int = 0
    last_error: str = ""
    fencing_number: int = 0


def loop_status(guards: Guards, figures: LoopFigures) -> dict[str, Any]:
    """The `signal_loop` part of `/tomic/status` (`tomic.md` 13.2), JSON-ready."""
    last_ns = figures.last_cycle_ns
    return {
        "enabled": guards.limits.enabled,
        "running": not guards.scan_holds(),
        "interval_s": figures.interval_s,
        "enqueue_cooldown_s": figures.cooldown_s,
        "cycles": figures.cycles,
        "last_cycle_at": iso_utc(last_ns) if last_ns else "",
        "last_cycle_age_s": round((guards.now_ns - last_ns) / NS_PER_S, 1) if last_ns else -1,
        "last_enqueued": figures.last_enqueued,
        "last_dedupe_skips": figures.last_skips,
        "last_error": figures.last_error,
        "lease_held": guards.lease_held,
        "fencing_number": figures.fencing_number,
    }


def quality_snapshot(result: CycleResult, guards: Guards, view: LoopView) -> dict[str, Any]:
    """All keys of 13.4 but `risk`, JSON-ready: risk tells its own part itself. `cached` is False:
    who hands out an older one says so.
    """
    now_ns = guards.now_ns
    readiness = list(result.inputs.get("volatility_readiness", ()))
    return {
        "generated_at": iso_utc(now_ns),
        "timestamp_epoch": now_ns / NS_PER_S,
        "runtime_started": guards.started_ns > 0,
        "source": result.source,
        "cached": False,
        "cached_age_s": 0,
        "startup_guard": _startup_guard(guards),
        "market_session": _market_session(guards),
        "regime": _regime(view.regime, now_ns),
        "feed": _feed(view.feed, now_ns),
        "coverage": {
            "sniper_instruments": result.inputs.get("sniper_instruments", 0),
            "vol_price_underlyings": result.inputs.get("vol_price_underlyings", 0),
            "vol_iv_underlyings": result.inputs.get("vol_iv_underlyings", 0),
            "open_positions": view.position_count,
        },
        "router": dict(result.diagnostics),
        "agent_inputs": {
            "sniper_readiness": list(result.inputs.get("sniper_readiness", ())),
            "volatility_readiness": readiness,
            "volatility_snapshots": list(result.inputs.get("volatility_snapshots", ())),
        },
        "diagnostics": {
            "no_action_reasons": no_action_reasons(result, guards, view.feed),
            "holds": [_refusal_row(hold) for hold in guards.entry_holds()],
            "notes": [_refusal_row(note) for note in result.notes],
        },
        "signals": _signals(result, view.regime),
    }


def no_action_reasons(result: CycleResult, guards: Guards, feed: FeedView) -> list[str]:
    """At most 12 sentences: guards, session, feed, inputs, signals, router, in this order."""
    holds = guards.entry_holds()
    session_codes = ("MARKET_CLOSED", "OPENING_BLOCK")
    reasons = [hold.text for hold in holds if hold.code not in session_codes]
    reasons += [hold.text for hold in holds if hold.code in session_codes]
    reasons += list(result.faults)
    reasons += _feed_reasons(feed)
    for row in result.inputs.get("sniper_readiness", ()):
        if not row["ready_30"]:
            text = f"{row['bars']} of {READY_BARS} daily bars for patterns"
            reasons.append(f"{row['instrument']}: {text}")
    for row in result.inputs.get("volatility_readiness", ()):
        if not row["hv_ready_31"]:
            reasons.append(
                f"{row['underlying']}: {row['price_bars']} of 31 daily closes for volatility"
            )
        if not row["has_iv"]:
            reasons.append(f"{row['underlying']}: no implied volatility yet from its option chain")
    if not result.signals:
        reasons.append("no signal in this cycle")
        reasons += [note.text for note in result.notes]
    blocked = Counter(row.reason for row in result.decisions if row.action != ACCEPT)
    reasons += [f"router: {reason} (x{count})" for reason, count in sorted(blocked.items())]
    holds_of_signals = [refusal.text for _, refusal in result.held if refusal not in holds]
    reasons += [f"held: {text}" for text in holds_of_signals]
    return list(dict.fromkeys(reasons))[:REASONS_MAX]


def _startup_guard(guards: Guards) -> dict[str, Any]:
    return {
        "grace_s": guards.limits.grace_s,
        "elapsed_s": round(guards.elapsed_s, 1),
        "require_live_tick_after_start": guards.limits.require_live_tick,
        "live_tick_since_start": guards.has_live_tick,
        "runtime_started_at": iso_utc(guards.started_ns) if guards.started_ns else "",
    }


def _market_session(guards: Guards) -> dict[str, Any]:
    session, zone = guards.session, zone_named(guards.limits.zone_name)
    now, *hours = (
        exchange_time(at_ns).astimezone(zone)
        for at_ns in (guards.now_ns, session.opens_ns, session.closes_ns)
    )
    window = "-".join(f"{at:%H:%M}" for at in hours) if session.closes_ns else ""
    is_holiday = not session.is_open and session.reason not in CLOSED_ALWAYS
    return {
        "enforced": guards.limits.enforce_hours,
        "open": session.is_open,
        "reason": "" if session.is_open else session.reason,
        "offhours_scan_override": guards.limits.allow_offhours_scan,
        "tz": str(zone),
        "now": now.isoformat(timespec="seconds"),
        "weekday": f"{now:%A}",
        "window": window,
        "holiday": session.reason if is_holiday else "",
    }


def _regime(regime: Regime, now_ns: int) -> dict[str, Any]:
    return {
        "phase": regime.phase.value,
        "score": regime.score,
        "vix": regime.vix,
        "vix_flags": [flag.value for flag in regime.vix_flags],
        "version": regime.version,
        "timeframe": regime.timeframe,
        "age_s": round((now_ns - regime.as_of_ns) / NS_PER_S, 1) if regime.as_of_ns else None,
    }


def _feed(feed: FeedView, now_ns: int) -> dict[str, Any]:
    age_s = round((now_ns - feed.last_message_ns) / NS_PER_S, 1) if feed.last_message_ns else -1
    return {
        "ws": {
            "broker": feed.broker,
            "state": feed.state,
            "reason": feed.reason,
            "connected": feed.connected > 0,
            "subscribed_symbols": max(0, feed.listings),
            "last_message_age_s": age_s,
        },
        "bridge": {
            "quotes": feed.quotes,
            "entry_gate_open": feed.gate_open,
            "entry_gate_reason": feed.gate_reason,
        },
    }


def _feed_reasons(feed: FeedView) -> list[str]:
    reasons = []
    if feed.state != "live":
        why = f": {feed.reason}" if feed.reason else ""
        reasons.append(f"the feed of {feed.broker or 'no broker'} is {feed.state}{why}")
    if feed.listings == 0:
        reasons.append("the feed carries no subscription")
    if not feed.gate_open and feed.gate_reason:
        reasons.append(f"the entry gate is shut: {feed.gate_reason}")
    return reasons


def _signals(result: CycleResult, regime: Regime) -> dict[str, Any]:
    snipers = [one for one in result.signals if one.source == SNIPER]
    others = [one for one in result.signals if one.source == VOLATILITY]
    actions = Counter(row.action for row in result.decisions)
    routed = [(one, priority_of(one, regime.phase)) for one in result.accepted]
    accept_rate = 100.0 * actions[ACCEPT] / len(result.decisions) if result.decisions else 0.0
    return {
        "sniper_count": len(snipers),
        "volatility_count": len(others),
        "routed_count": len(routed),
        "sniper_avg_score": _mean([one.strength for one in snipers]),
        "volatility_avg_strength": _mean([one.strength for one in others]),
        "routed_avg_priority": _mean([priority for _, priority in routed]),
        "routed_accept_rate_pct": round(accept_rate, 2),
        "decision_breakdown": {name: actions[name] for name in (ACCEPT, REJECT, DEFER, "MERGE")},
        "enqueued_count": len(result.enqueued),
        "dedupe_skipped_count": len(result.held),
        "enqueued_keys": [dedupe_key(one) for one in result.enqueued],
        "dedupe_keys": [dedupe_key(one) for one, _ in result.held],
        "held": [_held_row(one, hold) for one, hold in result.held],
        "top_sniper": [_sniper_row(one) for one in _strongest(snipers)],
        "top_volatility": [_volatility_row(one) for one in _strongest(others)],
        "top_routed": [_routed_row(one, priority) for one, priority in routed[:TOP_MAX]],
        "router_decisions": [decision_row(row) for row in result.decisions[:DECISIONS_MAX]],
    }


def _strongest(signals: Sequence[Signal]) -> list[Signal]:
    return sorted(signals, key=lambda one: (-one.strength, one.instrument, one.strategy))[:TOP_MAX]


def _refusal_row(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "text": refusal.text}


def _held_row(signal: Signal, hold: Refusal) -> dict[str, Any]:
    return {
        "instrument": signal.instrument,
        "strategy_type": signal.strategy.value,
        "direction": signal.direction,
        **_refusal_row(hold),
    }


def _sniper_row(signal: Signal) -> dict[str, Any]:
    return {
        "instrument": signal.instrument,
        "direction": signal.direction,
        "signal_direction": signal.extras.get("signal_direction", signal.direction),
        "pattern": signal.pattern,
        "entry_price": signal.entry_price,
        "stop_price": signal.stop_price,
        "score": signal.strength,
    }


def _volatility_row(signal: Signal) -> dict[str, Any]:
    return {
        "underlying": signal.instrument,
        "strategy_type": signal.strategy.value,
        "direction": signal.direction,
        "strength": signal.strength,
        "reason": signal.reason,
    }


def _routed_row(signal: Signal, priority: float) -> dict[str, Any]:
    return {
        "source": signal.source,
        "instrument": signal.instrument,
        "strategy_type": signal.strategy.value,
        "direction": signal.direction,
        "priority_score": round(priority, 2),
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 2) if values else 0.0
