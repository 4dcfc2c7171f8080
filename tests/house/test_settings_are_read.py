"""No setting is there in silence: code reads it, or a start that sets it says that none does."""

from __future__ import annotations

import dataclasses
import re

from domain.setting_notes import waiting
from domain.setting_table import OTHER_KEYS
from domain.settings import Settings, key_of
from tests.kit.source_tree import ROOT, product_files

HOMES = ("domain/settings.py", "domain/setting_notes.py", "domain/setting_table.py")


def read_names() -> set[str]:
    """Names that code takes from something: `keys.name`, or "name" handed to getattr."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in product_files()
        if str(path.relative_to(ROOT)) not in HOMES
    ]
    found = {name for text in texts for name in re.findall(r"\.([a-z][a-z0-9_]*)\b(?!\()", text)}
    found |= {name for text in texts for name in re.findall(r'"([a-z][a-z0-9_]*)"', text)}
    own = (ROOT / HOMES[0]).read_text(encoding="utf-8")
    return found | set(re.findall(r"self\.([a-z][a-z0-9_]*)\b", own))


def test_every_setting_is_read_or_says_that_it_waits() -> None:
    read, silent = read_names(), []
    for field in dataclasses.fields(Settings):
        if field.name not in read and key_of(field) not in waiting():
            silent.append(field.name)
    derived = [name for name, row in vars(Settings).items() if isinstance(row, property)]
    assert silent + [name for name in derived if name not in read] == []


def test_a_setting_that_waits_is_read_by_nobody() -> None:
    read = read_names()
    heard = [row.name for row in dataclasses.fields(Settings) if row.metadata["waits"]]
    assert [name for name in heard if name in read] == []
    assert not {key_of(row) for row in dataclasses.fields(Settings)} & {
        key.name for key in OTHER_KEYS
    }
