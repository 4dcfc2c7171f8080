"""A launcher that is killed at a named moment of its start.

The moment is its first word, the rest are system.py's. The moments wrap the product's own calls, in
the order of a start.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import system
from launch.launcher import Launcher
from launch.lock import Lock

# Moment: whose call, which, and whether it ends just before that call or just after it.
MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "locked": (Lock, "sweep", False),
    "run_folder_made": (Lock, "make_run_dir", True),
    "joined": (system, "build_runtime", True),
    "warmed_up": (system, "warm_up", True),
    "tree_begins": (system, "start_tree", False),
    "admin_unnoted": (Lock, "note_session", False),
    "admin_noted": (Lock, "note_session", True),
    "root_untold": (system, "Configure", False),
    "tree_made": (system, "start_tree", True),
    "ready": (Launcher, "_on_ready", True),
}


def end() -> None:
    """kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def ending(call: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """The call, and the end of this process."""

    @functools.wraps(call, updated=())
    def ends(*args: Any, **kwargs: Any) -> Any:
        if after:
            call(*args, **kwargs)
        end()

    return ends


def wrap(moment: str) -> None:
    """Makes this process end there. The first note of a session is the run folder's."""
    owner, name, after = MOMENTS[moment]
    call = getattr(owner, name)
    ends = ending(call, after=after)
    if name == "note_session":

        def of_a_session(lock: Lock, session: int, *args: Any) -> None:
            (ends if session else call)(lock, session, *args)

        setattr(owner, name, of_a_session)
    else:
        setattr(owner, name, ends)


if __name__ == "__main__":
    wrap(sys.argv[1])
    sys.exit(system.main(sys.argv[2:]))
