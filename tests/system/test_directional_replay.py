"""A directional entry through the whole supervised tree: bought in its zone, left at its stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.kit.recorded_session import write_daily, write_session

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(900)


def write_recording(folder: Path) -> None:
    """A rising market, a base around 24,050 left upwards, and a session that comes back to it and
    then falls below the stop, half a per cent under 23,929.75."""
    rise = [20_000 + 14 * n for n in range(284)]
    base_and_away = [24_000, 24_050, 24_300, 24_550, 24_800]
    closes = [*rise, *base_and_away, *(24_800 + 10 * (n % 2) for n in range(11))]
    write_daily(folder, "nifty", closes=closes, last=date(2026, 8, 18))
    calm = [13 + 2 * (n % 50) / 49 for n in range(300)]
    write_daily(folder, "india-vix", closes=calm, last=date(2026, 8, 18))
    spots = [24_050.0] * 4 + [23_790.0] * 4
    write_session(
        folder / "session.csv", minutes=8, strikes=60, volatility=0.13, spots=spots
    )  # fmt: skip


def test_a_return_to_demand_is_bought_and_left_when_the_underlying_reaches_the_stop(
    tmp_path: Path,
) -> None:
    write_recording(tmp_path)
    environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "system.py"), "--replay", str(tmp_path / "session.csv"),
            "--history", str(tmp_path), "--speed", "0", "--report", str(tmp_path / "report.json"),
            "--data-dir", str(tmp_path / "var"), "--env-file", str(tmp_path / "env"),
        ],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split("  ", 1)[-1] for line in done.stdout.splitlines()]

    def first(*words: str) -> int:
        found = [n for n, line in enumerate(lines) if all(word in line for word in words)]
        assert found, f"{words} in {done.stdout}"
        return found[0]

    seen = first("sniper: NIFTY deep in-the-money call", "fresh demand zone 23929.75-24170.25")
    sized = first("risk: NIFTY deep in-the-money call sized to", "buy NIFTY25AUG26")
    stands = first("execution: NIFTY deep in-the-money call stands")
    left = first("execution: TOMIC_DITM_CALL_NIFTY closed (sl_hit")
    assert seen < sized < stands < left
    # The fall that ended the trade ended its setup too: nothing is bought a second time.
    assert sum("sized to" in line for line in lines) == 1
    assert json.loads((tmp_path / "report.json").read_text())["fills"] >= 2
