"""Processes as /proc shows them: finding the runtime's own, ending and reaping them."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """One row of /proc."""

    pid: int
    parent: int
    session: int
    zombie: bool


def processes() -> list[Process]:
    """Every process that can be seen now."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                text = Path(entry.path, "stat").read_text()
                state, parent, _, session = text.rpartition(")")[2].split()[:4]
                found.append(Process(int(entry.name), int(parent), int(session), state == "Z"))
    return found


def children(pid: int) -> list[Process]:
    """Living children of `pid`."""
    return [process for process in processes() if process.parent == pid and not process.zombie]


def end_session(session: int) -> None:
    """Kills every process of a session that is not our own."""
    if session == os.getsid(0):
        return
    for process in processes():
        if process.session == session:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def is_abandoned(session: int) -> bool:
    """True when processes of that session live on without its leader. The leader ended long ago; a
    process that bears its number is a stranger, for the kernel gives no number of a living session.
    """
    members = [process for process in processes() if process.session == session]
    return bool(members) and all(process.pid != session for process in members)


def reap_all() -> None:
    """Waits for every child of this process, orphans it adopted among them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def reap_dead() -> None:
    """Takes away zombies; leaves the living alone."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def boot_id() -> str:
    """Changes with each start of the machine: process numbers of another boot mean nothing."""
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
