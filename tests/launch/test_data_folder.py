"""The data folder of a start: what cannot be written, and what an earlier life left broken."""

from __future__ import annotations

import ctypes
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import ConfigurationFault
from launch.build import data_folder
from launch.command_line import parse
from launch.folder import count_launch, prepare, sandbox_keys

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path / "var")
    return tmp_path / "var"


def bound_by_permissions() -> None:
    """In the child, before it begins: root without the right to pass over permission bits."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0


def start(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A start that ends when the databases are of this version, as a user types it."""
    return subprocess.run(
        [
            sys.executable, str(root / "system.py"), "--migrate", "--data-dir", str(folder),
            "--env-file", str(folder.parent / "env"), "--topology", str(root / "topology.yaml"),
        ],
        capture_output=True, text=True, preexec_fn=bound_by_permissions, check=False,
        env={key: text for key, text in os.environ.items() if not key.startswith("TOMIC_")},
    )  # fmt: skip


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigurationFault, match=r"data folder .* cannot be written: Not a dir"):
        data_folder(parse(["--data-dir", str(tmp_path / "file" / "var")]))


@pytest.mark.parametrize("part", ["", "run", "log", "sandbox", "tomic.db", "sandbox/books.db"])
def test_a_used_folder_that_became_read_only_is_named_by_the_next_start(
    root: Path, folder: Path, part: str
) -> None:
    for name in ("tomic.db", "sandbox/books.db"):
        (folder / name).write_bytes(b"")
    path = folder / part
    path.chmod(path.stat().st_mode & ~0o222)
    ended = start(root, folder)
    path.chmod(path.stat().st_mode | 0o700)
    inside = f" ({part})" if part else ""
    assert ended.returncode == 2
    assert ended.stderr == (
        f"data folder {folder} cannot be written{inside}: Permission denied "
        f"(--data-dir names another)\n"
    )


def test_each_start_has_the_next_number(folder: Path) -> None:
    assert [count_launch(folder) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("left", ["", "many", "-1", "1.5", "9" * 30])
def test_a_number_of_starts_that_is_none_is_named_with_the_way_out(folder: Path, left: str) -> None:
    path = folder / "run" / "launches"
    path.write_text(left)
    with pytest.raises(ConfigurationFault) as caught:
        count_launch(folder)
    assert str(path) in str(caught.value)
    assert "write one into it" in str(caught.value)
    assert path.read_text() == left


def test_keys_are_made_once_and_only_the_user_reads_them(folder: Path) -> None:
    first = sandbox_keys(folder, ["alpha"])
    both = sandbox_keys(folder, ["alpha", "beta"])
    path = folder / "sandbox" / "keys.json"
    assert both["alpha"] == first["alpha"] != both["beta"]
    assert json.loads(path.read_text()) == both
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sandbox_keys(folder, ["beta"]) == {"beta": both["beta"]}


@pytest.mark.parametrize("left", ["", '{"alpha": "0a1', "[]", '{"alpha": 5}', "null"])
def test_keys_that_cannot_be_read_are_named_with_the_way_out(folder: Path, left: str) -> None:
    path = folder / "sandbox" / "keys.json"
    path.write_text(left)
    with pytest.raises(ConfigurationFault) as caught:
        sandbox_keys(folder, ["alpha"])
    assert f"{path} is no JSON object of keys; delete it" in str(caught.value)
    assert path.read_text() == left


def test_a_write_that_fails_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sandbox_keys(folder, ["alpha"])

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("launch.folder.os.fsync", full)
    with pytest.raises(ConfigurationFault, match=r"keys.json cannot be written: No space left"):
        sandbox_keys(folder, ["alpha", "beta"])
    monkeypatch.undo()
    assert sandbox_keys(folder, ["alpha"]) == first
