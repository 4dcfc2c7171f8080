"""`--config` and the generated texts: every setting with value, default and origin, secrets
masked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from domain.setting_notes import DATA_DIR, NOT_YET, waiting
from domain.settings import SECRET_KEYS, Settings, key_of

DEFAULT_FOLDER = "var"


def mask(value: str) -> str:
    """First two, three stars, last two characters; short secrets are hidden whole (`tomic.md`
    1.6).
    """
    return f"{value[:2]}***{value[-2:]}" if len(value) > 4 else "***"


def as_text(value: Any) -> str:
    """A setting's value as it would stand in a .env file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        if len(value) == 2 and all(isinstance(part, str) for part in value):
            return ":".join(value)
        return ",".join(as_text(part) for part in value)
    return f"{value:%H:%M}" if hasattr(value, "strftime") else str(value)


def rows(
    settings: Settings, environment: Mapping[str, str], from_file: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """(key, value, default, origin, effect) of every setting and secret; origin is environment,
    .env or default, effect says what has none yet.
    """
    listed = [
        (key_of(field), as_text(getattr(settings, field.name)), as_text(field.default))
        for field in dataclasses.fields(Settings)
    ]
    listed.append((DATA_DIR, environment.get(DATA_DIR) or DEFAULT_FOLDER, DEFAULT_FOLDER))
    for key in SECRET_KEYS:
        value = environment.get(key, "")
        listed.append((key, mask(value) if value else "", ""))
    listed += [(key, environment.get(key, ""), "") for key in NOT_YET if key not in SECRET_KEYS]
    will = waiting()
    return [
        (*row, _origin(row[0], environment, from_file), "none yet" if row[0] in will else "")
        for row in listed
    ]


def _origin(key: str, environment: Mapping[str, str], from_file: Mapping[str, str]) -> str:
    if key not in environment:
        return "default"
    return ".env" if from_file.get(key) == environment[key] else "environment"


def env_example() -> str:
    """The text of .env.example: every key, commented out, with its meaning and default."""
    lines = [
        "# Every key with its default. Copy to .env and change what you need;",
        "# made from the table in domain/settings.py (launch.configuration.env_example).",
        "",
    ]
    will = waiting()

    def add(key: str, meaning: str, value: str) -> None:
        lines.extend(
            [f"# {'(no effect yet) ' if key in will else ''}{meaning}", f"# {key}={value}", ""]
        )

    for field in dataclasses.fields(Settings):
        add(key_of(field), field.metadata["meaning"], as_text(field.default))
    add(DATA_DIR, "folder of everything that is kept", DEFAULT_FOLDER)
    for key, meaning in NOT_YET.items():
        if key not in SECRET_KEYS:
            add(key, meaning, "")
    lines.append("# Secrets: never committed, never logged, never shown whole.")
    lines += [f"# {key}=" for key in SECRET_KEYS if key not in will]
    lines += ["", "# Secrets (no effect yet)"]
    lines += [f"# {key}=" for key in SECRET_KEYS if key in will]
    return "\n".join(lines) + "\n"
