"""Before the fork: what exists by then is no longer counted.

A child that only looks at an object of its launcher counts itself into that object, and has a page
of its own from then on. From 3.12 on the interpreter leaves the count of an immortal object as it
is (PEP 683); here all that a child can come upon becomes one (docs/decisions/0019). It is never
freed: nothing that must end with its last holder may be among it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from types import CodeType
from typing import Any

import numpy as np

# In these an object begins with its count, in 32 bits, and all of them set mean "never counted".
KNOWN = ((3, 12), (3, 13))
IMMORTAL = 0xFFFFFFFF
COUNT_BYTES = 4
FIRST_BYTE, MEMORY_BYTES = 16, 2**48  # of what a process can address; no table begins at 0

# What children would each import for themselves, only when they first need it.
NEEDED_LATER = (
    "multiprocessing.popen_fork", "numpy.ma", "numpy.random",
    "thespian.system.admin.convention", "thespian.system.logdirector",
    "thespian.system.multiprocTCPBase", "thespian.system.transport.hysteresis",
    "anyio._backends._asyncio", "fastapi.telemetry._runtime", "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto",
)  # fmt: skip


def import_needed_later() -> None:
    """By the launcher, before `make_immortal`."""
    for name in NEEDED_LATER:
        importlib.import_module(name)


def make_immortal() -> int:
    """Every object to which one leads that the collector knows; how many. 0, and nothing is
    touched, on an interpreter that is not known to count so."""
    if sys.version_info[:2] not in KNOWN:
        return 0
    words = (MEMORY_BYTES - FIRST_BYTE) // COUNT_BYTES
    counts = np.frombuffer((ctypes.c_uint32 * words).from_address(FIRST_BYTE), np.uint32)
    if not _holds_counts(counts):
        return 0
    made, found = 0, gc.get_objects()
    while found:
        places = _places(found)
        new = np.flatnonzero(counts[places] != IMMORTAL)
        _, first = np.unique(places[new], return_index=True)
        counts[places] = IMMORTAL
        made += len(first)
        found = _held_by([found[place] for place in new[first].tolist()])
    return made


def _places(objects: list[Any]) -> Any:
    return (np.fromiter(map(id, objects), np.int64, len(objects)) - FIRST_BYTE) // COUNT_BYTES


def _holds_counts(counts: Any) -> bool:
    """Whether an object's first word goes up by one for each that holds it."""
    probe = object()
    place = _places([probe])[0]
    before = int(counts[place])
    held = [probe] * 3
    return int(counts[place]) == before + len(held)


def _held_by(objects: list[Any]) -> list[Any]:
    """What these hold; the collector cannot say it of code."""
    found = gc.get_referents(*objects)
    for code in objects:
        if type(code) is CodeType:
            found += (
                code.co_consts, code.co_names, code.co_exceptiontable, code.co_linetable,
                code.co_filename, code.co_name, code.co_qualname,
                *code.co_varnames, *code.co_freevars, *code.co_cellvars,
            )  # fmt: skip
    return found
