"""The month's hedge through the whole supervised tree: bought once, within its budget, and held."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from launch.build import free_port
from tests.kit.recorded_session import EXPIRIES, write_daily, write_session

ROOT = Path(__file__).resolve().parents[2]
BUDGET, LOT = 5_000, 65
DAY_BEFORE = date(2026, 8, 18)
pytestmark = pytest.mark.timeout(900)


def replay(folder: Path) -> dict[str, Any]:
    """Six minutes of a chain that reaches down to puts of 5 delta, with the hedge switched on."""
    write_session(folder / "session.csv", minutes=6, strikes=100, volatility=0.17)
    write_daily(folder, "nifty", closes=[20_000 + 14 * n for n in range(300)], last=DAY_BEFORE)
    write_daily(
        folder, "india-vix", closes=[11 + 7 * (n % 50) / 49 for n in range(300)], last=DAY_BEFORE
    )
    shipped = (ROOT / "topology.yaml").read_text(encoding="utf-8")
    switched = shipped.replace("{tail_hedge: false}", "{tail_hedge: true}")
    assert switched != shipped
    (folder / "topology.yaml").write_text(switched, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "system.py"), "--topology", str(folder / "topology.yaml"),
            "--replay", str(folder / "session.csv"), "--history", str(folder), "--speed", "0",
            "--report", str(folder / "report.json"), "--data-dir", str(folder / "var"),
            "--env-file", str(folder / "env"), "--http-port", str(free_port()),
        ],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def test_the_hedge_is_bought_once_within_its_budget_and_stands_beside_what_else_is_held(
    tmp_path: Path,
) -> None:
    report = replay(tmp_path)
    (data_dir,) = (tmp_path / "var" / "replay").iterdir()
    database = sqlite3.connect(data_dir / "tomic.db")
    database.row_factory = sqlite3.Row
    held = database.execute(
        "SELECT * FROM positions WHERE strategy = 'TAIL_HEDGE' AND quantity > 0"
    ).fetchall()
    latch = database.execute(
        "SELECT reason FROM latches WHERE name = 'strategy_engine.hedge'"
    ).fetchall()
    entries = database.execute(
        "SELECT status FROM commands WHERE strategy_tag = 'TOMIC_TAIL_HEDGE_NIFTY'"
    ).fetchall()
    database.close()
    (put,) = held
    assert (put["direction"], put["kind"], put["underlying"]) == ("BUY", "PE", "NIFTY")
    assert put["expiry"] == EXPIRIES[1].isoformat()  # 41 days ahead, the weekly one is 6
    assert put["quantity"] % LOT == 0
    cost = put["quantity"] * float(put["average_price"])
    assert 0 < cost <= BUDGET
    # As many lots as the money buys: one more would be too dear.
    assert cost + LOT * float(put["average_price"]) > BUDGET * 0.95
    assert [row["reason"] for row in latch] == ["2026-08"]
    assert [row["status"] for row in entries] == ["DONE"]  # five scans more, and none buys again
    assert report["refusals"]["HEDGE_HELD"]["count"] >= 1
    assert "TAIL_HEDGE" in report["signals"]
