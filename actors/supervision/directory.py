"""directory: which life of each actor takes mail at which address.

Hears Register from every host; tells all hosts Known, at once when all is quiet, in batches when
many change. It keeps nothing: a new life is told everything again by the hosts.
"""

from __future__ import annotations

from typing import Any

from actors.actor import Actor
from actors.hosting.wire import Address, DirectoryAt, Known, Register

BATCH_S = 0.05  # at a start of 60 hosts this turns 3,600 pushes into some hundreds


class Directory(Actor):
    """Names to addresses."""

    STEPPED = False

    def start(self) -> None:
        self._entries: dict[str, Register] = {}
        self._fresh: dict[str, Register] = {}
        self._pushed_ns = 0
        self._planned = False
        plumbing = self.context.plumbing
        here = DirectoryAt(self.context.life, plumbing.transport.my_address())
        plumbing.transport.send(plumbing.parent, here)

    def on_frame(self, frame: Any, sender: Address) -> None:
        """A host registers."""
        if not isinstance(frame, Register):
            return
        before = self._entries.get(frame.name)
        if before is not None and before.life >= frame.life:
            return
        self._entries[frame.name] = self._fresh[frame.name] = frame
        everyone = Known(tuple(self._entries.values()))
        self.context.plumbing.transport.send(frame.address, everyone)
        if self._planned:
            return
        quiet_s = (self.context.monotonic_ns() - self._pushed_ns) / 1e9
        if quiet_s >= BATCH_S:
            self._push()
        else:
            self._planned = True
            self.context.after(BATCH_S, self._push)

    def _push(self) -> None:
        self._planned, self._pushed_ns = False, self.context.monotonic_ns()
        known = Known(tuple(self._fresh.values()))
        self._fresh = {}
        for entry in self._entries.values():
            if known.entries != (entry,):
                self.context.plumbing.transport.send(entry.address, known)
