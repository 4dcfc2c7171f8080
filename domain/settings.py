"""Settings: every environment key of the product, typed, with its default and its range.

The one table in code (`config.md` 1): `--config`, `.env.example` and docs/configuration.md are made
from it. A field `signal_loop_interval_s` is the key `TOMIC_SIGNAL_LOOP_INTERVAL_S` unless `key`
names another. Secrets are no fields: the launcher reads them by the names in SECRET_KEYS and hands
them on by the fork.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from typing import Any

from domain.errors import ConfigurationFault
from domain.instruments import INDEX_EXCHANGES
from domain.setting_table import FLOW, MACHINES, OTHER_KEYS, Key, faults_of
from domain.setting_values import (
    STRIKES_MAX,
    Rule,
    any_text,
    choice,
    clock_time,
    infer_exchange,
    listing,
    listings,
    not_negative,
    number,
    optional,
    parse_listing_name,
    port,
    positive,
    steps,
    strike_offset,
    truth,
    url,
)

SECRET_KEYS = tuple(key.name for key in OTHER_KEYS if key.secret)
_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/@\s]*(@)")
INTERVALS = ("1m", "3m", "5m", "10m", "15m", "30m", "1h", "D")


def _setting(default: Any, rule: Rule, meaning: str, *, waits: str = "", key: str = "") -> Any:
    """`waits` names the capability that will read it and is not there yet; a start that sets it
    says so. `key` where it is not TOMIC_ and the field's name."""
    metadata = {"rule": rule, "meaning": meaning, "waits": waits, "key": key}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """All keys with their defaults (`config.md` 1); durations in the unit of their suffix."""

    mode: str = _setting(
        "sandbox",
        choice("sandbox", "semi_auto", "full_auto"),
        "sandbox: orders only to proven analyzers; semi_auto: each entry waits for you; full_auto",
    )
    capital: Decimal = _setting(
        Decimal(1_000_000),
        number(Decimal, 0, None, open_low=True),
        "trading capital in rupees; the cap of all sizing",
    )
    auto_start: bool = _setting(
        False, truth, "start the signal loop at launch (the sandbox always does)"
    )
    manual_start_only: bool = _setting(True, truth, "flows may not start the runtime", waits=FLOW)
    feed_primary_ws: str = _setting(
        "", url("ws", "wss"), "WebSocket of the primary feed; empty: its row under brokers"
    )
    feed_fallback_ws: str = _setting(
        "", url("ws", "wss"), "WebSocket of the fallback feed; empty: its row under brokers"
    )
    execution_rest: str = _setting(
        "", url("http", "https"), "REST base of the execution broker; empty: its row under brokers"
    )
    analytics_rest: str = _setting(
        "",
        url("http", "https"),
        "REST base from which the primary feed is read beside its WebSocket; empty: found by it",
    )
    signal_loop_enabled: bool = _setting(
        True, truth, "this instance may run the signal loop; false on all but the control instance"
    )
    signal_loop_interval_s: float = _setting(60.0, positive, "seconds between scans")
    signal_enqueue_cooldown_s: float = _setting(
        300.0, positive, "seconds before the same instrument, strategy and side may enter again"
    )
    startup_enqueue_grace_s: float = _setting(
        60.0, not_negative, "seconds after a start in which nothing is entered"
    )
    require_live_tick_after_start: bool = _setting(
        True, truth, "nothing is entered before a live tick has come"
    )
    reject_pending_on_start: bool = _setting(
        True, truth, "entries left over by an earlier run fail at start; closes never"
    )
    signal_reject_alert_threshold: int = _setting(
        5, number(int, 1, None), "equal refusals in a row that raise an alert"
    )
    feed_stale_alert_after_s: float = _setting(
        60.0, positive, "seconds without a tick that raise an alert in session"
    )
    alert_cooldown_s: float = _setting(
        60.0, not_negative, "seconds between two alerts of the same key"
    )
    telegram_alerts: bool = _setting(
        True, truth, "send CRITICAL and RISK alerts to Telegram when it is configured"
    )
    telegram_chat_id: str = _setting(
        "", any_text, "the chat that alerts go to", key="TELEGRAM_CHAT_ID"
    )
    enforce_market_hours: bool = _setting(
        True,
        truth,
        "scan and decide only while the segment trades; no setting sends an order outside it",
    )
    allow_offhours_scan: bool = _setting(False, truth, "scan outside the session, without entering")
    market_tz: str = _setting(
        "Asia/Kolkata",
        any_text,
        "the zone in which the two below are read and the session is shown; unknown: +05:30",
    )
    market_open: time | None = _setting(
        None, clock_time, "narrows the session: not before; empty: the calendar"
    )
    market_close: time | None = _setting(
        None, clock_time, "narrows the session: not after; empty: the calendar"
    )
    warm_start_enabled: bool = _setting(True, truth, "load history at start")
    warm_start_interval: str = _setting(
        "1m",
        choice(*INTERVALS),
        "finest history to ask for; windows of shorter bars begin empty and fill from ticks",
    )
    warm_start_lookback_days: int = _setting(
        3, number(int, 1, None), "days of one-minute history to load"
    )
    warm_start_max_bars: int = _setting(180, number(int, 1, None), "one-minute bars to keep of it")
    warm_start_source: str = _setting(
        "auto", choice("auto", "db", "api"), "auto: our database, then the broker; db; api"
    )
    enable_jade_lizard: bool = _setting(True, truth, "allow jade lizards")
    enable_short_strangle: bool = _setting(True, truth, "allow short strangles")
    enable_short_straddle: bool = _setting(False, truth, "allow short straddles")
    allow_naked_premium: bool = _setting(True, truth, "master switch of the three above")
    naked_live_ack: bool = _setting(
        False, truth, "your acknowledgement that naked structures may be traded live"
    )
    short_premium_iv_rank_min: float = _setting(
        65.0, number(float, 0, 100), "least IV rank for a short strangle"
    )
    short_premium_iv_hv_min: float = _setting(
        1.35, positive, "least ratio of implied to historical volatility for one"
    )
    allow_pyramiding: bool = _setting(
        False, truth, "a second position of the same bias on an underlying"
    )
    default_product: str = _setting(
        "MIS", choice("MIS", "NRML"), "product of structures that close the same day"
    )
    ditm_offset: str = _setting(
        "ITM1",
        strike_offset,
        "strike of a deep in-the-money option when no greeks are known",
    )
    max_queue_age_s: float = _setting(
        10.0, not_negative, "seconds after which an entry that was not sent fails; 0: never"
    )
    virtual_risk_enabled: bool = _setting(
        True, truth, "guard long single options with stop, target and trail"
    )
    virtual_sl_pct: float = _setting(
        0.25, number(float, 0.01, None), "stop below the entry price, as a share"
    )
    virtual_tp_pct: float = _setting(
        0.35, number(float, 0.01, None), "target above the entry price, as a share"
    )
    virtual_trail_enabled: bool = _setting(True, truth, "trail the stop once it pays")
    virtual_trail_trigger_pct: float = _setting(
        0.15, not_negative, "gain that starts the trail, as a share"
    )
    virtual_trail_offset_pct: float = _setting(
        0.08,
        not_negative,
        "distance of the trail below the high, as a share of the entry",
    )
    virtual_tick_max_age_s: float = _setting(
        15.0,
        number(float, 1, None),
        "seconds without a tick of a guarded option that raise an alert",
    )
    positions_sync_min_interval_s: float = _setting(
        2.0,
        not_negative,
        "least seconds between two reads of the brokers' positions that /tomic/positions asks for",
    )
    feed_underlyings: tuple[tuple[str, str], ...] = _setting(
        (("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "BANKNIFTY"), ("NSE_INDEX", "INDIAVIX")),
        listings,
        "what is watched: EXCHANGE:SYMBOL, ...",
    )
    sniper_symbols: tuple[tuple[str, str], ...] = _setting(
        (),
        listings,
        "what the directional agent looks at, among the watched; empty: all but the volatility "
        "index",
    )
    feed_option_symbols: tuple[tuple[str, str], ...] = _setting(
        (), listings, "options to watch; empty: found around the money"
    )
    feed_vix_symbol: tuple[str, str] = _setting(
        ("NSE_INDEX", "INDIAVIX"), listing, "the volatility index"
    )
    option_auto_refresh_sec: float = _setting(
        90.0, number(float, 15, None), "seconds between two looks at which strikes matter"
    )
    option_auto_strike_span: int = _setting(
        2, number(int, 1, STRIKES_MAX), "strikes each side that must be watched at least"
    )
    option_auto_strike_offsets: tuple[int, ...] = _setting(
        (-1, 0, 1), steps, "strikes around the money that are always watched"
    )
    option_auto_recenter_steps: float = _setting(
        1.0, number(float, 0.5, None), "strike steps the market moves before strikes shift"
    )
    option_auto_expiry_count: int = _setting(
        2, number(int, 1, None), "front expiries that are watched"
    )
    option_expiry_cache_sec: float = _setting(
        600.0, number(float, 60, None), "seconds for which listed expiries are kept"
    )
    option_iv_fallback_enabled: bool = _setting(
        True, truth, "compute implied volatility where the feed gives none"
    )
    option_iv_fallback_cache_s: float = _setting(
        1.0, number(float, 0.25, None), "seconds for which a computed volatility stands"
    )
    option_iv_rf: float = _setting(0.06, not_negative, "interest rate a year, as a share")
    option_dividend_yield: float = _setting(0.0, not_negative, "dividend yield a year, as a share")
    zmq_port: str = _setting(
        "",
        optional(port),
        "a port for the data bus, which uses local sockets on one machine",
        waits=MACHINES,
    )
    http_port: int = _setting(5010, port, "port of the status pages on 127.0.0.1")
    database_url: str = _setting("", any_text, "SQLAlchemy URL; empty: SQLite in the data folder")

    @property
    def underlyings(self) -> tuple[tuple[str, str], ...]:
        """What is traded: the feed's underlyings without the volatility index."""
        return tuple(row for row in self.feed_underlyings if row != self.feed_vix_symbol)

    @property
    def sniper_listings(self) -> tuple[tuple[str, str], ...]:
        """What the sniper looks at."""
        return self.sniper_symbols or self.underlyings

    @property
    def strikes_watched_min(self) -> int:
        """Strikes each side of the money that are watched at least."""
        return max(self.option_auto_strike_span, *map(abs, self.option_auto_strike_offsets))


def key_of(field: dataclasses.Field[Any]) -> str:
    """The environment key of a field."""
    return str(field.metadata["key"]) or f"TOMIC_{field.name.upper()}"


def as_text(value: Any) -> str:
    """A setting's value as it would stand in a .env file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        if len(value) == 2 and all(isinstance(part, str) for part in value):
            return ":".join(value)
        return ",".join(as_text(part) for part in value)
    return f"{value:%H:%M}" if isinstance(value, time) else str(value)


def all_keys() -> tuple[Key, ...]:
    """The whole table: every key there is."""
    own = (
        Key(
            key_of(field),
            as_text(field.default),
            field.metadata["rule"],
            field.metadata["meaning"],
            waits=field.metadata["waits"],
        )
        for field in dataclasses.fields(Settings)
    )
    return (*own, *OTHER_KEYS)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment keys. Raises ConfigurationFault with every bad key, value and
    rule, also of keys that are no field; of a secret the value is left out.
    """
    values: dict[str, Any] = {}
    faults = faults_of(environment)
    for field in dataclasses.fields(Settings):
        key = key_of(field)
        if key not in environment:
            continue
        try:
            values[field.name] = field.metadata["rule"].read(environment[key])
        except ValueError as fault:
            faults.append(f"{key}={without_password(environment[key])!r}: {fault}")
    if faults:
        raise ConfigurationFault("\n".join(faults))
    return Settings(**values)


def without_password(text: str) -> str:
    """A URL whose password, if it has one, is hidden; other texts as they are."""
    return _PASSWORD.sub(r"\1***\2", text)


__all__ = [
    "INDEX_EXCHANGES",
    "SECRET_KEYS",
    "Settings",
    "all_keys",
    "as_text",
    "infer_exchange",
    "key_of",
    "parse_listing_name",
    "read_settings",
    "without_password",
]
