"""The stand-in for Telegram as a fixture: a process of its own with its requests and its plan."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOKEN = "1234567890:AAH-stand_in_token_of_the_tests_0001"


class TelegramBench:
    """The running stand-in."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "telegram.log"
        script = Path(__file__).with_name("telegram_server.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self._log)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def plan(self, *answers: dict[str, Any]) -> None:
        """How the next requests are answered; after them all is well."""
        self._log.with_suffix(".plan").write_text(json.dumps(answers))

    def requests(self) -> list[dict[str, Any]]:
        """What came, in order."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


@pytest.fixture
def telegram_bench(tmp_path: Path) -> Iterator[TelegramBench]:
    """A stand-in that is gone after the test."""
    bench = TelegramBench(tmp_path)
    yield bench
    bench.close()
