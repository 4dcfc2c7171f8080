"""adapters.telegram against a stand-in server: what arrives, what a failure says, and no token."""

from __future__ import annotations

import logging

import pytest

from adapters.telegram import Telegram
from tests.kit.telegram_bench import TOKEN, TelegramBench, telegram_bench

__all__ = ["telegram_bench"]


@pytest.fixture
def bot(telegram_bench: TelegramBench) -> Telegram:
    return Telegram(telegram_bench.url, TOKEN, "-100200")


def test_a_message_arrives_in_its_chat(bot: Telegram, telegram_bench: TelegramBench) -> None:
    assert bot.send("RISK: feed lost").delivered
    (row,) = telegram_bench.requests()
    assert row["path"] == f"/bot{TOKEN}/sendMessage"
    assert (row["body"]["chat_id"], row["body"]["text"]) == ("-100200", "RISK: feed lost")


@pytest.mark.parametrize(
    ("status", "body", "reason", "wait_s", "lasting"),
    [
        (401, {"ok": False, "description": "Unauthorized"}, "HTTP 401 Unauthorized", 0.0, True),
        (400, {"description": "chat not found"}, "HTTP 400 chat not found", 0.0, True),
        (429, {"parameters": {"retry_after": 7}}, "HTTP 429", 7.0, False),
        (429, {"parameters": {"retry_after": "soon"}}, "HTTP 429", 0.0, False),
        (502, ["no", "object"], "HTTP 502", 0.0, False),
        (200, {"ok": False}, "HTTP 200", 0.0, False),
        (
            500,
            {"description": f"no route /bot{TOKEN}/x"},
            "HTTP 500 no route /bot***/x",
            0.0,
            False,
        ),
    ],
)
def test_a_refusal_says_what_the_server_said(
    bot: Telegram, telegram_bench: TelegramBench, status, body, reason, wait_s, lasting
) -> None:
    telegram_bench.plan({"status": status, "body": body})
    got = bot.send("x")
    assert (got.delivered, got.reason, got.wait_s, got.lasting) == (False, reason, wait_s, lasting)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[", "http://127.0.0.1:99999"])
def test_where_nobody_listens_a_failure_comes_back_without_the_address(url: str) -> None:
    got = Telegram(url, TOKEN, "1").send("x")
    assert not got.delivered
    assert TOKEN not in got.reason
    assert got.reason.startswith("no answer (")


def test_a_server_that_hangs_is_left_after_its_time(
    bot: Telegram, telegram_bench: TelegramBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.telegram.TIMEOUTS_S", (1.0, 0.2))
    telegram_bench.plan({"hang": True})
    assert bot.send("x").reason == "no answer (ReadTimeout)"


def test_the_token_is_in_no_line_of_any_log(
    bot: Telegram, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert bot.send("x").delivered
        Telegram("http://127.0.0.1:9", TOKEN, "1").send("x")
    assert "/bot***/sendMessage" in caplog.text  # urllib3 did speak
    assert TOKEN not in caplog.text
