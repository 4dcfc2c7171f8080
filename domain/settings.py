"""Settings: every environment key of the product, typed, with its default and its range.

The one table in code (`config.md` 1): `--config`, `.env.example` and docs/configuration.md are made
from it. A field `signal_loop_interval_s` is the key `TOMIC_SIGNAL_LOOP_INTERVAL_S` unless `key`
names another. Secrets are not here: system.py reads them by the names in SECRET_KEYS and hands them
on by the fork.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from domain.errors import ConfigurationFault
from domain.instruments import INDEX_EXCHANGES, OPTION_KINDS, Kind, parse_symbol

TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off", "")
SECRET_KEYS = (
    "TOMIC_API_KEY", "TOMIC_SECRET_KEY", "TOMIC_FEED_API_KEY", "TOMIC_FEED_PRIMARY_API_KEY",
    "TOMIC_FEED_FALLBACK_API_KEY", "TOMIC_EXECUTION_API_KEY", "OPENALGO_API_KEY", "API_KEY",
    "TELEGRAM_BOT_TOKEN",
)  # fmt: skip
_NSE_INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "INDIAVIX")
_BSE_INDICES = ("SENSEX", "BANKEX", "SENSEX50")

Parser = Callable[[str], Any]


def _bool(text: str) -> bool:
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("must be one of 1, true, yes, on, 0, false, no, off")


def _number(kind: type, low: float | None, high: float | None, open_low: bool = False) -> Parser:
    def parse(text: str) -> Any:
        try:
            value = kind(text.strip())
        except (ValueError, InvalidOperation):
            raise ValueError(f"must be a number, not {text!r}") from None
        inside = value == value and value not in (float("inf"), float("-inf"))
        if low is not None:
            inside = inside and (value > low if open_low else value >= low)
        if high is not None:
            inside = inside and value <= high
        if not inside:
            raise ValueError(f"must be {_range_text(low, high, open_low)}")
        return value

    return parse


def _range_text(low: float | None, high: float | None, open_low: bool) -> str:
    if high is not None:
        return f"between {low} and {high}"
    return f"greater than {low}" if open_low else f"{low} or more"


def _choice(*words: str) -> Parser:
    def parse(text: str) -> str:
        if text.strip() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.strip()

    return parse


def _url(*schemes: str) -> Parser:
    def parse(text: str) -> str:
        parts = urlsplit(text.strip())
        if text.strip() and (parts.scheme not in schemes or not parts.hostname):
            raise ValueError(
                f"must be a URL beginning with {' or '.join(s + '://' for s in schemes)}"
            )
        return text.strip().rstrip("/")

    return parse


def _hhmm(text: str) -> time | None:
    if not text.strip():
        return None
    try:
        hours, minutes = text.strip().split(":")
        return time(int(hours), int(minutes))
    except ValueError:
        raise ValueError("must be HH:MM") from None


def infer_exchange(symbol: str) -> str:
    """The exchange of a bare symbol (`tomic.md` 11.1)."""
    if symbol in _NSE_INDICES:
        return "NSE_INDEX"
    if symbol in _BSE_INDICES:
        return "BSE_INDEX"
    parsed = parse_symbol(symbol)
    if parsed and parsed.kind in (*OPTION_KINDS, Kind.FUTURE):
        return "BFO" if parsed.name in _BSE_INDICES else "NFO"
    return "NSE"


def parse_listing_name(text: str) -> tuple[str, str]:
    """(exchange, symbol) from `EXCH:SYM`, `SYM:EXCH`, `SYM.EXCH` or `SYM`; ValueError when
    empty.
    """
    from domain.instruments import EXCHANGES

    cleaned = text.strip().upper()
    for separator in (":", "."):
        if separator in cleaned:
            first, second = cleaned.split(separator, 1)
            if first in EXCHANGES:
                return first, second
            if second in EXCHANGES:
                return second, first
            raise ValueError(f"{text!r} names no known exchange")
    if not cleaned:
        raise ValueError("names no symbol")
    return infer_exchange(cleaned), cleaned


def _listings(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_listing_name(part) for part in text.split(",") if part.strip())


def _ints(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError("must be whole numbers separated by commas") from None


def _offset(text: str) -> str:
    word = text.strip().upper()
    number = word[3:]
    if word == "ATM" or (
        word[:3] in ("ITM", "OTM") and number.isdigit() and 1 <= int(number) <= 50
    ):
        return word
    raise ValueError("must be ATM, ITM1..ITM50 or OTM1..OTM50")


def _setting(default: Any, parse: Parser, *, key: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse, "key": key})


_positive = _number(float, 0, None, open_low=True)
_not_negative = _number(float, 0, None)
_port = _number(int, 1, 65535)


@dataclass(frozen=True)
class Settings:
    """All keys with their defaults (`config.md` 1); durations in the unit of their suffix."""

    mode: str = _setting("sandbox", _choice("sandbox", "semi_auto", "full_auto"))
    capital: Decimal = _setting(Decimal(1_000_000), _number(Decimal, 0, None, open_low=True))
    auto_start: bool = _setting(False, _bool)
    manual_start_only: bool = _setting(True, _bool)
    feed_primary_ws: str = _setting("", _url("ws", "wss"))
    feed_fallback_ws: str = _setting("", _url("ws", "wss"))
    execution_rest: str = _setting("", _url("http", "https"))
    analytics_rest: str = _setting("", _url("http", "https"))
    signal_loop_enabled: bool = _setting(True, _bool)
    signal_loop_interval_s: float = _setting(60.0, _positive)
    signal_enqueue_cooldown_s: float = _setting(300.0, _positive)
    startup_enqueue_grace_s: float = _setting(60.0, _not_negative)
    require_live_tick_after_start: bool = _setting(True, _bool)
    reject_pending_on_start: bool = _setting(True, _bool)
    signal_reject_alert_threshold: int = _setting(5, _number(int, 1, None))
    feed_stale_alert_after_s: float = _setting(60.0, _positive)
    alert_cooldown_s: float = _setting(60.0, _not_negative)
    telegram_alerts: bool = _setting(True, _bool)
    enforce_market_hours: bool = _setting(True, _bool)
    allow_offhours_scan: bool = _setting(False, _bool)
    market_open: time | None = _setting(None, _hhmm)
    market_close: time | None = _setting(None, _hhmm)
    warm_start_enabled: bool = _setting(True, _bool)
    warm_start_lookback_days: int = _setting(3, _number(int, 1, None))
    warm_start_max_bars: int = _setting(180, _number(int, 1, None))
    warm_start_source: str = _setting("auto", _choice("auto", "db", "api"))
    enable_jade_lizard: bool = _setting(True, _bool)
    enable_short_strangle: bool = _setting(True, _bool)
    enable_short_straddle: bool = _setting(False, _bool)
    allow_naked_premium: bool = _setting(True, _bool)
    naked_live_ack: bool = _setting(False, _bool)
    short_premium_iv_rank_min: float = _setting(65.0, _number(float, 0, 100))
    short_premium_iv_hv_min: float = _setting(1.35, _positive)
    allow_pyramiding: bool = _setting(False, _bool)
    default_product: str = _setting("MIS", _choice("MIS", "NRML"))
    ditm_offset: str = _setting("ITM1", _offset)
    max_queue_age_s: float = _setting(10.0, _not_negative)
    virtual_risk_enabled: bool = _setting(True, _bool)
    virtual_sl_pct: float = _setting(0.25, _number(float, 0.01, None))
    virtual_tp_pct: float = _setting(0.35, _number(float, 0.01, None))
    virtual_trail_enabled: bool = _setting(True, _bool)
    virtual_trail_trigger_pct: float = _setting(0.15, _not_negative)
    virtual_trail_offset_pct: float = _setting(0.08, _not_negative)
    virtual_tick_max_age_s: float = _setting(15.0, _number(float, 1, None))
    positions_sync_min_interval_s: float = _setting(2.0, _not_negative)
    feed_underlyings: tuple[tuple[str, str], ...] = _setting(
        (("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "BANKNIFTY"), ("NSE_INDEX", "INDIAVIX")), _listings
    )
    feed_option_symbols: tuple[tuple[str, str], ...] = _setting((), _listings)
    feed_vix_symbol: tuple[str, str] = _setting(("NSE_INDEX", "INDIAVIX"), parse_listing_name)
    option_auto_refresh_sec: float = _setting(90.0, _number(float, 15, None))
    option_auto_strike_span: int = _setting(2, _number(int, 1, None))
    option_auto_strike_offsets: tuple[int, ...] = _setting((-1, 0, 1), _ints)
    option_auto_recenter_steps: float = _setting(1.0, _number(float, 0.5, None))
    option_auto_expiry_count: int = _setting(2, _number(int, 1, None))
    option_expiry_cache_sec: float = _setting(600.0, _number(float, 60, None))
    option_iv_fallback_enabled: bool = _setting(True, _bool)
    option_iv_fallback_cache_s: float = _setting(1.0, _number(float, 0.25, None))
    option_iv_rf: float = _setting(0.06, _not_negative)
    option_dividend_yield: float = _setting(0.0, _not_negative, key="TOMIC_OPTION_DIVIDEND_YIELD")
    http_port: int = _setting(5010, _port)
    database_url: str = _setting("", str.strip)

    @property
    def underlyings(self) -> tuple[tuple[str, str], ...]:
        """What is traded: the feed's underlyings without the volatility index."""
        return tuple(row for row in self.feed_underlyings if row != self.feed_vix_symbol)


def key_of(field: dataclasses.Field[Any]) -> str:
    """The environment key of a field."""
    return field.metadata["key"] or f"TOMIC_{field.name.upper()}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment keys. Raises ConfigurationFault with every bad key, value and
    range.
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in dataclasses.fields(Settings):
        key = key_of(field)
        if key not in environment:
            continue
        try:
            values[field.name] = field.metadata["parse"](environment[key])
        except ValueError as fault:
            faults.append(f"{key}={environment[key]!r}: {fault}")
    if faults:
        raise ConfigurationFault("\n".join(faults))
    return Settings(**values)


__all__ = [
    "INDEX_EXCHANGES",
    "SECRET_KEYS",
    "Settings",
    "infer_exchange",
    "key_of",
    "parse_listing_name",
    "read_settings",
]
