"""`--drill`: where it refuses, how it judges, and that nothing of it is left."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from rich.console import Console

import system
from launch import drill as module
from launch.build import ROOT
from launch.drill import Drill, Finding, card
from launch.drilled_system import DrilledSystem, NeverCame, drilled_system
from launch.topology_file import load_topology
from tests.kit.default_system import wait_for

TOPOLOGY = ROOT / "topology.yaml"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def brokers() -> Any:
    return load_topology(TOPOLOGY, {}).brokers


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("TOMIC_MODE", "full_auto", "DRILL_NOT_SANDBOX: TOMIC_MODE is full_auto"),
        ("TOMIC_MODE", "semi_auto", "DRILL_NOT_SANDBOX: TOMIC_MODE is semi_auto"),
        (
            "MULTI_BROKER_ZERODHA_URL",
            "http://desk.example:5002",
            "DRILL_NOT_SANDBOX: zerodha is at",
        ),
        ("TOMIC_EXECUTION_REST", "http://desk.example:5002", "DRILL_NOT_SANDBOX: "),
        ("TOMIC_FEED_PRIMARY_WS", "ws://desk.example:8767", "DRILL_NOT_SANDBOX: "),
    ],
)
def test_a_drill_of_anything_but_the_sandbox_is_refused_with_its_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(key, value)
    monkeypatch.setattr(module, "drill", lambda *_: pytest.fail("it began"))
    assert system.main(["--drill", "--env-file", str(tmp_path / "env")]) == 2
    assert words in capsys.readouterr().err


def finding(took_s: float | None, what: str = "x") -> Finding:
    return Finding("item", what, 5.0, took_s, "" if took_s else "never came")


def test_a_step_passes_at_its_limit_and_not_beyond_nor_without_an_answer() -> None:
    assert [finding(took_s).passed for took_s in (5.0, 5.001, None)] == [True, False, False]


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([finding(1.0), finding(1.0, module.LAST_STEP)], 0),
        ([finding(None), finding(1.0, module.LAST_STEP)], 1),
        ([finding(6.0), finding(1.0, module.LAST_STEP)], 1),
        ([finding(1.0)], 1),  # broken off
        ([], 1),
    ],
)
def test_the_exit_tells_whether_every_item_passed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    findings: list[Finding],
    code: int,
) -> None:
    monkeypatch.setattr(module, "drill", lambda *_: findings)
    assert system.main(["--drill", "--env-file", str(tmp_path / "env")]) == code
    assert "Monthly drill" in capsys.readouterr().out


def test_the_card_shows_limit_and_measure_of_each_step() -> None:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(card([finding(1.234), finding(None)]))
    text = captured.get()
    assert "1 of 2 FAILED" in text
    assert [word in text for word in ("1.23", "never", "passed", "FAILED")] == [True] * 4


class DeadSystem:
    """Nothing that is asked of it ever comes."""

    def start(self, _within_s: float) -> float:
        return 1.0

    def __getattr__(self, name: str) -> Any:
        def never(*_: Any) -> Any:
            if name == "part":
                return {"broker": "alpha", "canonical": "alpha"}
            raise NeverCame(f"{name} of the dead")

        return never


def test_a_step_that_fails_is_noted_and_the_next_ones_run() -> None:
    run = Drill(DeadSystem(), lambda _line: None)  # type: ignore[arg-type]
    run._kill_switch()
    assert [(row.item, row.took_s) for row in run.findings] == [("kill switch", None)] * 3
    assert "post of the dead" in run.findings[0].note


def test_the_drilled_system_shares_nothing_with_the_users_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in ("TELEGRAM_BOT_TOKEN", "TOMIC_DATABASE_URL", "MULTI_BROKER_X_URL", "FLASK_PORT"):
        monkeypatch.setenv(key, "5000")
    with drilled_system(TOPOLOGY, brokers()) as drilled:
        folder = drilled.data_dir.parent
        text = (folder / "topology.yaml").read_text(encoding="utf-8")
        environment = drilled._environment
        assert folder.is_dir()
    assert not folder.exists()
    own = load_topology(TOPOLOGY, {}).brokers
    assert [row.rest_url for row in own if row.rest_url in text] == []
    assert [row.websocket_url for row in own if row.websocket_url in text] == []
    assert {
        "TELEGRAM_BOT_TOKEN",
        "TOMIC_DATABASE_URL",
        "MULTI_BROKER_X_URL",
        "FLASK_PORT",
    }.isdisjoint(environment)


def order_by_a_stranger(drilled: DrilledSystem, broker: str) -> None:
    """One order at the broker that the runtime did not send."""
    rows = load_topology(drilled.data_dir.parent / "topology.yaml", {}).brokers
    place = urlsplit(next(row.rest_url for row in rows if row.name == broker))
    key = json.loads((drilled.data_dir / "sandbox" / "keys.json").read_text())[broker]
    order = {
        "apikey": key, "strategy": "by hand", "symbol": "SBIN", "exchange": "NSE", "action": "BUY",
        "quantity": "1", "pricetype": "MARKET", "product": "CNC",
    }  # fmt: skip
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/api/v1/placeorder", json.dumps(order), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


@pytest.mark.timeout(300)
def test_a_real_system_starts_is_drilled_and_is_gone() -> None:
    said: list[str] = []
    with drilled_system(TOPOLOGY, brokers()) as drilled:
        assert isinstance(drilled, DrilledSystem)
        drilled.start(120.0)
        drilled.wait(lambda: drilled.part("breaker_gate"), "the gate reports", 60.0)
        run = Drill(drilled, said.append)
        run._kill_switch()
        run._risk_latch()
        pid = drilled.node("root")["pid"]
        broker = drilled.part("breaker_gate")["broker"]
        before = drilled.unmatched_orders(broker)
        order_by_a_stranger(drilled, broker)
        after = drilled.unmatched_orders(broker)
    assert [row.what for row in run.findings if row.took_s is None] == []
    assert len(said) == 7
    assert before == []
    assert [line.endswith("is at the broker and unknown here") for line in after] == [True]
    assert not Path(f"/proc/{pid}").exists()


def test_a_drill_takes_no_second_task(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        system.main(["--drill", "--replay", "session.csv"])
    assert "--replay: not allowed with argument --drill" in capsys.readouterr().err


def test_a_drill_that_is_asked_to_end_takes_its_system_along(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
    command = [sys.executable, str(ROOT / "system.py"), "--drill"]
    with (tmp_path / "output").open("w") as output:
        drill = subprocess.Popen(
            [*command, "--env-file", str(tmp_path / "env")],
            env=environment | {"TMPDIR": str(tmp_path)}, cwd=ROOT, stdout=output, stderr=output,
        )  # fmt: skip
    wait_for(lambda: list(tmp_path.glob("tomic-drill-*/var/run/session")), "the system is up")
    drill.send_signal(signal.SIGTERM)
    drill.wait(30)
    assert list(tmp_path.glob("tomic-drill-*")) == []
    assert [row for row in psutil.process_iter(["cmdline"])
            if str(tmp_path) in " ".join(row.info["cmdline"] or ())] == []  # fmt: skip
