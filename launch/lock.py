"""The lock that refuses a second start, and the note of what a launcher left running."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import tempfile
from pathlib import Path

from launch import processes

STOP_WITHIN_S = 10.0


class AlreadyRunning(Exception):
    """Raised when a living launcher holds the lock; `pid` is its process."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"TOMIC already runs here as process {pid}")
        self.pid = pid


class Lock:
    """`run/lock` in the data folder. lockf: it ends with the process, no fork inherits it."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "run" / "lock"
        self._session = data_dir / "run" / "session"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = int(os.pread(self._file, 32, 0) or 0)
            os.close(self._file)
            raise AlreadyRunning(holder) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def make_run_dir(self) -> Path:
        """A private folder for the sockets of this life, noted before it is made: a start that is
        killed leaves none that nobody knows of. Its path is short, as sockets want it."""
        run_dir = Path(tempfile.gettempdir()) / f"tomic-{secrets.token_hex(4)}"
        self.note_session(0, 0, run_dir)
        run_dir.mkdir(mode=0o700)
        return run_dir

    def note_session(self, session: int, port: int, run_dir: Path) -> None:
        """Written before anything else runs in the session, for the next start to sweep by;
        session 0 while there is none."""
        note = {
            "session": session, "boot": processes.boot_id(), "admin_port": port, "run_dir":
            str(run_dir),
        }  # fmt: skip
        self._session.write_text(json.dumps(note), encoding="utf-8")

    def sweep(self) -> int:
        """Ends what an earlier life left behind. Gives the number of the session, 0 when there was
        none."""
        if not self._session.exists():
            return 0
        try:
            note = json.loads(self._session.read_text(encoding="utf-8"))
        except ValueError:  # cut off by a crash: its tree ends itself without the launcher
            note = {"session": 0, "boot": "", "run_dir": ""}
        self._session.unlink()
        if note["run_dir"]:
            shutil.rmtree(note["run_dir"], ignore_errors=True)
        if not note["session"] or note["boot"] != processes.boot_id():
            return 0
        if not processes.is_abandoned(note["session"]):
            return 0
        processes.end_session(note["session"])
        return int(note["session"])

    def close(self) -> None:
        """The last act of an orderly end."""
        self._session.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def stop_running(data_dir: Path) -> str:
    """Stops the system of that data folder as Ctrl-C does, and waits. Gives a sentence; raises
    TimeoutError when it does not end."""
    path = data_dir / "run" / "lock"
    if not path.exists():
        return f"no system runs with data folder {data_dir}"
    try:
        Lock(data_dir).close()
    except AlreadyRunning as running:
        descriptor = os.pidfd_open(running.pid)
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], STOP_WITHIN_S)[0]:
            raise TimeoutError(
                f"process {running.pid} did not end within {STOP_WITHIN_S:g} s"
            ) from None
        return f"stopped process {running.pid}"
    return f"no system runs with data folder {data_dir}"
