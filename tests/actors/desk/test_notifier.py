"""actors.desk.notifier: who is told what, over real HTTP to a stand-in, and what survives."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from actors.desk.notifier import Notifier, NotifierSettings
from domain.settings import Settings
from messages.lifecycle import AlertRaised
from messages.market import SessionClosed, SessionOpened
from messages.trading import TradingModeChanged
from persistence.database import MainBase, open_engine
from tests.kit.recording_context import RecordingContext, make_runtime
from tests.kit.telegram_bench import TOKEN, TelegramBench, telegram_bench

__all__ = ["telegram_bench"]

SETTINGS = Settings(telegram_chat_id="42")
DAY = date(2026, 11, 20)


@pytest.fixture
def runtime(tmp_path: Path) -> Any:
    made = make_runtime(tmp_path, settings=SETTINGS, keys={"telegram": TOKEN})
    MainBase.metadata.create_all(open_engine(made.database_url))
    return made


@pytest.fixture
def context(runtime: Any) -> RecordingContext:
    return RecordingContext("notifier", runtime)


@pytest.fixture
def notifier(context: RecordingContext, telegram_bench: TelegramBench) -> Notifier:
    return started(context, telegram_bench.url)


def started(context: RecordingContext, url: str) -> Notifier:
    actor = Notifier(context, NotifierSettings(url))
    actor.start()
    return actor


def raise_alert(
    context: RecordingContext, notifier: Notifier, level: str, text: str, key: str = ""
) -> None:
    context.deliver(notifier, AlertRaised(level=level, text=text, dedupe_key=key))


def texts(bench: TelegramBench) -> list[str]:
    return [row["body"]["text"] for row in bench.requests()]


def mode(killed: bool) -> TradingModeChanged:
    return TradingModeChanged(mode="halted", killed=killed, reason="day loss", since_ns=0)


def test_grave_alerts_reach_the_chat_and_others_do_not(
    context: RecordingContext, notifier: Notifier, telegram_bench: TelegramBench
) -> None:
    for level in ("CRITICAL", "RISK", "SIGNAL", "REGIME", "INFO"):
        raise_alert(context, notifier, level, f"a word of {level}")
    assert texts(telegram_bench) == [
        "TOMIC (sandbox)\nCRITICAL: a word of CRITICAL",
        "TOMIC (sandbox)\nRISK: a word of RISK",
    ]


def test_all_levels_stand_in_its_log(context: RecordingContext, notifier: Notifier) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message}")
    raise_alert(context, notifier, "INFO", "a feed is back")
    raise_alert(context, notifier, "CRITICAL", "stopped")
    logger.remove(sink)
    assert lines == ["INFO INFO: a feed is back\n", "CRITICAL CRITICAL: stopped\n"]


def test_a_storm_of_one_key_is_one_message_and_later_its_count(
    context: RecordingContext, notifier: Notifier, telegram_bench: TelegramBench
) -> None:
    for number in range(10):
        raise_alert(context, notifier, "RISK", f"refusal {number}", "reject")
    assert len(texts(telegram_bench)) == 1
    context.advance(61)
    assert texts(telegram_bench)[1:] == ["TOMIC (sandbox)\nRISK: refusal 9 (9 times)"]
    context.advance(600)
    assert len(texts(telegram_bench)) == 2


def test_a_failed_send_is_tried_again_until_it_goes_through(
    context: RecordingContext, notifier: Notifier, telegram_bench: TelegramBench
) -> None:
    telegram_bench.plan({"status": 500}, {"status": 502}, {"status": 500})
    raise_alert(context, notifier, "CRITICAL", "day loss")
    assert context.reports[-1]["last_error"] == "HTTP 500"
    context.advance(0.9)
    assert len(telegram_bench.requests()) == 1
    context.advance(20)
    assert [row["status"] for row in telegram_bench.requests()] == [500, 502, 500, 200]
    assert context.reports[-1]["pending"] == 0
    assert context.reports[-1]["sent"] == 1


def test_alerts_that_come_while_telegram_is_away_go_in_one_message(
    context: RecordingContext, notifier: Notifier, telegram_bench: TelegramBench
) -> None:
    telegram_bench.plan({"status": 500})
    for number in range(3):
        raise_alert(context, notifier, "RISK", f"number {number}")
    context.advance(5)
    assert len(telegram_bench.requests()) == 2
    assert texts(telegram_bench)[1].splitlines()[1:] == [
        "RISK: number 0", "RISK: number 1", "RISK: number 2",
    ]  # fmt: skip


def test_what_waits_survives_the_death_of_the_process(
    runtime: Any, context: RecordingContext, telegram_bench: TelegramBench
) -> None:
    nobody = started(context, "http://127.0.0.1:9")
    raise_alert(context, nobody, "CRITICAL", "short without cover")
    assert telegram_bench.requests() == []
    started(RecordingContext("notifier", runtime, life=2), telegram_bench.url)
    assert texts(telegram_bench) == ["TOMIC (sandbox)\nCRITICAL: short without cover"]
    started(RecordingContext("notifier", runtime, life=3), telegram_bench.url)
    assert len(texts(telegram_bench)) == 1


def test_a_disk_that_fails_does_not_keep_an_alert_from_being_sent(
    context: RecordingContext,
    notifier: Notifier,
    telegram_bench: TelegramBench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("actors.desk.notifier.write_latch", full)
    raise_alert(context, notifier, "CRITICAL", "disk full")
    assert len(texts(telegram_bench)) == 1


def test_the_token_shows_nowhere_when_sending_fails(
    context: RecordingContext, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)))
    notifier = started(context, "http://127.0.0.1:9")
    raise_alert(context, notifier, "CRITICAL", "day loss")
    logger.remove(sink)
    shown = "".join(lines) + caplog.text + repr(context.reports) + repr(context.announced)
    assert "were not sent" in shown
    assert TOKEN not in shown


def test_at_night_a_stale_feed_is_quiet_and_a_mismatch_is_not(
    context: RecordingContext, notifier: Notifier, telegram_bench: TelegramBench
) -> None:
    context.deliver(notifier, SessionClosed(day=DAY, reason="after the close", next_opens_ns=0))
    raise_alert(context, notifier, "RISK", "no tick", "feed:stale")
    raise_alert(context, notifier, "RISK", "books differ", "reconcile:x")
    assert texts(telegram_bench) == ["TOMIC (sandbox)\nRISK: books differ"]
    opened = SessionOpened(day=DAY, opens_ns=0, closes_ns=1, intraday_exit_ns=1, square_off_ns=1)
    context.deliver(notifier, opened)
    raise_alert(context, notifier, "RISK", "no tick", "feed:stale")
    assert len(texts(telegram_bench)) == 2


def test_a_cleared_kill_latch_is_told_once(context: RecordingContext, notifier: Notifier) -> None:
    for killed in (False, True, True, False, False):
        context.deliver(notifier, mode(killed))
    assert [(row.level, row.dedupe_key) for row in context.alerts] == [("INFO", "kill:cleared")]


def test_a_start_with_the_latch_set_says_so(
    context: RecordingContext, notifier: Notifier, telegram_bench: TelegramBench
) -> None:
    context.deliver(notifier, mode(True))
    assert texts(telegram_bench) == [
        "TOMIC (sandbox)\nCRITICAL: Trading is still stopped: day loss"
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"keys": {}}, "log: TELEGRAM_BOT_TOKEN or TELEGRAM_CHAT_ID is not set"),
        ({"settings": Settings()}, "log: TELEGRAM_BOT_TOKEN or TELEGRAM_CHAT_ID is not set"),
        (
            {"settings": dataclasses.replace(SETTINGS, telegram_alerts=False)},
            "log: TOMIC_TELEGRAM_ALERTS is false",
        ),
        ({"replay": object()}, "log: a replay calls nobody"),
    ],
)
def test_where_telegram_is_not_set_up_the_log_has_it_and_the_page_says_why(
    tmp_path: Path, telegram_bench: TelegramBench, change: dict[str, Any], why: str
) -> None:
    fields = {"settings": SETTINGS, "keys": {"telegram": TOKEN}} | change
    context = RecordingContext("notifier", make_runtime(tmp_path, **fields))
    notifier = started(context, telegram_bench.url)
    raise_alert(context, notifier, "CRITICAL", "day loss")
    assert telegram_bench.requests() == []
    assert context.reports[-1]["channel"] == why


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        NotifierSettings("api.telegram.org")
