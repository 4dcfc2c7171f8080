"""One line a decision or critical alert, in plain words, from a fact's name and its plain fields;
None for what is neither.

The terminal shows these lines, the replay's report counts the decisions. A fact is what the
recorder keeps: the message's class name and its fields as messages.codec.to_plain gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from domain.clock import NS_PER_S

Fact = Mapping[str, Any]

NOTES_SHOWN = 3
SAID_AGAIN_AFTER_S = 900
ALERTED_AGAIN_AFTER_S = 60
ALERT = "AlertRaised"
_STRUCTURES = {
    "BULL_PUT_SPREAD": "bull put spread",
    "BEAR_CALL_SPREAD": "bear call spread",
    "IRON_CONDOR": "iron condor",
    "JADE_LIZARD": "jade lizard",
    "SHORT_STRANGLE": "short strangle",
    "SHORT_STRADDLE": "short straddle",
    "RISK_REVERSAL": "risk reversal",
    "DITM_CALL": "deep in-the-money call",
    "DITM_PUT": "deep in-the-money put",
    "CALENDAR_DIAGONAL": "calendar",
    "GAMMA_CAPTURE": "gamma capture",
    "TAIL_HEDGE": "tail hedge",
}
_TRENDS = {
    "ABOVE_20MA": "above its 20-day mean",
    "BELOW_20MA": "below its 20-day mean",
    "NEUTRAL": "at its 20-day mean",
}


def decision_line(kind: str, fact: Fact) -> str | None:
    """The sentence of a decision or of a critical alert, or None."""
    speak = _alert if kind == ALERT else _SPEAKERS.get(kind)
    return speak(fact) if speak else None


class Repeats:
    """Which lines are only said again: the same codes of the same source in a row, the same alert.

    A scan that finds nothing for the same reasons is told once in `SAID_AGAIN_AFTER_S`, an alert
    of one key once in `ALERTED_AGAIN_AFTER_S`; figures in the texts may differ meanwhile. Each is a
    fact of the journal all the same.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[tuple[str, ...], int]] = {}
        self._alerts: dict[str, int] = {}

    def is_repeat(self, kind: str, fact: Fact, at_ns: int) -> bool:
        """True when this fact says nothing new."""
        if kind == ALERT:
            return self._is_old_alert(fact, at_ns)
        if kind != "ScanCompleted":
            return False
        codes = tuple(note["code"] for note in fact["notes"])
        before, said_ns = self._last.get(fact["source"], ((), 0))
        if codes == before and at_ns - said_ns < SAID_AGAIN_AFTER_S * NS_PER_S:
            return True
        self._last[fact["source"]] = (codes, at_ns)
        return False

    def _is_old_alert(self, fact: Fact, at_ns: int) -> bool:
        name = fact["dedupe_key"] or fact["text"]
        recent = {
            key: said_ns
            for key, said_ns in self._alerts.items()
            if at_ns - said_ns < ALERTED_AGAIN_AFTER_S * NS_PER_S
        }
        self._alerts = recent if name in recent else recent | {name: at_ns}
        return name in recent


def is_decision(kind: str) -> bool:
    """True for facts that are decisions: what the replay's report counts and hashes."""
    return kind in _SPEAKERS


def decision_kinds() -> tuple[str, ...]:
    """Names of all facts that are decisions."""
    return tuple(_SPEAKERS)


def structure_name(strategy: str) -> str:
    """`IRON_CONDOR` -> `iron condor`."""
    return _STRUCTURES.get(strategy, strategy.lower().replace("_", " "))


def _alert(fact: Fact) -> str | None:
    return f"CRITICAL: {fact['text']}" if fact["level"] == "CRITICAL" else None


def _what(signal: Fact) -> str:
    return f"{signal['instrument']} {structure_name(signal['strategy'])}"


def _regime(fact: Fact) -> str:
    regime = fact["regime"]
    flags = f", {', '.join(regime['vix_flags'])}" if regime["vix_flags"] else ""
    return (
        f"regime: {regime['phase'].lower()} on {regime['timeframe']} bars, "
        f"score {regime['score']:+d}, VIX {regime['vix']:.1f}{flags}"
    )


def _context(fact: Fact) -> str | None:
    if not fact["is_news"]:
        return None
    context = fact["context"]
    if context["vix_regime"] == "UNKNOWN":
        vix = "VIX unknown"
    else:
        vix = f"VIX {context['vix']:.1f} {context['vix_regime'].lower().replace('_', ' ')}"
    parts = [
        f"{row['underlying']} {_trend(row)}, {_put_call(row)}" for row in context["underlyings"]
    ]
    return "context: " + "; ".join([vix, *parts])


def _trend(row: Fact) -> str:
    days_known = row["previous_high"] is not None and row["previous_high"] == row["previous_high"]
    return _TRENDS[row["trend"]] if days_known else "without daily bars"


def _put_call(row: Fact) -> str:
    if not row["as_of_ns"]:
        return "no option chain yet"
    return f"put/call {row['put_call_ratio']:.2f} {row['pcr_bias'].lower()}"


def _planned(fact: Fact) -> str:
    plan, refusal = fact["plan"], fact["refusal"]
    if not refusal:
        return f"plan: {_what(plan)}, strength {plan['strength']:.0f}: {plan['rationale']}"
    return f"plan: {_what(plan)} ends: {refusal['text']}"


def _unplanned(fact: Fact) -> str:
    return f"plan: none on {fact['refusal']['text']}"


def _raised(fact: Fact) -> str:
    signal = fact["signal"]
    who, strength = signal["source"].lower(), f"strength {signal['strength']:.0f}"
    return f"{who}: {_what(signal)}, {strength}: {signal['reason']}"


def _scanned(fact: Fact) -> str | None:
    if fact["dry"] or not fact["notes"]:
        return None
    who = fact["source"].removesuffix("_agent").replace("_", " ")
    return f"{who}: " + "; ".join(note["text"] for note in fact["notes"][:NOTES_SHOWN])


def _set_aside(fact: Fact) -> str:
    return f"router: {_what(fact['signal'])} set aside: {fact['refusal']['text']}"


def _routed(fact: Fact) -> str:
    return f"router: {_what(fact['signal'])} goes on: {fact['decision']['reason']}"


def _refused(fact: Fact) -> str:
    signal = fact["signal"]
    return f"{signal['source'].lower()}: {_what(signal)} refused by risk: {fact['refusal']['text']}"


def _proposed(fact: Fact) -> str:
    intent = fact["intent"]
    legs = ", ".join(
        f"{leg['direction'].lower()} {leg['symbol']}" for leg in intent["structure"]["legs"]
    )
    stake = intent["loss_per_unit"] * intent["quantity"]
    return (
        f"risk: {_what(intent['signal'])} sized to {intent['lots']} lots "
        f"({intent['quantity']} units), at most {stake:,.0f} rupees at stake: {legs}"
    )


def _denied(fact: Fact) -> str:
    return f"gate: order {fact['command_id']} denied: {fact['refusal']['text']}"


def _filled(fact: Fact) -> str:
    fill = fact["fill"]
    done = "bought" if fill["action"] == "BUY" else "sold"
    trade = f"{done} {fill['quantity']} {fill['symbol']} at {Decimal(fill['price']):.2f}"
    return f"execution: {trade} on {fact['broker']}"


def _rejected(fact: Fact) -> str:
    return f"execution: {fact['broker']} refused {fact['client_order_id']}: {fact['reason']}"


def _unknown(fact: Fact) -> str:
    order = f"{fact['client_order_id']} at {fact['broker']}"
    return f"execution: outcome of {order} unknown: {fact['reason']}"


def _opened(fact: Fact) -> str:
    return f"execution: {_what(fact['intent']['signal'])} stands, all legs filled"


def _closed(fact: Fact) -> str:
    why = f"{fact['reason']}: {fact['detail']}" if fact["detail"] else fact["reason"]
    what = "closed" if fact["stood"] else "taken back"
    return (
        f"execution: {fact['strategy_tag']} {what} ({why}): {fact['net']} rupees after "
        f"{fact['charges']} of charges"
    )


def _ended(fact: Fact) -> str | None:
    if fact["status"] == "DONE" or not fact["refusal"]:
        return None
    return f"execution: {fact['strategy_id']} {fact['status'].lower()}: {fact['refusal']['text']}"


def _close(fact: Fact) -> str:
    return f"{fact['by']}: close {fact['strategy_id']}: {fact['reason']}"


def _mode(fact: Fact) -> str:
    return f"gate: trading is {fact['mode']}" + (f": {fact['reason']}" if fact["reason"] else "")


def _switched(fact: Fact) -> str:
    return f"feed: from {fact['from_broker']} to {fact['to_broker']}: {fact['reason']}"


_SPEAKERS: dict[str, Callable[[Fact], str | None]] = {
    "RegimeChanged": _regime,
    "ContextChanged": _context,
    "PlanChanged": _planned,
    "PlanSkipped": _unplanned,
    "ScanCompleted": _scanned,
    "SignalRaised": _raised,
    "SignalRouted": _routed,
    "SignalSetAside": _set_aside,
    "SignalRefused": _refused,
    "OrderProposed": _proposed,
    "OrderDenied": _denied,
    "OrderFilled": _filled,
    "OrderRejected": _rejected,
    "OrderUnknown": _unknown,
    "StructureOpened": _opened,
    "StructureClosed": _closed,
    "CommandEnded": _ended,
    "CloseStructure": _close,
    "TradingModeChanged": _mode,
    "FeedSwitched": _switched,
}
