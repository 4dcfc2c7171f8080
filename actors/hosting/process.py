"""The operating system's side of a host: it ends with its parent, dies of its own faults, writes
nowhere."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
CRASHED = 70  # exit status after an exception
GAVE_UP = 71  # exit status of a supervisor whose restart intensity was exceeded
_LAST_WORDS_BYTES_MAX = 2_000
_NEEDED_LOOK_S = 0.5  # of the 4 s that a root takes to drain the tree


def end_with_parent() -> None:
    """The kernel kills this process when its parent ends, so that a branch is gone with its
    supervisor."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_group_with(parent: int, is_needed: Callable[[], bool]) -> None:
    """Once `parent` is gone, ends the whole process group as soon as it is not needed any more.

    By a signal, for the loop of this process is not ours; a parent that ended before it was asked
    for counts as gone.
    """

    def look(*_: object) -> None:
        if not is_needed():
            os.killpg(0, signal.SIGKILL)
        signal.setitimer(signal.ITIMER_REAL, _NEEDED_LOOK_S)

    signal.signal(signal.SIGUSR2, look)
    signal.signal(signal.SIGALRM, look)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGUSR2)
    if os.getppid() != parent:
        look()


def child_lives(pid: int) -> bool:
    """Whether a child of this process runs still; False for 0 and for a process of another."""
    if not pid:
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def adopt_orphans() -> None:
    """Makes this process the parent of all orphans below it, so that it can reap them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def take_name(name: str) -> None:
    """Shows the node's name (its first 15 bytes) where the system lists processes."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def may_go_first() -> bool:
    """Whether the system grants `go_first` to this process."""
    if not go_first():
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def go_first() -> bool:
    """This process, its later threads and its children get a processor before all that is not
    real-time, and take turns among themselves (sched(7), SCHED_RR); False where the system does not
    grant it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:  # no right to it, or a kernel that does not know it
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def plain_signals() -> None:
    """Faults end the process at once (a Python handler would spin on them for ever); the terminal's
    signals are the launcher's business."""
    for number in (
        signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTERM,
        signal.SIGQUIT,
    ):  # fmt: skip
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def close_output() -> None:
    """Standard output and error to nowhere: an inherited pipe must end with the launcher."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def leave_last_words(run_dir: Path, name: str, text: str) -> None:
    """Keeps why this process ends, for its supervisor."""
    (run_dir / f"{name}.words").write_text(text[:_LAST_WORDS_BYTES_MAX], encoding="utf-8")


def take_last_words(run_dir: Path, name: str) -> str:
    """What the last life left, once; "" when it could not say."""
    path = f"{run_dir}/{name}.words"
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    os.unlink(path)
    return text


def cause_of_exit(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "ended"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
