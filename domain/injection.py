"""A signal from outside, as a JSON-ready payload, into a Signal; or every bad field with the rule
it breaks.

Used by everyone who takes a payload: the web's route, the flow node, the control desk (`tomic.md`
1.7, 13.6, 14.3). What needs more than one field to judge is risk's validation, which every signal
passes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.clock import NS_PER_S
from domain.instruments import EXCHANGES, OPTION_KINDS, Kind, parse_expiry, underlying_of
from domain.intents import STRATEGY_TRAITS, Leg, Signal, StrategyType

CONTEXT_ONLY = ("INDIAVIX", "VIX")
SOURCES = ("SNIPER", "VOLATILITY", "PLAN", "EXPIRY", "FLOW", "HTTP")
ENTRY_MODES = ("morning_plan", "continuous", "event_driven", "expiry_gamma")
VALID_FOR_S = 60  # an opinion older than a signal cycle is no opinion any more
LEGS_MAX = 20  # `tomic.md` 8.6: the most one multi-leg order takes
SIDES = ("BUY", "SELL", "")
PRODUCTS = ("MIS", "NRML", "")
LEG_TYPES = tuple(f"{side}_{kind}" for side in SIDES[:2] for kind in ("PUT", "CALL", "PE", "CE"))
LEG_FIELDS = (
    "leg_type", "option_type", "direction", "offset", "delta_target", "strike", "expiry_date",
    "expiry_offset", "symbol", "exchange", "ratio", "wing_points",
    # Checked, not used: risk sizes, the execution prices.
    "quantity", "order_type", "price", "product",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a payload: its path (`legs[1].strike`), a code of `tomic.md` 7.2, the
    rule."""

    field: str
    code: str
    message: str


def leg_identity_fault(leg: Leg) -> str:
    """Why a leg names no contract, or more than one way to it; empty when it is identifiable."""
    ways = {
        "symbol": bool(leg.symbol),
        "strike": leg.strike is not None,
        "offset": bool(leg.offset),
        "delta_target": leg.delta_target is not None,
        "wing_points": leg.wing_points is not None,
    }
    given = [name for name, present in ways.items() if present]
    if len(given) == 1:
        return ""
    return (
        f"must be named by exactly one of {', '.join(ways)}; it has {' and '.join(given) or 'none'}"
    )


def signal_from_payload(
    payload: Mapping[str, Any], now_ns: int, *, source: str = "HTTP", sequence: int = 1
) -> Signal | list[FieldError]:
    """The signal in a payload, valid for VALID_FOR_S; or all field errors, in the order of the
    fields.

    `source` stands where the payload names none; `sequence` makes the generated correlation id
    unique within a millisecond.
    """
    read = _Fields(payload)
    for name in payload:
        if name not in SIGNAL_FIELDS:
            read.fail(str(name), "UNKNOWN_FIELD", "is not a field of a signal")
    instrument = _instrument(read)
    strategy = _strategy(read)
    values: dict[str, Any] = {
        "source": read.choice("source", SOURCES, source),
        "direction": _direction(read, strategy),
        "legs": _legs(read, strategy),
        "expiry": read.day("expiry_date"),
        "product": read.choice("product", PRODUCTS, ""),
        "entry_mode": read.choice("entry_mode", ENTRY_MODES, "continuous"),
        "price_basis": read.choice("price_basis", ("OPTION", "UNDERLYING"), "OPTION"),
        "strength": read.number("signal_strength", 0.0, 0, 1000),
        "reason": read.text("reason"),
        "pattern": read.text("pattern"),
        "idempotency_key": read.text("idempotency_key", 128),
        "lots_max": read.whole("lots", 1, 1, 1000),
        **{name: read.number(name, 0.0, 0) for name in _PRICES},
        "instrument_vol": read.share_or_none("instrument_vol", 5.0),
        "win_rate": read.share_or_none("win_rate", 1.0),
        "rr_ratio": read.share_or_none("rr_ratio", 100.0),
        "extras": _provenance(read),
    }
    # Checked, not used: lots come from the instrument master.
    read.whole("lot_size", 0, 0, 1_000_000)
    if not _is_plain(payload):
        read.fail("", "FIELD_INVALID", "must be plain JSON with finite numbers")
    values["dte_min"], values["dte_max"] = _dte_band(read.whole("dte", 0, 0, 400))
    correlation = read.text("correlation_id", 128)
    if read.errors:
        return read.errors
    made_up = f"{values['source']}:{instrument}:{now_ns // 1_000_000}:{sequence}"
    return Signal(
        correlation_id=correlation or made_up,
        instrument=instrument,
        strategy=strategy,
        bias=STRATEGY_TRAITS[strategy].bias,
        valid_until_ns=now_ns + VALID_FOR_S * NS_PER_S,
        **values,
    )


_PRICES = ("entry_price", "stop_price", "target_price", "max_loss_per_unit")


def _provenance(read: _Fields) -> dict[str, str]:
    """Fields that only say where a signal came from, or cap it; each that is given, as text."""
    for name, check in _PROVENANCE.items():
        check(read, name)
    given = {name: read.payload.get(name) for name in _PROVENANCE}
    return {name: str(value)[:500] for name, value in given.items() if value not in (None, "")}


def _is_plain(payload: Mapping[str, Any]) -> bool:
    """True when it can be written down and read back the same."""
    try:
        json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _instrument(read: _Fields) -> str:
    text = read.text("instrument").upper()
    if not text:
        read.fail("instrument", "MISSING_INSTRUMENT", "is required")
    elif underlying_of(text) in CONTEXT_ONLY:
        read.fail("instrument", "CONTEXT_ONLY", f"{text} is watched, never traded")
    return underlying_of(text) if text else ""


def _strategy(read: _Fields) -> StrategyType:
    text = read.text("strategy_type").upper()
    if not text:
        read.fail("strategy_type", "MISSING_STRATEGY", "is required")
    elif text not in StrategyType.__members__ or text == StrategyType.SKIP:
        read.fail("strategy_type", "UNKNOWN_STRATEGY", f"{text} is no strategy that can be traded")
    else:
        return StrategyType(text)
    return StrategyType.SKIP


def _direction(read: _Fields, strategy: StrategyType) -> str:
    side = read.text("direction").upper()
    wanted = STRATEGY_TRAITS[strategy].direction
    if side not in ("BUY", "SELL"):
        read.fail("direction", "DIRECTION", "must be BUY or SELL")
    elif wanted and side != wanted:
        read.fail("direction", "DIRECTION", f"{strategy} is {wanted} only")
    return side


def _dte_band(days: int) -> tuple[int, int]:
    """`tomic.md` 5.6: 30 means 30-45, 10 means 5-10; others by the same proportion; 0 means no
    band."""
    return (days, days + 15) if days >= 20 else (days // 2, days)


def _legs(read: _Fields, strategy: StrategyType) -> tuple[Leg, ...]:
    rows = read.payload.get("legs") or []
    if not isinstance(rows, (list, tuple)):
        read.fail("legs", "LEGS_INVALID", "must be a list of legs")
        return ()
    if not rows and STRATEGY_TRAITS[strategy].legs_required:
        read.fail("legs", "LEGS_REQUIRED", f"{strategy} needs its legs")
    if len(rows) > LEGS_MAX:
        read.fail("legs", "LEGS_INVALID", f"may be at most {LEGS_MAX} legs")
    legs = (_leg(read, f"legs[{number}]", row) for number, row in enumerate(rows[:LEGS_MAX]))
    return tuple(leg for leg in legs if leg is not None)


def _leg(read: _Fields, path: str, row: Any) -> Leg | None:
    if not isinstance(row, Mapping):
        read.fail(path, "LEGS_INVALID", "must be an object")
        return None
    part = _Fields(row, path + ".", read.errors, "LEGS_INVALID")
    for name in row:
        if name not in LEG_FIELDS:
            part.fail(str(name), "LEGS_INVALID", "is not a field of a leg")
    side, kind = _leg_side_and_kind(part)
    part.whole("quantity", 1, 1, 1_000_000)
    part.choice("order_type", ("MARKET", "LIMIT", "SL", "SL-M", ""), "")
    part.number("price", 0.0, 0)
    part.choice("product", PRODUCTS, "")
    leg = Leg(
        option_type=kind,
        direction=side,
        symbol=part.text("symbol").upper(),
        exchange=part.choice("exchange", (*EXCHANGES, ""), ""),
        strike=part.strike(),
        offset=part.offset(),
        delta_target=part.share_or_none("delta_target", 1.0),
        wing_points=part.share_or_none("wing_points", 100_000.0),
        expiry=part.day("expiry_date"),
        expiry_offset=part.whole("expiry_offset", 0, 0, 60) if "expiry_offset" in row else None,
        ratio=part.whole("ratio", 1, 1, 10),
    )
    fault = leg_identity_fault(leg)
    if fault:
        read.fail(path, "LEGS_INVALID", fault)
    return leg


def _leg_side_and_kind(part: _Fields) -> tuple[str, Kind]:
    """From `direction` and `option_type`, or from `leg_type` (SELL_PUT, BUY_CE); the former win."""
    words = {"PUT": "PE", "CALL": "CE"}
    leg_type = part.choice("leg_type", (*LEG_TYPES, ""), "")
    side_word, _, kind_word = leg_type.partition("_")
    side = part.text("direction").upper() or side_word
    kind = part.text("option_type").upper() or words.get(kind_word, kind_word)
    if side not in ("BUY", "SELL"):
        part.fail("direction", "LEGS_INVALID", "must be BUY or SELL")
    if kind not in OPTION_KINDS:
        part.fail("option_type", "LEGS_INVALID", "must be CE or PE")
        kind = Kind.CALL
    return side, Kind(kind)


@dataclass
class _Fields:
    """Reads typed fields of one object; keeps an error for each that breaks its rule."""

    payload: Mapping[str, Any]
    prefix: str = ""
    errors: list[FieldError] = field(default_factory=list)
    code: str = "FIELD_INVALID"

    def fail(self, name: str, code: str, message: str) -> None:
        self.errors.append(FieldError(self.prefix + name, code, message))

    def text(self, name: str, longest: int = 500) -> str:
        value = self.payload.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > longest:
            self.fail(name, self.code, f"must be a text of at most {longest} characters")
            return ""
        return value.strip()

    def choice(self, name: str, words: tuple[str, ...], default: str) -> str:
        """One of `words`, which are in capitals or small letters throughout; else the default."""
        value = self.text(name) or default
        value = value.upper() if words[0].isupper() else value
        if value not in words:
            self.fail(
                name, self.code, f"must be one of {', '.join(word for word in words if word)}"
            )
            return default
        return value

    def flag(self, name: str) -> None:
        if not isinstance(self.payload.get(name), (bool, type(None))):
            self.fail(name, self.code, "must be true or false")

    def object(self, name: str) -> None:
        if not isinstance(self.payload.get(name), (Mapping, type(None))):
            self.fail(name, self.code, "must be an object")

    def moment(self, name: str) -> None:
        text = self.text(name)
        try:
            datetime.fromisoformat(text or "2026-01-01")
        except ValueError:
            self.fail(name, self.code, "must be a time such as 2026-11-24T09:31:00+05:30")

    def number(self, name: str, default: float, low: float, high: float = math.inf) -> float:
        value: float | None = self._read(name, float)
        if value is None:
            return default
        if not (math.isfinite(value) and low <= value <= high):
            self.fail(name, self.code, f"must be a number {_between(low, high)}")
            return default
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.number(name, default, low, high)
        if value != int(value):
            self.fail(name, self.code, "must be a whole number")
            return default
        return int(value)

    def share_or_none(self, name: str, high: float) -> float | None:
        value: float | None = self._read(name, float)
        if value is not None and not 0 < value <= high:
            self.fail(name, self.code, f"must be greater than 0 and at most {high:g}")
            return None
        return value

    def strike(self) -> Decimal | None:
        value: Decimal | None = self._read("strike", lambda text: Decimal(str(text)))
        if value is not None and not (value.is_finite() and value > 0):
            self.fail("strike", self.code, "must be a price greater than 0")
            return None
        return value

    def offset(self) -> str:
        word = self.text("offset").upper()
        depth = word[3:]
        steps = depth.isdigit() and 1 <= int(depth) <= 50
        if word and word != "ATM" and not (word[:3] in ("ITM", "OTM") and steps):
            self.fail("offset", self.code, "must be ATM, ITM1..ITM50 or OTM1..OTM50")
            return ""
        return word

    def day(self, name: str) -> date | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return parse_expiry(text)
        except ValueError:
            self.fail(name, self.code, "must be a date such as 24NOV26")
            return None

    def _read(self, name: str, convert: Callable[[Any], Any]) -> Any:
        value = self.payload.get(name)
        if value is None or value == "":
            return None
        try:
            if isinstance(value, bool):
                raise ValueError
            return convert(value)
        except (TypeError, ValueError, InvalidOperation):
            self.fail(name, self.code, "must be a number")
            return None


def _between(low: float, high: float) -> str:
    return f"of {low:g} or more" if high == math.inf else f"between {low:g} and {high:g}"


def _one_of(*words: str) -> _Check:
    return lambda read, name: read.choice(name, (*words, ""), "")


def _within(low: float, high: float) -> _Check:
    return lambda read, name: read.number(name, 0.0, low, high)


def _above_zero(high: float) -> _Check:
    return lambda read, name: read.share_or_none(name, high)


_Check = Callable[[_Fields, str], object]
_PROVENANCE: dict[str, _Check] = {
    "signal_direction": _one_of("BUY", "SELL"),
    "option_type": _one_of(*OPTION_KINDS),
    "exchange": _one_of(*EXCHANGES),
    "short_delta_target": _above_zero(1.0),
    "wing_delta_target": _above_zero(1.0),
    "rs_score": _within(-1000, 1000),
    "signal_score": _within(-1000, 1000),
    "vol_snapshot": _Fields.object,
    "router_reason": _Fields.text,
    "router_action": _one_of("ACCEPT", "REJECT", "DEFER", "MERGE"),
    "router_source": _one_of(*SOURCES),
    "router_priority_score": _within(-1000, 1000),
    "confidence": _within(0, 100),
    "flow_origin": _Fields.flag,
    "flow_triggered_at": _Fields.moment,
    "rationale": _Fields.text,
    "vix_at_signal": _within(0, 1000),
    "max_capital_pct": _above_zero(100.0),
    "max_abs_inr": _above_zero(1e12),
    "correlation": _within(-1, 1),
    "sector_margin_pct": _within(0, 1),
    "timestamp_epoch": _above_zero(1e14),
}
SIGNAL_FIELDS = (
    "instrument", "strategy_type", "direction", "legs", "source", "expiry_date", "product",
    "entry_mode", "price_basis", "signal_strength", "reason", "pattern", "idempotency_key",
    "correlation_id", "lots", "lot_size", "dte", "instrument_vol", "win_rate", "rr_ratio", *_PRICES,
    *_PROVENANCE,
)  # fmt: skip
