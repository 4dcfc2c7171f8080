"""Named crash points: where a process of a test's tree ends itself, or others, in mid-stride.

The product has none of them: they stand only in trees whose topology names the actors of
crashing_actors.py, which wrap the seams of their own process when they are made. A point is armed
by a file of its name in the data folder's `crash`; it strikes once, whichever life reaches it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER, STRUCK = "crash", "struck-"
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
    *,
    nth: int = 1,
    number: int = signal.SIGKILL,
    pids: Sequence[int] = (ITSELF,),
) -> None:
    """From now on the nth call that reaches the point sends the signal to all of `pids`."""
    folder = data_dir / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / (STRUCK + point)).unlink(missing_ok=True)
    _write(folder / point, {"nth": nth, "number": int(number), "pids": list(pids)})


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


def strike(order: dict[str, Any]) -> None:
    """Sends the signal, to this process last; with SIGSTOP it goes on when it is let."""
    for pid in sorted(order["pids"], reverse=True):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or os.getpid(), order["number"])


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
            strike(order)
        return result if seam.after else call(*args, **kwargs)

    return reaching


def _write(path: Path, order: dict[str, Any]) -> None:
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.write_text(json.dumps(order))
    whole.replace(path)
