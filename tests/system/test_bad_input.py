"""What a user can get wrong at the start: refused at once, in words that say what to change."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.default_system import ROOT, DefaultSystem
from tests.kit.recorded_session import HEADER, session_rows

pytestmark = pytest.mark.timeout(300)
KEY = "k" * 40
Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """Runs system.py to its end on ports and a folder of its own."""
    system = DefaultSystem(tmp_path)

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {
            "--topology": str(tmp_path / "topology.yaml"),
            "--data-dir": str(tmp_path / "var"),
            "--env-file": str(tmp_path / "env"),
            "--http-port": str(system.http_port),
        }
        # Words come last: the later of two values is the one that counts.
        rest = [part for pair in given.items() for part in pair]
        command = [sys.executable, str(ROOT / "system.py"), *rest, *words]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**system.environment, "TOMIC_API_KEY": KEY, **environment},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Ended with 2, said each part, and showed no traceback and no key."""
    assert done.returncode == 2, done.stdout + done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr


# -- ports --


@pytest.fixture
def taken() -> socket.socket:
    """A port that somebody else holds."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder


def test_a_taken_http_port_is_named_with_the_way_out(launch: Launch, taken: socket.socket) -> None:
    port = str(taken.getsockname()[1])
    refused(launch("--http-port", port), port, "TOMIC_HTTP_PORT")


def test_a_taken_sandbox_port_is_named_with_its_broker(
    launch: Launch, taken: socket.socket, tmp_path: Path
) -> None:
    text = (tmp_path / "topology.yaml").read_text()
    line = next(row for row in text.splitlines() if row.strip().startswith("dhan:"))
    theirs = line.split("127.0.0.1:")[1].split('"')[0]
    port = str(taken.getsockname()[1])
    (tmp_path / "topology.yaml").write_text(text.replace(f":{theirs}", f":{port}"))
    refused(launch(), port, "dhan")


# -- folder and databases --


def test_a_file_where_the_data_folder_should_be_is_refused(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(launch("--data-dir", str(tmp_path / "file")), str(tmp_path / "file"), "--data-dir")


def test_a_data_folder_nobody_can_write_is_refused(launch: Launch) -> None:
    refused(launch("--data-dir", "/proc/tomic"), "/proc/tomic", "--data-dir")


@pytest.mark.parametrize("group", ["main", "journal", "market"])
def test_a_database_of_a_newer_version_is_left_alone(
    launch: Launch, tmp_path: Path, group: str
) -> None:
    assert launch("--migrate").returncode == 0
    path = tmp_path / "var" / ("tomic.db" if group == "main" else f"{group}.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE name LIKE '%version%'")
        (name,) = next(iter(tables))
        database.execute(f"UPDATE {name} SET version_num = '{group}_9999'")
        database.commit()
    before = path.read_bytes()
    refused(launch(), group, f"{group}_9999", "newer")
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_named(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "tomic.db").write_text("not a database, though long enough to be read" * 40)
    refused(launch(), "main")


# -- topology and settings --


def test_check_names_file_line_and_reason_of_each_fault(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    lines = path.read_text().splitlines()

    def spoil(found: str, replacement: str) -> int:
        number = next(n for n, row in enumerate(lines) if found in row)
        lines[number] = lines[number].replace(found, replacement)
        return number + 1

    wrong = {
        spoil("actors.journal.recorder.Recorder", "actors.journal.recorder.Nobody"): "Nobody",
        spoil("name: signal_loop,", "name: signal_loop, colour: red,"): "colour",
        spoil("name: sniper_agent,", "name: volatility_agent,"): "volatility_agent",
        spoil("rule: order_rate", "rule: order_rat"): "order_rat",
    }
    path.write_text("\n".join(lines))
    done = launch("--check")
    refused(done)
    said = dict(row.removeprefix(f"{path}:").split(":", 1) for row in done.stderr.splitlines())
    for number, word in wrong.items():
        near = [text for line, text in said.items() if abs(int(line) - number) <= 1]
        assert any(word in text for text in near), (number, word, done.stderr)


def test_check_of_a_file_that_is_no_yaml_names_the_line(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_text("tree:\n  name: [root\n")
    refused(launch("--check"), f"{tmp_path / 'topology.yaml'}:")


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("TOMIC_CAPITAL", "-5", "0"),
        ("TOMIC_CAPITAL", "plenty", "number"),
        ("TOMIC_MODE", "yolo", "full_auto"),
        ("TOMIC_SIGNAL_LOOP_INTERVAL_S", "0", "greater than 0"),
        ("TOMIC_REJECT_PENDING_ON_START", "perhaps", "true"),
    ],
)
def test_a_bad_setting_is_named_with_its_value_and_what_it_may_be(
    launch: Launch, key: str, value: str, rule: str
) -> None:
    refused(launch("--config", **{key: value}), key, value, rule)
    refused(launch(**{key: value}), key, value, rule)


# -- recordings --


def recording(path: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    with gzip.open(path, "wt", newline="") as file:
        file.writelines(",".join(row) + "\n" for row in [header, *rows])
    return path


def test_a_missing_recording_is_named(launch: Launch, tmp_path: Path) -> None:
    refused(launch("--replay", str(tmp_path / "none.csv")), str(tmp_path / "none.csv"))


def test_an_empty_recording_is_told_which_columns_it_needs(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    refused(launch("--replay", str(tmp_path / "empty.csv")), "empty.csv", "ts,expiry,strike")


def test_a_recording_without_rows_is_refused(launch: Launch, tmp_path: Path) -> None:
    path = recording(tmp_path / "head.csv.gz", [])
    refused(launch("--replay", str(path)), "head.csv.gz", "no usable row")


def test_a_recording_with_other_columns_is_told_which_is_missing(
    launch: Launch, tmp_path: Path
) -> None:
    header = ["price" if name == "ltp" else name for name in HEADER]
    path = recording(tmp_path / "other.csv.gz", session_rows(minutes=1, strikes=2), header)
    refused(launch("--replay", str(path)), "other.csv.gz line 1", "ltp")


def test_a_gzip_file_that_is_none_is_refused(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "plain.csv.gz").write_text("ts,expiry\n")
    refused(launch("--replay", str(tmp_path / "plain.csv.gz")), "plain.csv.gz")


def spoiled(folder: Path) -> Path:
    """Two minutes: a NaN price, a time that goes back, and the end of the file cut off."""
    rows = session_rows(minutes=2, strikes=8)
    rows[1][5] = "nan"
    rows[-1][0] = rows[0][0]
    whole = recording(folder / "spoiled.csv.gz", rows).read_bytes()
    path = folder / "cut.csv.gz"
    path.write_bytes(whole[:-12])
    return path


def test_a_spoiled_recording_is_replayed_as_far_as_it_goes_and_the_report_counts(
    launch: Launch, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    done = launch("--replay", str(spoiled(tmp_path)), "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert told["recorded"]["bad_price"] == 1
    assert told["recorded"]["time_back"] == 1
    assert any("cut short" in text for text in told["warnings"])
    assert told["ticks"] > 0


def test_a_second_start_names_the_first_and_leaves_it_alone(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "var" / "run").mkdir(parents=True)
    with (tmp_path / "var" / "run" / "lock").open("w+") as lock:
        lock.write(str(os.getpid()))
        lock.flush()
        fcntl.lockf(lock, fcntl.LOCK_EX)
        done = launch()
    assert done.returncode == 1
    assert str(os.getpid()) in done.stderr
