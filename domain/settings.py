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
STRIKES_MAX = 60  # each side of the money
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


def _steps(text: str) -> tuple[int, ...]:
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError("must be whole numbers separated by commas") from None
    if any(abs(step) > STRIKES_MAX for step in steps):
        raise ValueError(f"must each be between -{STRIKES_MAX} and {STRIKES_MAX}")
    return steps


def _offset(text: str) -> str:
    word = text.strip().upper()
    number = word[3:]
    if word == "ATM" or (
        word[:3] in ("ITM", "OTM") and number.isdigit() and 1 <= int(number) <= 50
    ):
        return word
    raise ValueError("must be ATM, ITM1..ITM50 or OTM1..OTM50")


def _setting(default: Any, parse: Parser, meaning: str, *, waits: bool = False) -> Any:
    """`waits`: nothing reads it yet, and a start that sets it says so."""
    metadata = {"parse": parse, "meaning": meaning, "waits": waits}
    return dataclasses.field(default=default, metadata=metadata)


_positive = _number(float, 0, None, open_low=True)
_not_negative = _number(float, 0, None)
_port = _number(int, 1, 65535)


@dataclass(frozen=True)
class Settings:
    """All keys with their defaults (`config.md` 1); durations in the unit of their suffix."""

    mode: str = _setting(
        "sandbox",
        _choice("sandbox", "semi_auto", "full_auto"),
        "sandbox: orders only to proven analyzers; semi_auto: each entry waits for you; full_auto",
    )
    capital: Decimal = _setting(
        Decimal(1_000_000),
        _number(Decimal, 0, None, open_low=True),
        "trading capital in rupees; the cap of all sizing",
    )
    auto_start: bool = _setting(
        False, _bool, "start the signal loop at launch (the sandbox always does)"
    )
    manual_start_only: bool = _setting(True, _bool, "flows may not start the runtime", waits=True)
    feed_primary_ws: str = _setting(
        "", _url("ws", "wss"), "WebSocket of the primary feed; empty: its row under brokers"
    )
    feed_fallback_ws: str = _setting(
        "", _url("ws", "wss"), "WebSocket of the fallback feed; empty: its row under brokers"
    )
    execution_rest: str = _setting(
        "", _url("http", "https"), "REST base of the execution broker; empty: its row under brokers"
    )
    analytics_rest: str = _setting(
        "",
        _url("http", "https"),
        "REST base from which the primary feed is read beside its WebSocket; empty: found by it",
    )
    signal_loop_enabled: bool = _setting(
        True, _bool, "this instance may run the signal loop; false on all but the control instance"
    )
    signal_loop_interval_s: float = _setting(60.0, _positive, "seconds between scans")
    signal_enqueue_cooldown_s: float = _setting(
        300.0, _positive, "seconds before the same instrument, strategy and side may enter again"
    )
    startup_enqueue_grace_s: float = _setting(
        60.0, _not_negative, "seconds after a start in which nothing is entered"
    )
    require_live_tick_after_start: bool = _setting(
        True, _bool, "nothing is entered before a live tick has come"
    )
    reject_pending_on_start: bool = _setting(
        True, _bool, "entries left over by an earlier run fail at start; closes never"
    )
    signal_reject_alert_threshold: int = _setting(
        5, _number(int, 1, None), "equal refusals in a row that raise an alert"
    )
    feed_stale_alert_after_s: float = _setting(
        60.0, _positive, "seconds without a tick that raise an alert in session", waits=True
    )
    alert_cooldown_s: float = _setting(
        60.0, _not_negative, "seconds between two alerts of the same key", waits=True
    )
    telegram_alerts: bool = _setting(
        True, _bool, "send CRITICAL and RISK alerts to Telegram when it is configured", waits=True
    )
    enforce_market_hours: bool = _setting(
        True,
        _bool,
        "scan and decide only while the segment trades; no setting sends an order outside it",
    )
    allow_offhours_scan: bool = _setting(False, _bool, "scan outside the session, without entering")
    market_open: time | None = _setting(
        None, _hhmm, "narrows the session: not before; empty: the calendar"
    )
    market_close: time | None = _setting(
        None, _hhmm, "narrows the session: not after; empty: the calendar"
    )
    warm_start_enabled: bool = _setting(True, _bool, "load history at start")
    warm_start_lookback_days: int = _setting(
        3, _number(int, 1, None), "days of one-minute history to load"
    )
    warm_start_max_bars: int = _setting(180, _number(int, 1, None), "one-minute bars to keep of it")
    warm_start_source: str = _setting(
        "auto", _choice("auto", "db", "api"), "auto: our database, then the broker; db; api"
    )
    enable_jade_lizard: bool = _setting(True, _bool, "allow jade lizards")
    enable_short_strangle: bool = _setting(True, _bool, "allow short strangles")
    enable_short_straddle: bool = _setting(False, _bool, "allow short straddles")
    allow_naked_premium: bool = _setting(True, _bool, "master switch of the three above")
    naked_live_ack: bool = _setting(
        False, _bool, "your acknowledgement that naked structures may be traded live"
    )
    short_premium_iv_rank_min: float = _setting(
        65.0, _number(float, 0, 100), "least IV rank for a short strangle"
    )
    short_premium_iv_hv_min: float = _setting(
        1.35, _positive, "least ratio of implied to historical volatility for one"
    )
    allow_pyramiding: bool = _setting(
        False, _bool, "a second position of the same bias on an underlying"
    )
    default_product: str = _setting(
        "MIS", _choice("MIS", "NRML"), "product of structures that close the same day"
    )
    ditm_offset: str = _setting(
        "ITM1",
        _offset,
        "strike of a deep in-the-money option when no greeks are known",
        waits=True,
    )
    max_queue_age_s: float = _setting(
        10.0, _not_negative, "seconds after which an entry that was not sent fails; 0: never"
    )
    virtual_risk_enabled: bool = _setting(
        True, _bool, "guard long single options with stop, target and trail", waits=True
    )
    virtual_sl_pct: float = _setting(
        0.25, _number(float, 0.01, None), "stop below the entry price, as a share", waits=True
    )
    virtual_tp_pct: float = _setting(
        0.35, _number(float, 0.01, None), "target above the entry price, as a share", waits=True
    )
    virtual_trail_enabled: bool = _setting(True, _bool, "trail the stop once it pays", waits=True)
    virtual_trail_trigger_pct: float = _setting(
        0.15, _not_negative, "gain that starts the trail, as a share", waits=True
    )
    virtual_trail_offset_pct: float = _setting(
        0.08,
        _not_negative,
        "distance of the trail below the high, as a share of the entry",
        waits=True,
    )
    virtual_tick_max_age_s: float = _setting(
        15.0,
        _number(float, 1, None),
        "seconds without a tick of a guarded option that raise an alert",
        waits=True,
    )
    positions_sync_min_interval_s: float = _setting(
        2.0, _not_negative, "least seconds between two reads of the broker positions", waits=True
    )
    feed_underlyings: tuple[tuple[str, str], ...] = _setting(
        (("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "BANKNIFTY"), ("NSE_INDEX", "INDIAVIX")),
        _listings,
        "what is watched: EXCHANGE:SYMBOL, ...",
    )
    feed_option_symbols: tuple[tuple[str, str], ...] = _setting(
        (), _listings, "options to watch; empty: found around the money"
    )
    feed_vix_symbol: tuple[str, str] = _setting(
        ("NSE_INDEX", "INDIAVIX"), parse_listing_name, "the volatility index"
    )
    option_auto_refresh_sec: float = _setting(
        90.0, _number(float, 15, None), "seconds between two looks at which strikes matter"
    )
    option_auto_strike_span: int = _setting(
        2, _number(int, 1, STRIKES_MAX), "strikes each side that must be watched at least"
    )
    option_auto_strike_offsets: tuple[int, ...] = _setting(
        (-1, 0, 1), _steps, "strikes around the money that are always watched"
    )
    option_auto_recenter_steps: float = _setting(
        1.0, _number(float, 0.5, None), "strike steps the market moves before strikes shift"
    )
    option_auto_expiry_count: int = _setting(
        2, _number(int, 1, None), "front expiries that are watched"
    )
    option_expiry_cache_sec: float = _setting(
        600.0, _number(float, 60, None), "seconds for which listed expiries are kept", waits=True
    )
    option_iv_fallback_enabled: bool = _setting(
        True, _bool, "compute implied volatility where the feed gives none"
    )
    option_iv_fallback_cache_s: float = _setting(
        1.0, _number(float, 0.25, None), "seconds for which a computed volatility stands"
    )
    option_iv_rf: float = _setting(0.06, _not_negative, "interest rate a year, as a share")
    option_dividend_yield: float = _setting(0.0, _not_negative, "dividend yield a year, as a share")
    http_port: int = _setting(5010, _port, "port of the status pages on 127.0.0.1")
    database_url: str = _setting("", str.strip, "SQLAlchemy URL; empty: SQLite in the data folder")

    @property
    def underlyings(self) -> tuple[tuple[str, str], ...]:
        """What is traded: the feed's underlyings without the volatility index."""
        return tuple(row for row in self.feed_underlyings if row != self.feed_vix_symbol)

    @property
    def strikes_watched_min(self) -> int:
        """Strikes each side of the money that are watched at least."""
        return max(self.option_auto_strike_span, *map(abs, self.option_auto_strike_offsets))


def key_of(field: dataclasses.Field[Any]) -> str:
    """The environment key of a field."""
    return f"TOMIC_{field.name.upper()}"


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
