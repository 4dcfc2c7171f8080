"""What the actor runtime must know before it is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kit.source_tree import ROOT

IMPORTS_NOTHING = "import sys, system; print('thespian' in sys.modules)"
LIMITS = """\
import system
from pathlib import Path
system.secure_transport(Path("unused"))
import actors.host
from thespian.system.transport import DEFAULT_MAX_TRANSMIT_PERIOD
from thespian.system.transport.asyncTransportBase import MAX_PENDING_TRANSMITS
print(DEFAULT_MAX_TRANSMIT_PERIOD.total_seconds(), MAX_PENDING_TRANSMITS)
"""
LIGHT = """\
import system
from pathlib import Path
system.secure_transport(Path("unused"))
from actors.host import lighten_runtime
from thespian.system import actorManager, utilis
lighten_runtime()
class Made:
    pass
made_by = actorManager.ActorManager._createInstance.__code__.co_names
print("withPossibleInitArgs" in made_by)
print(type(actorManager.withPossibleInitArgs(capabilities={}, requirements=None).create(Made)))
looked_for = []
class Finder:
    def find_spec(self, name, *_):
        looked_for.append(name)
import sys
sys.meta_path.insert(0, Finder())
utilis.setProcName("name", "address")
print(looked_for)
"""


def told_by(code: str, folder: Path) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment
    ).stdout.strip()


def test_the_launch_imports_the_runtime_only_when_its_limits_are_set(tmp_path: Path) -> None:
    assert told_by(IMPORTS_NOTHING, tmp_path) == "False"


def test_mail_that_cannot_be_handed_over_is_given_up_after_15_s_and_200_may_wait(
    tmp_path: Path,
) -> None:
    assert told_by(LIMITS, tmp_path) == "15.0 200"


def test_the_runtime_reads_no_signature_and_looks_for_no_absent_module_in_each_process(
    tmp_path: Path,
) -> None:
    told = told_by(LIGHT, tmp_path).splitlines()
    assert told == ["True", "<class '__main__.Made'>", "[]"]
