"""The environment: variables over the .env file, and the API key of the first run."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from domain.errors import ConfigurationFault
from domain.setting_table import API_KEY

_LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$")


def read_env_file(path: Path) -> dict[str, str]:
    """Variables of a .env file; {} when there is none. Raises ConfigurationFault naming the
    line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as failure:
        raise ConfigurationFault(f"{path} cannot be read: {failure}") from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.match(stripped)
        if not match:
            raise ConfigurationFault(f"{path} line {number}: must be KEY=value")
        values[match[1]] = _unquote(match[2].strip())
    return values


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text.split(" #", 1)[0].rstrip()


def read_environment(env_file: Path) -> dict[str, str]:
    """Environment variables, over those of the file."""
    return {**read_env_file(env_file), **os.environ}


def ensure_api_key(environment: dict[str, str], env_file: Path) -> str:
    """The key of the HTTP interface; made and kept in the .env file when there is none.

    Gives the key if it was made just now (to be shown once), else an empty text.
    """
    present = environment.get(API_KEY, "")
    if present:
        return ""
    made = secrets.token_hex(32)
    try:
        handle = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(f"{API_KEY}={made}\n")
    except OSError as failure:
        raise ConfigurationFault(
            f"{env_file} cannot be written ({failure.strerror}); set {API_KEY} yourself"
        ) from None
    environment[API_KEY] = made
    return made
