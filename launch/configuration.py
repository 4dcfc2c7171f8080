"""`--config` and the generated texts: every setting with value, default and origin, secrets
masked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from domain.settings import SECRET_KEYS, Settings, key_of


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
    """(key, value, default, origin) of every setting and secret; origin is environment, .env or
    default.
    """
    listed = []
    for field in dataclasses.fields(Settings):
        key = key_of(field)
        value = getattr(settings, field.name)
        listed.append(
            (key, as_text(value), as_text(field.default), _origin(key, environment, from_file))
        )
    for key in SECRET_KEYS:
        value = environment.get(key, "")
        listed.append((key, mask(value) if value else "", "", _origin(key, environment, from_file)))
    return listed


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
    for field in dataclasses.fields(Settings):
        lines += [
            f"# {field.metadata['meaning']}",
            f"# {key_of(field)}={as_text(field.default)}",
            "",
        ]
    lines.append("# Secrets: never committed, never logged, never shown whole.")
    lines += [f"# {key}=" for key in SECRET_KEYS]
    return "\n".join(lines) + "\n"
