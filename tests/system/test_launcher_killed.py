"""kill -9 of a launcher at each moment of its start: nothing of it lives on, the next start comes
up, and a stop leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.processes import processes
from tests.kit.crashing_launcher import MOMENTS
from tests.kit.running_tree import ROOT, RunningTree, wait_for

Start = Callable[..., RunningTree]
SCRIPT = ROOT / "tests" / "kit" / "crashing_launcher.py"
PAIR = """\
- name: work
  strategy: one_for_one
  children:
    - {name: one, actor: tests.kit.probe_actors.Probe}
    - {name: two, actor: tests.kit.probe_actors.Probe}
"""
DRAINED_WITHIN_S = 30.0  # a root that lives takes 4 s at most, on an idle machine


def of_folder(data_dir: Path) -> list[int]:
    """Living processes that were forked from a launcher of that folder: they bear its words."""
    found = []
    for row in processes():
        try:
            words = Path(f"/proc/{row.pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(data_dir).encode() in words and not row.zombie:
            found.append(row.pid)
    return found


def noted_run_folder(tree: RunningTree) -> Path | None:
    path = tree.data_dir / "run" / "session"
    return Path(json.loads(path.read_text())["run_dir"]) if path.exists() else None


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_launcher_killed_in_its_start_leaves_nothing_and_the_next_comes_up_when_killed_at(
    start_tree: Start, moment: str
) -> None:
    tree = start_tree(PAIR, program=(str(SCRIPT), moment), ready=False)
    assert tree.launcher.wait(120) == -9
    folder = noted_run_folder(tree)
    wait_for(lambda: not of_folder(tree.data_dir), "nothing of it lives on", DRAINED_WITHIN_S)
    said = tree.text().count(" nodes are ready")  # one that died of being ready had said so
    tree.launcher = tree.launch()
    tree.wait_ready(times=said + 1)
    assert folder is None or not folder.exists()
    assert tree.stop() == 0
    assert of_folder(tree.data_dir) == []
    assert {path.name for path in (tree.data_dir / "run").iterdir()} == {"launches"}


def test_an_admin_whose_root_and_launcher_die_together_ends_too(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    for pid in (tree.pid("root"), tree.launcher.pid):
        tree.kill(pid)
    tree.launcher.wait()
    wait_for(lambda: not of_folder(tree.data_dir), "nothing of it lives on", DRAINED_WITHIN_S)
