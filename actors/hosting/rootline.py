"""RootLine: what the root supervisor and the launcher say to each other, and the launcher's death.

The launcher says "drain"; the root says "ready", "drained", "gave_up" and "replay_ended". When the
launcher is gone the root drains the tree by itself and ends the runtime with it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from actors.hosting.shared import Shared
from actors.hosting.wire import Drain
from domain.clock import seconds

DRAIN_LIMIT_S = 4.0  # of the 5 s that a stop may take; the rest is for ending the runtime


class RootLine:
    """The root's end of the socket pair, and a descriptor of the launcher's process."""

    def __init__(self, shared: Shared, drain: Callable[[Drain], None]) -> None:
        self._socket, self._drain = shared.control, drain
        self._orphaned = False
        try:
            self._launcher = os.pidfd_open(shared.launcher_pid)
        except ProcessLookupError:
            self._launcher = -1
            self._begin(orphaned=True)

    def descriptors(self) -> list[int]:
        """Readable when the launcher speaks, or is dead."""
        return [] if self._orphaned else [self._socket.fileno(), self._launcher]

    def readable(self, descriptor: int) -> None:
        """Takes what the launcher says; its end of the line closes with its process."""
        words = b"" if descriptor == self._launcher else self._socket.recv(65_536)
        if not words:
            self._begin(orphaned=True)
        elif json.loads(words)["say"] == "drain":
            self._begin(orphaned=False)

    def say(self, word: str, **more: Any) -> None:
        """To the launcher; with it gone, `drained` ends the runtime's own processes too."""
        if self._orphaned:
            if word == "drained":
                os.killpg(os.getpgrp(), signal.SIGKILL)
            return
        self._socket.send(json.dumps({"say": word, **more}).encode())

    def _begin(self, *, orphaned: bool) -> None:
        self._orphaned = orphaned
        self._drain(Drain(time.monotonic_ns() + seconds(DRAIN_LIMIT_S), for_good=True))
