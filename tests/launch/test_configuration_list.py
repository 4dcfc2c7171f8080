"""`--config` on the command line, and the texts made from the one table."""

from __future__ import annotations

from pathlib import Path

import pytest

import system
from domain.settings import Settings, all_keys
from launch.configuration import reference, rows

SWITCHES = """
    MODE CAPITAL AUTO_START MANUAL_START_ONLY FEED_PRIMARY_WS FEED_FALLBACK_WS
    FEED_PRIMARY_API_KEY FEED_FALLBACK_API_KEY FEED_API_KEY EXECUTION_REST EXECUTION_API_KEY
    ANALYTICS_REST ZMQ_PORT SIGNAL_LOOP_ENABLED SIGNAL_LOOP_INTERVAL_S SIGNAL_ENQUEUE_COOLDOWN_S
    STARTUP_ENQUEUE_GRACE_S REQUIRE_LIVE_TICK_AFTER_START REJECT_PENDING_ON_START
    SIGNAL_REJECT_ALERT_THRESHOLD FEED_STALE_ALERT_AFTER_S ALERT_COOLDOWN_S TELEGRAM_ALERTS
    ENFORCE_MARKET_HOURS ALLOW_OFFHOURS_SCAN MARKET_TZ MARKET_OPEN MARKET_CLOSE WARM_START_ENABLED
    WARM_START_INTERVAL WARM_START_LOOKBACK_DAYS WARM_START_MAX_BARS WARM_START_SOURCE
    ENABLE_JADE_LIZARD ENABLE_SHORT_STRANGLE ENABLE_SHORT_STRADDLE ALLOW_NAKED_PREMIUM
    SHORT_PREMIUM_IV_RANK_MIN SHORT_PREMIUM_IV_HV_MIN ALLOW_PYRAMIDING DEFAULT_PRODUCT DITM_OFFSET
    MAX_QUEUE_AGE_S VIRTUAL_RISK_ENABLED VIRTUAL_SL_PCT VIRTUAL_TP_PCT VIRTUAL_TRAIL_ENABLED
    VIRTUAL_TRAIL_TRIGGER_PCT VIRTUAL_TRAIL_OFFSET_PCT VIRTUAL_TICK_MAX_AGE_S
    POSITIONS_SYNC_MIN_INTERVAL_S FEED_UNDERLYINGS SNIPER_SYMBOLS FEED_OPTION_SYMBOLS
    FEED_VIX_SYMBOL OPTION_AUTO_REFRESH_SEC OPTION_AUTO_STRIKE_SPAN OPTION_AUTO_STRIKE_OFFSETS
    OPTION_AUTO_RECENTER_STEPS OPTION_AUTO_EXPIRY_COUNT OPTION_EXPIRY_CACHE_SEC
    OPTION_IV_FALLBACK_ENABLED OPTION_IV_FALLBACK_CACHE_S OPTION_IV_RF OPTION_DIVIDEND_YIELD
    NAKED_LIVE_ACK API_KEY DATABASE_URL SECRET_KEY HTTP_PORT DATA_DIR
"""
OTHERS = """
    SESSION_COOKIE_NAME FLASK_PORT WEBSOCKET_HOST WEBSOCKET_PORT WEBSOCKET_URL HOST_SERVER
    OPENALGO_API_KEY API_KEY MULTI_BROKER_<BROKER>_URL MULTI_BROKER_<BROKER>_WS_URL
    MULTI_BROKER_<BROKER>_OPENALGO_API_KEY MULTI_BROKER_<BROKER>_APIKEY
    MULTI_BROKER_APIKEY_CACHE_TTL_S MULTI_BROKER_ALLOW_LOCAL_DB_FALLBACK KITE_API_KEY
    KITE_API_SECRET SMARTAPI_API_KEY DHAN_CLIENT_ID TELEGRAM_BOT_TOKEN TELEGRAM_CHAT_ID
"""


def test_the_table_holds_every_key_of_the_product_and_no_other() -> None:
    wanted = [f"TOMIC_{name}" for name in SWITCHES.split()] + OTHERS.split()
    assert sorted(key.name for key in all_keys()) == sorted(wanted)


def test_every_default_keeps_its_own_rule() -> None:
    for key in all_keys():
        if key.default:
            key.rule.read(key.default)


def test_the_reference_is_what_the_table_says(root: Path) -> None:
    """When this fails: make docs."""
    assert (root / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


def test_the_reference_has_a_line_for_every_key() -> None:
    text = reference()
    assert [key.name for key in all_keys() if f"| `{key.name}` |" not in text] == []


def test_the_list_names_what_is_set_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "env").write_text(
        "TOMIC_CAPITOL=5\nTOMIC_MANUAL_START_ONLY=false\n", encoding="utf-8"
    )
    assert system.main(["--config", "--env-file", str(tmp_path / "env")]) == 0
    told = capsys.readouterr().out.splitlines()
    row = next(line for line in told if "TOMIC_MANUAL_START_ONLY" in line)
    assert [word.strip() for word in row.strip("│").split("│")][1:] == [
        *("false", "true", ".env", "waits for Flow"),
    ]
    assert "note: TOMIC_CAPITOL is no key and has no effect; did you mean TOMIC_CAPITAL?" in told


def test_a_flag_of_the_command_line_wins_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TOMIC_HTTP_PORT", "5011")
    words = ["--config", "--env-file", str(tmp_path / "env"), "--http-port", "5012"]
    assert system.main(words) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "TOMIC_HTTP_PORT" in line)
    assert [word.strip() for word in row.split("│")][2:5] == ["5012", "5010", "command line"]


def test_a_bad_value_ends_the_list_with_its_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "env").write_text("TOMIC_MODE=live\nFLASK_PORT=x\n", encoding="utf-8")
    assert system.main(["--config", "--env-file", str(tmp_path / "env")]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "TOMIC_MODE='live': must be one of sandbox, semi_auto, full_auto" in told
    assert any(line.startswith("FLASK_PORT='x': must be a port") for line in told)


def test_a_brokers_own_keys_are_listed_under_their_row_and_secrets_are_masked() -> None:
    environment = {
        "MULTI_BROKER_ALPHA_URL": "http://me:hunter2@h:5000",
        "MULTI_BROKER_ALPHA_WS_URL": "ws://h",
        "MULTI_BROKER_ALPHA_APIKEY": "0123456789abcdef",
        "TOMIC_DATABASE_URL": "postgresql://tomic:hunter2@db/tomic",
    }
    settings = Settings(database_url=environment["TOMIC_DATABASE_URL"])
    listed = {row[0]: row[1] for row in rows(settings, environment, {})}
    assert listed["MULTI_BROKER_ALPHA_URL"] == "http://me:***@h:5000"
    assert listed["MULTI_BROKER_ALPHA_WS_URL"] == "ws://h"
    assert listed["MULTI_BROKER_ALPHA_APIKEY"] == "01***ef"
    assert listed["TOMIC_DATABASE_URL"] == "postgresql://tomic:***@db/tomic"
    assert "hunter2" not in str(listed)
