"""Named crash points: where a process of a test's tree is struck in mid-stride, or others are.

A blow is a signal, a full disk, a locked database, or a clock that jumps.

The product has none of them: they stand only in trees whose topology names the actors of
crashing_actors.py, which wrap the seams of their own process when they are made. A point is armed
by a file of its name in the data folder's `crash`; it strikes once, whichever life reaches it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER, STRUCK, CLOCK = "crash", "struck-", "clock"
ITSELF = 0  # as a pid: the process that reaches the point
Condition = Callable[..., bool]


def always(*_args: Any, **_kwargs: Any) -> bool:
    """Every call reaches the point."""
    return True


@dataclass(frozen=True)
class Seam:
    """A method of the product whose calls reach a point: just before it runs, or just after.

    `when` is asked with the call's own arguments.
    """

    point: str
    owner: type
    method: str
    after: bool = False
    when: Condition = always


def arm(
    data_dir: Path,
    point: str,
    blow: Mapping[str, Any],
    nth: int = 1,
) -> None:
    """The nth call from now on that reaches the point strikes: `blow` is what `strike` takes."""
    folder = data_dir / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / (STRUCK + point)).unlink(missing_ok=True)
    _write(folder / point, {"nth": nth, **blow})


def disarm(data_dir: Path) -> None:
    """No point strikes any more."""
    for path in (data_dir / FOLDER).glob("*"):
        path.unlink(missing_ok=True)


def has_struck(data_dir: Path, point: str) -> bool:
    """True once an armed point was reached often enough."""
    return (data_dir / FOLDER / (STRUCK + point)).exists()


def claim(data_dir: Path, point: str) -> dict[str, Any] | None:
    """What the point is to do now; None when it is not armed, or its turn is still to come."""
    path = data_dir / FOLDER / point
    try:
        order: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    if order["nth"] > 1:
        _write(path, order | {"nth": order["nth"] - 1})
        return None
    try:
        path.rename(path.with_name(STRUCK + point))
    except FileNotFoundError:
        return None  # another process was faster
    return order


def strike(order: Mapping[str, Any], data_dir: Path) -> None:
    """What the blow has: `signal` to all of `pids`, to this process last; `clock_s` to jump by;
    `full_s`, `locked_s` for how long no file of this process grows, or the database is another's.
    """
    if "clock_s" in order:
        (data_dir / FOLDER / CLOCK).write_text(str(order["clock_s"]))
    if "full_s" in order:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        later = threading.Timer(
            order["full_s"], lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        )
        later.start()
    if "locked_s" in order:
        taken = threading.Event()
        threading.Thread(target=_lock, args=(data_dir, order["locked_s"], taken)).start()
        taken.wait()
    for pid in sorted(order.get("pids", ()), reverse=True):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or os.getpid(), order["signal"])


def _lock(data_dir: Path, for_s: float, taken: threading.Event) -> None:
    with contextlib.closing(sqlite3.connect(data_dir / "tomic.db", timeout=for_s)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        taken.set()
        threading.Event().wait(for_s)


def jumped_ns(data_dir: Path) -> int:
    """By how much the tree's wall clock has been set."""
    try:
        return int(float((data_dir / FOLDER / CLOCK).read_text() or 0) * 1e9)
    except FileNotFoundError:
        return 0


def install(data_dir: Path, seams: Sequence[Seam]) -> None:
    """Wraps the seams in this process."""
    for seam in seams:
        setattr(seam.owner, seam.method, _wrapped(seam, getattr(seam.owner, seam.method), data_dir))


def _wrapped(seam: Seam, call: Callable[..., Any], data_dir: Path) -> Callable[..., Any]:
    @functools.wraps(call)
    def reaching(*args: Any, **kwargs: Any) -> Any:
        if not (data_dir / FOLDER / seam.point).exists() or not seam.when(*args, **kwargs):
            return call(*args, **kwargs)
        result = call(*args, **kwargs) if seam.after else None
        order = claim(data_dir, seam.point)
        if order:
            strike(order, data_dir)
        return result if seam.after else call(*args, **kwargs)

    return reaching


def _write(path: Path, order: dict[str, Any]) -> None:
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.write_text(json.dumps(order))
    whole.replace(path)
