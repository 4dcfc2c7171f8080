"""Holes are filled: what comes after lies side by side."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: what is filled stays so, and the test's own memory is full of holes.
BLOCKS_SIDE_BY_SIDE = """
import sys
from launch.heap import EMPTY_BYTES, fill_holes
scattered = [bytes(80 - EMPTY_BYTES) for _ in range(20_000)]
del scattered[::7]
if sys.argv[1] == "filled":
    fill_holes()
made = [bytes(80 - EMPTY_BYTES) for _ in range(400)]
print(len({id(block) // 4096 for block in made}))
"""
LARGE_SIDE_BY_SIDE = """
import ctypes, sys
from launch.heap import fill_holes
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
library.free.argtypes = (ctypes.c_void_p,)
scattered = [library.malloc(3_000) for _ in range(2_000)]
for block in scattered[::7]:
    library.free(block)
if sys.argv[1] == "filled":
    fill_holes()
made = sorted(library.malloc(2_900) for _ in range(100))
print((made[-1] - made[0]) // 4096)
"""


def measured(script, how):
    ran = subprocess.run(
        [sys.executable, "-c", script, how], capture_output=True, text=True, check=True
    )
    return int(ran.stdout)


@pytest.mark.parametrize("script", [BLOCKS_SIDE_BY_SIDE, LARGE_SIDE_BY_SIDE])
def test_what_is_made_after_holes_are_filled_takes_no_more_pages_than_it_needs(script):
    needed = {BLOCKS_SIDE_BY_SIDE: 400 * 80 // 4096, LARGE_SIDE_BY_SIDE: 100 * 2_912 // 4096}
    assert measured(script, "filled") <= needed[script] + 4
    assert measured(script, "as it is") > 2 * needed[script]
