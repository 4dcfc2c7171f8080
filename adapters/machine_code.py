"""What is done to each tick, by machine code where this machine has it.

`machine_code.c` is compiled where it was written (adapters.compile_machine_code) and the result is
shipped: who runs the house needs no compiler. It is one small library of plain functions,
without Python in it, so all processes share its 30 kB. Each function gives ODD for what is not in
perfect order, and leaves it to its plain sister. On another processor, or where the library cannot
be loaded, the plain sisters do all (docs/decisions/0016).
"""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import numpy as np

ODD, SHORT, FULL = -1, -2, -3
LIBRARY = Path(__file__).with_name(f"machine_code.{platform.machine()}-{sys.platform}.so")
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # mallopt(3)
KEPT_BYTES = 16 * 2**20  # some of the largest arrays: 4,096 packets of 448 bytes
_AT, _NUMBER = ctypes.c_void_p, ctypes.c_int64
BROKERS = ("kite", "smartapi", "dhan")
FUNCTIONS = {
    "rows_of": (_AT, _NUMBER, _NUMBER, _AT, _AT, _AT, _AT),
    **dict.fromkeys(BROKERS, (_AT, _NUMBER, _AT, _NUMBER, _NUMBER, _NUMBER, _AT)),
    "ticks_of": (_AT, _NUMBER, _AT, _AT),
    "write_prices": (_AT, _NUMBER, _AT, _AT, _AT),
    "read_prices": (_AT, _NUMBER, _AT, _AT, _AT),
    "fold_bars": (_AT, _NUMBER, _AT),
}


def load(path: Path = LIBRARY) -> ctypes.CDLL | None:
    """The library; None where there is none for this machine, or an older one."""
    try:
        library = ctypes.CDLL(str(path))
        for name, arguments in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = ctypes.c_int64, arguments
    except (OSError, AttributeError):
        return None
    return library


CODE = load()


def address(array: np.ndarray) -> int:
    """Where an array's first element lies; the caller keeps the array."""
    return array.ctypes.data


def keep_pages() -> None:
    """Makes this process keep the pages of a batch's arrays. Without it glibc gives each large one
    back, and the kernel clears its pages again for the next. Nothing where there is no glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(MMAP_THRESHOLD, KEPT_BYTES // 2)
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
