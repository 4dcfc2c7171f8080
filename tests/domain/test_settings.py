"""Every key is typed, has its range, and a bad value names key, value and range."""

from __future__ import annotations

import base64
import dataclasses
from datetime import time
from decimal import Decimal

import pytest

from domain.errors import ConfigurationFault
from domain.settings import Settings, key_of, parse_listing_name, read_settings


def test_without_any_key_the_defaults_stand() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert settings.signal_loop_interval_s == 60
    assert settings.capital == Decimal(1_000_000)
    assert settings.underlyings == (("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "BANKNIFTY"))


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("TOMIC_MODE", "semi_auto", "mode", "semi_auto"),
        ("TOMIC_CAPITAL", "2500000.50", "capital", Decimal("2500000.50")),
        ("TOMIC_AUTO_START", "ON", "auto_start", True),
        ("TOMIC_ENFORCE_MARKET_HOURS", "no", "enforce_market_hours", False),
        ("TOMIC_MARKET_OPEN", "09:30", "market_open", time(9, 30)),
        ("TOMIC_DITM_OFFSET", "itm3", "ditm_offset", "ITM3"),
        ("TOMIC_OPTION_AUTO_STRIKE_OFFSETS", "-2,0,2", "option_auto_strike_offsets", (-2, 0, 2)),
        ("TOMIC_FEED_UNDERLYINGS", "NIFTY, BSE_INDEX:SENSEX", "feed_underlyings",
         (("NSE_INDEX", "NIFTY"), ("BSE_INDEX", "SENSEX"))),
        ("TOMIC_FEED_PRIMARY_WS", "wss://feed.example:8765/", "feed_primary_ws",
         "wss://feed.example:8765"),
    ],
)  # fmt: skip
def test_a_key_is_read_in_its_type(key: str, text: str, field: str, value: object) -> None:
    assert getattr(read_settings({key: text}), field) == value


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("TOMIC_MODE", "live", "one of sandbox, semi_auto, full_auto"),
        ("TOMIC_CAPITAL", "0", "greater than 0"),
        ("TOMIC_CAPITAL", "NaN", "greater than 0"),
        ("TOMIC_CAPITAL", "inf", "greater than 0"),
        ("TOMIC_AUTO_START", "maybe", "one of 1, true, yes, on"),
        ("TOMIC_SIGNAL_LOOP_INTERVAL_S", "fast", "must be a number"),
        ("TOMIC_SHORT_PREMIUM_IV_RANK_MIN", "101", "between 0 and 100"),
        ("FLASK_PORT", "0", "between 1 and 65535"),
        ("HOST_SERVER", "ftp://x", "http:// or https://"),
        ("SESSION_COOKIE_NAME", "a b", "letters, digits"),
        ("TOMIC_ZMQ_PORT", "0", "between 1 and 65535"),
        ("TOMIC_WARM_START_INTERVAL", "2m", "one of 1m, 3m"),
        ("TOMIC_HTTP_PORT", "70000", "between 1 and 65535"),
        ("TOMIC_MARKET_CLOSE", "25:99", "HH:MM"),
        ("TOMIC_DITM_OFFSET", "ITM51", "ITM1..ITM50"),
        ("TOMIC_FEED_PRIMARY_WS", "http://feed", "ws:// or wss://"),
        ("TOMIC_FEED_UNDERLYINGS", "MARS:NIFTY", "names no known exchange"),
        ("TOMIC_OPTION_AUTO_STRIKE_OFFSETS", "1,x", "whole numbers"),
        ("TOMIC_OPTION_AUTO_STRIKE_OFFSETS", "0,-61", "between -60 and 60"),
        ("TOMIC_OPTION_AUTO_STRIKE_SPAN", "61", "between 1 and 60"),
    ],
)
def test_a_bad_value_names_key_value_and_rule(key: str, text: str, words: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        read_settings({key: text})
    assert key in str(caught.value)
    assert repr(text) in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("TOMIC_API_KEY", "fivefive", "must be 32 to 256 characters"),
        ("TOMIC_SECRET_KEY", "c2hvcnQ=", "must be 32 bytes in base 64"),
        ("TOMIC_SECRET_KEY", "not base 64", "must be 32 bytes in base 64"),
        ("TELEGRAM_BOT_TOKEN", "123456:AAH-stand_in_token_1/../x", "must be digits, a colon"),
    ],
)
def test_of_a_bad_secret_the_value_is_not_told(key: str, text: str, words: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        read_settings({key: text})
    assert str(caught.value).startswith(f"{key}=(not shown): {words}")
    assert text not in str(caught.value)


def test_good_secrets_pass() -> None:
    good = {
        "TOMIC_API_KEY": "k" * 32,
        "TOMIC_SECRET_KEY": base64.b64encode(bytes(32)).decode(),
        "TELEGRAM_BOT_TOKEN": "123456:AAH-stand_in_token_01",
        "FLASK_PORT": "",
    }
    assert read_settings(good) == Settings()


def test_a_password_within_a_url_is_told_neither() -> None:
    with pytest.raises(ConfigurationFault) as caught:
        read_settings({"TOMIC_EXECUTION_REST": "ftp://me:hunter2@desk.example"})
    assert "ftp://me:***@desk.example" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(ConfigurationFault) as caught:
        read_settings({"TOMIC_MODE": "x", "TOMIC_CAPITAL": "-1", "TOMIC_HTTP_PORT": "0"})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "listing"),
    [
        ("NIFTY", ("NSE_INDEX", "NIFTY")),
        ("SENSEX", ("BSE_INDEX", "SENSEX")),
        ("SBIN", ("NSE", "SBIN")),
        ("NSE:SBIN", ("NSE", "SBIN")),
        ("SBIN:NSE", ("NSE", "SBIN")),
        ("SBIN.NSE", ("NSE", "SBIN")),
        ("NIFTY24NOV2625950CE", ("NFO", "NIFTY24NOV2625950CE")),
        ("SENSEX26NOV2685000PE", ("BFO", "SENSEX26NOV2685000PE")),
        ("NIFTY24NOV26FUT", ("NFO", "NIFTY24NOV26FUT")),
    ],
)
def test_a_symbol_finds_its_exchange(text: str, listing: tuple[str, str]) -> None:
    assert parse_listing_name(text) == listing


def test_no_two_fields_share_a_key() -> None:
    keys = [key_of(field) for field in dataclasses.fields(Settings)]
    assert len(keys) == len(set(keys))
