"""Board: shared memory in which every host keeps its own figures, made by the launcher before the
fork.

Each slot has one writer for each of its fields (the actor's host, or its supervisor), so there is
no lock, and the figures of an actor can be read while it is wedged or dead. The board outlives
every actor of the tree; with it lives the count of lives.
"""

from __future__ import annotations

import mmap
import os
import socket
from typing import Any

import numpy as np

from domain.supervision.topology import Node

DOWN, STARTING, RUNNING, STOPPING, WAITING, STOPPED, GAVE_UP = range(7)
# As people see them: what has its turn still before it starts, what finishes its work still runs.
SHOWN = ("starting", "starting", "running", "running", "backing_off", "stopped", "failed")
AWAY = SHOWN[WAITING:]
_SLOT = np.dtype(
    [
        # written by the supervisor
        ("life", "i8"), ("state", "i1"), ("restarts", "i8"), ("started_ns", "i8"),
        ("reason", "S200"), ("undrained", "?"),
        # written by the actor's host
        ("pid", "i8"), ("beat_ns", "i8"), ("handling_since_ns", "i8"), ("handling", "S48"),
        ("handled", "i8"), ("busy_pct", "f8"), ("mailbox_high", "i8"), ("rss_bytes", "i8"),
        ("refused", "i8"), ("dead_letters", "i8"), ("last_error", "S200"),
    ],
    align=True,
)  # fmt: skip
_FIELDS = _SLOT.names or ()
_NS_PER_S = 1_000_000_000


class Board:
    """Figures of all nodes. Times are monotonic nanoseconds, one clock for the machine."""

    def __init__(self, tree: Node) -> None:
        self.tree = tree
        self.index = {node.name: number for number, node in enumerate(tree.walk())}
        count = len(self.index)
        self._slots = _shared(_SLOT, (count,))
        self._columns = {field: self._slots[field] for field in _FIELDS}
        # depths[target, sender]: told but not yet handled, written by the sender alone. A target
        # adds its own up at each turn: they lie side by side.
        self._depths = _shared(np.dtype("i4"), (count, count))
        # What a life of `target` has begun and finished of each sender's letters, in two banks by
        # life, so that a new life does not wipe what senders must still learn of the one before.
        self._progress = _shared(np.dtype("i8"), (count, 2, count, 2))
        self._bank_life = _shared(np.dtype("i8"), (count, 2))

    def get(self, name: str, field: str) -> Any:
        """A figure; texts come as str."""
        value = self._columns[field][self.index[name]]
        return value.decode(errors="replace") if isinstance(value, bytes) else value.item()

    def put(self, name: str, **fields: Any) -> None:
        """Sets figures; texts are cut to their room."""
        number = self.index[name]
        for field, value in fields.items():
            self._columns[field][number] = value.encode() if isinstance(value, str) else value

    def new_life(self, name: str) -> int:
        """Counts and gives the number of the life that begins now; by the supervisor, before the
        fork."""
        life = int(self.get(name, "life")) + 1
        number = self.index[name]
        self._progress[number, life % 2] = 0
        self._bank_life[number, life % 2] = life
        self._depths[:, number] = 0
        self.put(
            name, life=life, state=STARTING, restarts=life - 1, pid=0, beat_ns=0,
            handling_since_ns=0, handling="", handled=0, busy_pct=0.0, mailbox_high=0, rss_bytes=0,
            undrained=False,
        )  # fmt: skip
        return life

    def set_depth(self, sender: str, target: str, depth: int) -> None:
        """By the sender's host: how many messages for `target` are told but not handled."""
        self._depths[self.index[target], self.index[sender]] = depth

    def mailbox(self, name: str) -> int:
        """Messages told to `name` by anyone and not yet handled."""
        return int(self._depths[self.index[name]].sum())

    def begin_letter(self, target: str, sender: str, count: int) -> None:
        """By the target's host, before it handles a letter."""
        number = self.index[target]
        bank = int(self._columns["life"][number]) % 2
        self._progress[number, bank, self.index[sender], 0] = count

    def end_letter(self, target: str, sender: str, count: int) -> None:
        """By the target's host, when a letter shall not come again: it is handled, or raised."""
        number = self.index[target]
        bank = int(self._columns["life"][number]) % 2
        self._progress[number, bank, self.index[sender], 1] = count

    def progress(self, target: str, life: int, sender: str) -> tuple[int, int]:
        """(begun, ended) of `sender`'s letters in that life of `target`; (0, 0) when no longer
        known."""
        number = self.index[target]
        if self._bank_life[number, life % 2] != life:
            return 0, 0
        begun, ended = self._progress[number, life % 2, self.index[sender]]
        return int(begun), int(ended)

    def view(self, now_ns: int) -> dict[str, Any]:
        """The tree as `GET /tree` shows it (`tomic.md` 13.6): nested, JSON-ready. What is below a
        supervisor that is away is away with it."""
        # A figure at a time takes ten times as long, and the status actor looks each second.
        slots, waiting = self._slots.tolist(), self._depths.sum(axis=1).tolist()
        host = socket.gethostname()

        def shown(node: Node, above: str) -> dict[str, Any]:
            number = self.index[node.name]
            slot = dict(zip(_FIELDS, slots[number], strict=True))
            state = above if above in AWAY else SHOWN[slot["state"]]
            return {
                "name": node.name,
                "actor": node.actor,
                "strategy": node.strategy,
                "state": state,
                "pid": slot["pid"],
                "node": host,
                "restarts": slot["restarts"],
                "last_restart_reason": slot["reason"].decode(errors="replace"),
                "last_error": slot["last_error"].decode(errors="replace"),
                "uptime_s": _age_s(now_ns, slot["started_ns"]) if state == "running" else 0.0,
                "mailbox": waiting[number],
                "mailbox_high": slot["mailbox_high"],
                "handled": slot["handled"],
                "dead_letters": slot["dead_letters"],
                "mail_refused": slot["refused"],
                "busy_pct": round(slot["busy_pct"], 1),
                "rss_mb": round(slot["rss_bytes"] / 1_048_576, 1),
                "last_heartbeat_age_s": (
                    _age_s(now_ns, slot["beat_ns"]) if slot["beat_ns"] else -1.0
                ),
                "effect_if_down": node.effect_if_down,
                "children": [shown(child, state) for child in node.children],
            }

        return shown(self.tree, "")

    def changes(self) -> bytes:
        """Bytes that differ as soon as any node changed its state or its life."""
        return self._columns["state"].tobytes() + self._columns["life"].tobytes()


def _shared(dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    size = dtype.itemsize * int(np.prod(shape))
    return np.frombuffer(
        mmap.mmap(-1, max(size, mmap.PAGESIZE)), dtype, int(np.prod(shape))
    ).reshape(shape)


def _age_s(now_ns: int, then_ns: int) -> float:
    return round(max(0, now_ns - then_ns) / _NS_PER_S, 2)


class Memory:
    """Resident memory of this process, read without opening a file each time."""

    def __init__(self) -> None:
        self._file = os.open("/proc/self/statm", os.O_RDONLY)
        self._page = os.sysconf("SC_PAGESIZE")

    def resident_bytes(self) -> int:
        """Bytes held in memory now."""
        return int(os.pread(self._file, 128, 0).split()[1]) * self._page
