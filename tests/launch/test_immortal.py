"""What exists before the fork stays shared, whoever looks at it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from launch.immortal import KNOWN

# In a process of its own: what was made immortal stays so.
PAGES_OF_A_CHILD_THAT_LOOKS = """
import gc, os, sys
from launch.immortal import make_immortal

def private_kb():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

class Held:
    def __init__(self, number):
        self.name, self.row = f"listing {number}", (number, float(number))

made = {number: Held(number) for number in range(50_000)}
if sys.argv[1] == "immortal":
    make_immortal()
gc.freeze()
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
before = private_kb()
longest = 0
for held in made.values():
    name, row = held.name, held.row
    longest = max(longest, len(name), row[0])
assert longest == 49_999
print(private_kb() - before)
"""
THE_SAME_AS_BEFORE = """
import sys
from launch.immortal import make_immortal
kept = [f"a name {number}" for number in range(10)]
before = sys.getrefcount(kept[3])
made = make_immortal()
also = [kept[3]] * 5
print(made if sys.getrefcount(kept[3]) == before + 5 else -1)
"""
FREED_WHEN_MADE_LATER = """
import gc, weakref
from launch.immortal import make_immortal
make_immortal()
class Later: pass
later = Later()
seen = weakref.ref(later)
later.__dict__["kept"] = [str(number) for number in range(100)]
del later
again = [f"{number}" + "!" for number in range(1000)]
print(int(seen() is None and again[999] == "999!"))
"""


def ran(script, how=""):
    done = subprocess.run(
        [sys.executable, "-c", script, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.version_info[:2] not in KNOWN, reason="this interpreter counts otherwise")
def test_a_child_that_looks_at_all_that_it_inherited_writes_on_none_of_it():
    objects_kb = 50_000 * 200 // 1024  # an instance, its name, its row and two numbers
    assert ran(PAGES_OF_A_CHILD_THAT_LOOKS, "counted") > objects_kb / 2
    assert ran(PAGES_OF_A_CHILD_THAT_LOOKS, "immortal") < objects_kb / 20


@pytest.mark.skipif(sys.version_info[:2] in KNOWN, reason="this interpreter has immortal objects")
def test_an_interpreter_that_counts_otherwise_is_left_alone():
    assert ran(THE_SAME_AS_BEFORE) == 0


def test_what_is_made_later_ends_with_its_last_holder():
    assert ran(FREED_WHEN_MADE_LATER) == 1
