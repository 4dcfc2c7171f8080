"""What a start says of keys that are set and do nothing: those that nothing reads yet, and those
that are no key at all, most often a misspelling.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping

from domain.settings import SECRET_KEYS, Settings, key_of

DATA_DIR = "TOMIC_DATA_DIR"
FAMILIES = ("TOMIC_", "MULTI_BROKER_")
NOT_YET = {
    "TOMIC_SECRET_KEY": "encrypt what a broker's log-in keeps",
    "TOMIC_WARM_START_INTERVAL": "warm up on other bars than those of a minute",
    "TOMIC_MARKET_TZ": "another zone than the exchange's own",
    "TOMIC_ZMQ_PORT": "a port for the data bus, which uses local sockets",
    "MULTI_BROKER_APIKEY_CACHE_TTL_S": "seconds for which a broker's fetched key is kept",
    "MULTI_BROKER_ALLOW_LOCAL_DB_FALLBACK": "use the local user's own key for a broker",
}
OF_A_BROKER = ("URL", "WS_URL", "OPENALGO_API_KEY", "APIKEY")
_BROKER_KEY = re.compile(rf"MULTI_BROKER_\w+_({'|'.join(OF_A_BROKER)})")


def waiting() -> dict[str, str]:
    """Every key that nothing reads yet, with what it will do."""
    fields = {
        key_of(row): row.metadata["meaning"]
        for row in dataclasses.fields(Settings)
        if row.metadata["waits"]
    }
    return fields | NOT_YET


def setting_notes(
    environment: Mapping[str, str], brokers: Iterable[str] | None = None
) -> list[str]:
    """A sentence for each key that is set in vain, in the order of the keys. `brokers` are the
    names of the topology; None: any name will do."""
    will = waiting()
    known = {key_of(row) for row in dataclasses.fields(Settings)} | {*SECRET_KEYS, DATA_DIR, *will}
    known |= {
        f"MULTI_BROKER_{name.upper()}_{word}" for name in brokers or () for word in OF_A_BROKER
    }
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
