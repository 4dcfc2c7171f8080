"""The whole tree with a stand-in for Telegram: a pause reaches the person, the token nobody."""

from __future__ import annotations

import pytest

from tests.kit.default_system import API_KEY, default_system, wait_for
from tests.kit.telegram_bench import TOKEN, TelegramBench, telegram_bench

__all__ = ["telegram_bench"]
PAGES = ("status", "tree", "metrics", "parts/notifier", "audit", "signals/quality?run_scan=false")


@pytest.mark.timeout(900)
def test_a_pause_reaches_the_telephone_through_an_outage_and_the_token_shows_nowhere(
    telegram_bench: TelegramBench,
) -> None:
    telegram_bench.plan({"status": 502})
    environment = {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHAT_ID": "42",
        "TOMIC_SIGNAL_LOOP_ENABLED": "false",
    }
    # The system under test moves every port of 127.0.0.1 in its topology; this one stays.
    url = telegram_bench.url.replace("127.0.0.1", "localhost")
    with default_system(environment, {"https://api.telegram.org": url}) as system:
        system.start()
        wait_for(lambda: system.nodes().get("notifier", {}).get("state") == "running", "notifier")
        wait_for(
            lambda: system.post("/tomic/pause", {"reason": "a test"})[0] == 200, "the latch stands"
        )

        def told() -> bool:
            sent = [row for row in telegram_bench.requests() if row["status"] == 200]
            return any("CRITICAL: Trading stopped: a test" in row["body"]["text"] for row in sent)

        wait_for(told, "the chat was told")
        assert telegram_bench.requests()[0]["status"] == 502
        shown = [str(system.get(f"/tomic/{page}")[1]) for page in PAGES]
        assert "telegram" in shown[3]
        system.stop()
        files = [path for path in (system.folder / "var").rglob("*") if path.is_file()]
        shown += [path.read_bytes().decode(errors="replace") for path in files]
        shown.append(system.output())
        assert any("CRITICAL: Trading stopped: a test" in text for text in shown)
        assert [text[:200] for text in shown if TOKEN in text or API_KEY in text] == []
