"""The data folder: proven writable, and the two small files a start keeps in it. Each is written
whole or not at all, and one that is broken is named with the way out.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from domain.errors import ConfigurationFault

PARTS = ("run", "log", "sandbox")
OWNER_ONLY = 0o600


def prepare(folder: Path) -> None:
    """Makes the folder and its parts. Raises ConfigurationFault naming what cannot be written."""
    at = folder
    try:
        for at in (folder, *(folder / part for part in PARTS)):
            at.mkdir(parents=True, exist_ok=True)
            probe = at / f"probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        for at in (*folder.glob("*.db"), *folder.glob("sandbox/*.db")):
            at.open("r+b").close()
    except OSError as failure:
        inside = f" ({at.relative_to(folder)})" if at != folder else ""
        raise ConfigurationFault(
            f"data folder {folder} cannot be written{inside}: {failure.strerror} "
            f"(--data-dir names another)"
        ) from None


def count_launch(folder: Path) -> int:
    """The number of this start; a message's id must never come again, also not after a restart."""
    path = folder / "run" / "launches"
    text = _read(path, "0")
    if not (text.strip().isdecimal() and len(text) < 20):
        raise ConfigurationFault(
            f"{path} must hold the number of starts so far, not {text[:40]!r}; write one into it "
            f"that is surely higher, such as 1000000, for no number may come twice"
        )
    number = int(text) + 1
    _write(path, str(number))
    return number


def sandbox_keys(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The keys of our own instances: made once, kept where only the user can read them."""
    path = folder / "sandbox" / "keys.json"
    try:
        kept = json.loads(_read(path, "{}"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or not all(isinstance(key, str) for key in kept.values()):
        raise ConfigurationFault(
            f"{path} is no JSON object of keys; delete it, and the next start makes new ones"
        )
    wanted = {name: kept.get(name) or secrets.token_hex(32) for name in names}
    if not wanted.items() <= kept.items():
        _write(path, json.dumps(kept | wanted))
    return wanted


def _read(path: Path, absent: str) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return absent
    except OSError as failure:
        raise ConfigurationFault(f"{path} cannot be read: {failure.strerror}") from None


def _write(path: Path, text: str) -> None:
    """On the disk under another name first: a power cut leaves the old file or the new one."""
    written = path.with_suffix(".new")
    try:
        written.unlink(missing_ok=True)
        handle = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError as failure:
        raise ConfigurationFault(f"{path} cannot be written: {failure.strerror}") from None
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
