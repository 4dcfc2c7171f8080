"""The keys that are no field of Settings: secrets, those of an OpenAlgo instance, those of one
broker, the data folder. Rows of the one table that domain.settings completes (`config.md` 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.setting_values import Rule, any_text, optional, pattern, port, secret_bytes, truth, url

BROKER = "<BROKER>"
DATA_DIR = "TOMIC_DATA_DIR"
API_KEY = "TOMIC_API_KEY"
# What some keys wait for.
FLOW, LOG_IN, ACCOUNTS = "Flow", "log-in to the pages", "accounts at brokers' own servers"
SEVERAL_BROKERS, MACHINES = "the routes under /api/multibroker", "a tree over several machines"
TELEGRAM_TOKEN = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the key's name


@dataclass(frozen=True, slots=True)
class Key:
    """One row: `default` as it would stand in a .env file, `waits` the capability that will read
    it and is not there yet; a `secret` is never shown whole. A name with <BROKER> stands for one
    key a broker."""

    name: str
    default: str
    rule: Rule
    meaning: str
    secret: bool = False
    waits: str = ""


def _secret(name: str, meaning: str, rule: Rule = any_text, *, waits: str = "") -> Key:
    return Key(name, "", rule, meaning, secret=True, waits=waits)


def _other(name: str, rule: Rule, meaning: str, default: str = "", *, waits: str = "") -> Key:
    return Key(name, default, rule, meaning, waits=waits)


_seconds = Rule("seconds; what is no number counts as 120, below 0 as 0", str.strip)
OTHER_KEYS = (
    _other(DATA_DIR, any_text, "folder of everything that is kept", "var"),
    _other("FLASK_PORT", optional(port),
           "an OpenAlgo instance's REST port: feed and execution are that instance"),
    _other("HOST_SERVER", url("http", "https"), "REST base of that instance, before FLASK_PORT"),
    _other("WEBSOCKET_URL", url("ws", "wss", "http", "https"),
           "WebSocket of that instance, before the two below"),
    _other("WEBSOCKET_HOST", any_text, "host of its WebSocket; empty: 127.0.0.1"),
    _other("WEBSOCKET_PORT", optional(port),
           "port of its WebSocket; empty: 8765 + FLASK_PORT - 5000"),
    _other(f"MULTI_BROKER_{BROKER}_URL", url("http", "https"),
           "REST base of a broker's server; empty: its row under brokers"),
    _other(f"MULTI_BROKER_{BROKER}_WS_URL", url("ws", "wss"),
           "WebSocket of a broker's server; empty: found by the port of its REST"),
    _secret(f"MULTI_BROKER_{BROKER}_OPENALGO_API_KEY", "key of a broker's server"),
    _secret(f"MULTI_BROKER_{BROKER}_APIKEY", "another name of that key"),
    _other("MULTI_BROKER_APIKEY_CACHE_TTL_S", _seconds,
           "seconds for which a broker's fetched key is kept", "120", waits=SEVERAL_BROKERS),
    _other("MULTI_BROKER_ALLOW_LOCAL_DB_FALLBACK", truth,
           "use the local user's own key for a broker", "false", waits=SEVERAL_BROKERS),
    _other("SESSION_COOKIE_NAME", optional(pattern("letters, digits, _ or -", r"[A-Za-z0-9_-]+")),
           "cookie of the pages; empty: tomic_session_ and the port", waits=LOG_IN),
    _secret(API_KEY, "key of our HTTP interface; made at the first run",
            pattern("32 to 256 characters", r".{32,256}")),
    _secret("TOMIC_SECRET_KEY", "encrypt what a broker's log-in keeps", secret_bytes,
            waits=ACCOUNTS),
    _secret("TOMIC_FEED_PRIMARY_API_KEY", "key of the primary feed; empty: TOMIC_FEED_API_KEY"),
    _secret("TOMIC_FEED_FALLBACK_API_KEY", "key of the fallback feed; empty: the primary's"),
    _secret("TOMIC_FEED_API_KEY", "key of the feeds; empty: TOMIC_EXECUTION_API_KEY"),
    _secret("TOMIC_EXECUTION_API_KEY", "key of the execution broker; empty: OPENALGO_API_KEY"),
    _secret("OPENALGO_API_KEY", "key of an OpenAlgo server where no other is set"),
    _secret("API_KEY", "another name of that key, after it"),
    _secret("KITE_API_KEY", "an app's key at the broker of that name", waits=ACCOUNTS),
    _secret("KITE_API_SECRET", "that app's secret", waits=ACCOUNTS),
    _secret("SMARTAPI_API_KEY", "an app's key at the broker of that name", waits=ACCOUNTS),
    _secret("DHAN_CLIENT_ID", "client id at the broker of that name", waits=ACCOUNTS),
    _secret(TELEGRAM_TOKEN, "the bot that sends alerts",
            pattern("digits, a colon and 20 or more letters, digits, _ or -, as BotFather gives it",
                    r"\d{3,20}:[A-Za-z0-9_-]{20,100}")),
)  # fmt: skip


def faults_of(environment: Mapping[str, str]) -> list[str]:
    """A line for each of these keys that breaks its rule; a secret's value is not in it."""
    faults = []
    for key in OTHER_KEYS:
        value = environment.get(key.name, "")
        if not value:
            continue
        try:
            key.rule.read(value)
        except ValueError as fault:
            shown = "(not shown)" if key.secret else repr(value)
            faults.append(f"{key.name}={shown}: {fault}")
    return faults
