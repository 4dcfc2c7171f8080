"""A recorded session through the whole supervised tree: it ends by itself, and repeats exactly."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from domain.tape import GENESIS, read_log, record_after, to_line
from persistence.tape import LOG, runs_of
from tests.kit.recorded_session import write_daily, write_session

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 6
DAY_BEFORE = date(2026, 8, 18)
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four minutes of a chain whose premium is rich against a calm year."""
    folder = tmp_path_factory.mktemp("recording")
    write_session(folder / "session.csv", minutes=MINUTES, strikes=60, volatility=0.17)
    # The year's swings shrink to nothing: a squeeze, which is congestion.
    calm = [24_050 + (80 - 0.22 * n) * ((n % 4) - 1.5) for n in range(300)]
    write_daily(folder, "nifty", closes=calm, last=DAY_BEFORE)
    fear = [11 + 7 * (n % 50) / 49 for n in range(300)]
    write_daily(folder, "india-vix", closes=fear, last=DAY_BEFORE)
    return folder


def run_system(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """One run of system.py with these words; its exit status and its report."""
    folder.mkdir()
    environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "system.py"), "--topology", str(ROOT / "topology.yaml"),
            "--report", str(folder / "report.json"),
            "--data-dir", str(folder / "var"), "--env-file", str(folder / "env"), *words,
        ],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert (folder / "report.json").exists(), output
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return done.returncode, report | {"output": output, "folder": folder}


def replay(folder: Path, recording: Path, speed: str) -> dict[str, Any]:
    """A replay of the recording that ends well; its report."""
    file, history = str(recording / "session.csv"), str(recording)
    status, report = run_system(folder, "--replay", file, "--history", history, "--speed", speed)
    assert status == 0, report["output"]
    return report


@pytest.fixture(scope="module")
def first(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return replay(tmp_path_factory.mktemp("first") / "run", recording, "0")


def test_a_replay_ends_by_itself_with_a_report_of_what_was_seen(first: dict[str, Any]) -> None:
    # A snapshot a minute; subscribed are 51 strikes or more each side and expiry, not all 60.
    assert first["ticks"] >= MINUTES * 2 * 51 * 2
    assert first["bars"] == first["ticks"] * (MINUTES - 1) / MINUTES  # the last minute still runs
    assert first["derived"]
    assert first["from"].startswith("2026-08-19T11:2")
    assert "Decisions" in first["output"]
    assert first["decisions"] > 0
    assert len(first["decisions_sha256"]) == 64


def test_a_row_of_the_recording_is_told_once(first: dict[str, Any], recording: Path) -> None:
    # A feed that took its resting sockets for lost subscribed them anew, and was told all again.
    recorded = len((recording / "session.csv").read_text().splitlines()) - 1
    spots_and_indices = 2 * MINUTES
    assert first["ticks"] <= recorded + spots_and_indices


def test_a_replay_trades_what_the_recording_offers(first: dict[str, Any]) -> None:
    assert first["signals"], first["refusals"]
    assert first["fills"] > 0, first["lines"]
    assert first["structures_opened"] == 1
    bought = [line for line in first["lines"] if "execution: bought" in line]
    sold = [line for line in first["lines"] if "execution: sold" in line]
    assert first["lines"].index(bought[-1]) < first["lines"].index(sold[0])


def test_two_replays_at_different_speeds_decide_the_same_in_the_same_order(
    first: dict[str, Any], recording: Path, tmp_path: Path
) -> None:
    second = replay(tmp_path / "run", recording, "60")
    assert second["lines"] == first["lines"]
    assert second["decisions"] == first["decisions"]
    assert second["decisions_sha256"] == first["decisions_sha256"]


def tape_of(report: dict[str, Any]) -> Path:
    """The folder of the only run that a replay taped."""
    (run,) = runs_of(report["folder"] / "var")
    return run


def test_a_taped_run_is_replayed_with_every_decision_the_same(
    first: dict[str, Any], tmp_path: Path
) -> None:
    day = tape_of(first).parent
    status, second = run_system(tmp_path / "run", "--replay", str(day), "--expect")
    same = f"Decisions: {first['decisions']} same, 0 missing, 0 extra, 0 changed"
    assert same in second["output"]
    assert status == 0, second["output"]
    assert second["decisions_sha256"] == first["decisions_sha256"]
    assert second["ticks"] == first["ticks"]


def test_a_decision_that_is_not_made_again_is_named_and_ends_with_1(
    first: dict[str, Any], tmp_path: Path
) -> None:
    taped = tape_of(first)
    records, _ = read_log((taped / LOG).read_bytes())
    fills = [place for place, row in enumerate(records) if row.body.get("kind") == "OrderFilled"]
    body = copy.deepcopy(dict(records[fills[0]].body))
    body["body"]["fill"]["quantity"] += 1
    forged = tmp_path / "2026-08-19" / "0001"
    shutil.copytree(taped, forged)
    lines, digest = [], GENESIS
    for place, row in enumerate(records):
        changed = body if place == fills[0] else row.body
        record = record_after(digest, row.kind, row.at_ns, changed)
        lines.append(to_line(record))
        digest = record.digest
    (forged / LOG).write_bytes(b"".join(lines))
    status, report = run_system(tmp_path / "run", "--replay", str(forged), "--expect")
    assert status == 1, report["output"]
    quantity = body["body"]["fill"]["quantity"]
    assert f"fill quantity: {quantity} then, {quantity - 1} now" in report["output"]
    assert f"{first['decisions'] - 1} same, 0 missing, 0 extra, 1 changed" in report["output"]
