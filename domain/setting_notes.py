"""What a start says of keys that are set and do nothing: those that nothing reads yet, and those
that are no key at all, most often a misspelling.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from domain.setting_table import BROKER
from domain.settings import all_keys

FAMILIES = ("TOMIC_", "MULTI_BROKER_")
_KEYS = all_keys()
_OF_A_BROKER = tuple(key.name for key in _KEYS if BROKER in key.name)
_BROKER_KEY = re.compile("|".join(name.replace(BROKER, r"\w+") for name in _OF_A_BROKER))


def waiting() -> dict[str, str]:
    """Every key that nothing reads yet, with what it waits for and what it will do."""
    return {key.name: f"it waits for {key.waits} ({key.meaning})" for key in _KEYS if key.waits}


def setting_notes(
    environment: Mapping[str, str], brokers: Iterable[str] | None = None
) -> list[str]:
    """A sentence for each key that is set in vain, in the order of the keys. `brokers` are the
    names of the topology; None: any name will do."""
    will = waiting()
    known = {key.name for key in _KEYS}
    known |= {row.replace(BROKER, name.upper()) for name in brokers or () for row in _OF_A_BROKER}
    notes = []
    for key in sorted(key for key, value in environment.items() if value):
        if key in will:
            notes.append(f"{key} has no effect yet: {will[key]}")
        elif key.startswith(FAMILIES) and key not in known:
            if brokers is None and _BROKER_KEY.fullmatch(key):
                continue
            near = difflib.get_close_matches(key, sorted(known), n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            notes.append(f"{key} is no key and has no effect{guess}")
    return notes
