"""`--config` and the texts made from the table of settings: .env.example, docs/configuration.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from domain.setting_table import BROKER, DATA_DIR, OTHER_KEYS, Key
from domain.settings import Settings, all_keys, as_text, key_of, without_password

DEFAULT_FOLDER = next(key.default for key in OTHER_KEYS if key.name == DATA_DIR)
Row = tuple[str, str, str, str, str]


def mask(value: str) -> str:
    """First two, three stars, last two characters; short secrets are hidden whole (`tomic.md`
    1.6).
    """
    return f"{value[:2]}***{value[-2:]}" if len(value) > 4 else "***"


def rows(
    settings: Settings,
    environment: Mapping[str, str],
    from_file: Mapping[str, str],
    command_line: Mapping[str, str] | None = None,
) -> list[Row]:
    """(key, value, default, origin, effect) of every key; origin is command line, environment, .env
    or default, effect says what it waits for, if it has none yet. A key that stands for one a
    broker is followed by those that are set."""
    flags = command_line or {}
    given = {**environment, **flags}
    own = {key_of(row): as_text(getattr(settings, row.name)) for row in fields(Settings)}
    listed: list[Row] = []
    for key in all_keys():
        set_ones = [name for name in sorted(given) if _template(name) == key.name]
        for name in (key.name, *set_ones):
            value = flags.get(name) or own.get(name) or given.get(name) or key.default
            origin = "command line" if name in flags else _origin(name, environment, from_file)
            effect = f"waits for {key.waits}" if key.waits else ""
            listed.append((name, _shown(key, value), key.default, origin, effect))
    return listed


def _template(name: str) -> str:
    """The row that a broker's own key is one of; empty for other keys."""
    found = []
    for key in OTHER_KEYS:
        begin, is_template, end = key.name.partition(BROKER)
        if is_template and name.startswith(begin) and name.endswith(end):
            found.append(key.name)
    return max(found, key=len, default="") if BROKER not in name else ""


def _shown(key: Key, value: str) -> str:
    if key.secret:
        return mask(value) if value else ""
    return without_password(value)


def _origin(key: str, environment: Mapping[str, str], from_file: Mapping[str, str]) -> str:
    if key not in environment:
        return "default"
    return ".env" if from_file.get(key) == environment[key] else "environment"


def env_example() -> str:
    """The text of .env.example: every key, commented out, with its meaning and default."""
    lines = [
        "# Every key with its default. Copy to .env and change what you need; made from the table",
        "# in domain/settings.py and domain/setting_table.py (launch.configuration.env_example).",
        "",
    ]
    secrets = [key for key in all_keys() if key.secret]
    for key in all_keys():
        if not key.secret:
            wait = f"(waits for {key.waits}) " if key.waits else ""
            lines += [f"# {wait}{key.meaning}", f"# {key.name}={key.default}", ""]
    lines.append("# Secrets: never committed, never logged, never shown whole.")
    lines += [f"# {key.name}=" for key in secrets if not key.waits]
    lines += ["", "# Secrets (no effect yet)"]
    lines += [f"# {key.name}=" for key in secrets if key.waits]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The text of docs/configuration.md: every key with default, rule and meaning."""
    lines = [
        "# Configuration",
        "",
        "Every key there is. Made from the table in `domain/settings.py` and",
        "`domain/setting_table.py` by `make docs`; a test keeps it up to date.",
        "",
        "A value is looked for on the command line (`--http-port`, `--data-dir`), in the",
        "environment, in the `.env` file, and is else the default. A value that breaks its rule",
        "stops the start, which names key, value and rule, all of them at once. Secrets are never",
        "shown whole. `python system.py --config` prints what is in effect and whence it comes.",
        "",
        "What is not of one installation stands in `topology.yaml`: the brokers, the supervisor",
        "tree and each actor's own settings; `python system.py --check` tells what is wrong there.",
    ]
    shown = [key for key in all_keys() if not key.waits]
    waiting = [key for key in all_keys() if key.waits]
    for title, keys in (
        ("Settings", [key for key in shown if not key.secret]),
        ("Secrets", [key for key in shown if key.secret]),
        ("Without effect yet", waiting),
    ):
        lines += ["", f"## {title}", ""]
        if keys is waiting:
            lines += ["What they govern is not built yet; a start that sets one says so.", ""]
        heads = ["Key", "Default", "Must be", "Meaning"]
        heads += ["Waits for"] if keys is waiting else []
        lines += [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
        lines += [_line(key) for key in keys]
    return "\n".join(lines) + "\n"


def _line(key: Key) -> str:
    cells = (key.name, key.default, key.rule.words, key.meaning, key.waits)
    name, default, words, meaning, waits = (cell.replace("|", "\\|") for cell in cells)
    line = f"| `{name}` | {f'`{default}`' if default else ''} | {words} | {meaning} |"
    return f"{line} {waits} |" if waits else line


def write_texts(root: Path) -> None:
    """Writes both texts into a checkout (`make docs`)."""
    (root / ".env.example").write_text(env_example(), encoding="utf-8")
    (root / "docs" / "configuration.md").write_text(reference(), encoding="utf-8")
