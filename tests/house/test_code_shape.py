"""The shape of the code: sizes, docstrings, frozen messages, one actor a file, no clock, no broker
names.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import messages
from actors.actor import handler_name
from messages.base import Message
from tests.kit.source_tree import ROOT, imports, module_name, parsed, product_files

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
COLUMNS_MAX = 100
POSITIONAL_MAX = 6  # self and five; three is the habit, callbacks of frameworks need more
CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "sleep"),
    ("datetime", "now"),
    ("date", "today"),
}
CLOCK_HOMES = (
    "actors.host",
    "actors.hosting",
    "adapters.sandbox",
    "launch",
    "system",
    "adapters.openalgo.stream",
)
BROKERS = re.compile(r"\b(zerodha|kite|dhan|kotak|smartapi|angel)\b", re.IGNORECASE)
BROKER_HOMES = ("adapters", "launch")
INFRASTRUCTURE = ("actors.host", "actors.supervision")  # they hear frames, not messages
LEFTOVERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


@pytest.mark.parametrize("path", product_files(), ids=module_name)
def test_a_module_keeps_the_limits_of_size(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    where = path.relative_to(ROOT)
    wrong = [
        f"{where}:{number} has {len(line)} columns"
        for number, line in enumerate(lines, start=1)
        if len(line) > COLUMNS_MAX
    ]
    if len(lines) > FILE_LINES_MAX:
        wrong.append(f"{where} has {len(lines)} lines")
    for node in functions(path):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            wrong.append(f"{where}:{node.lineno} {node.name} has {length} lines")
        if len(node.args.args) > POSITIONAL_MAX:
            wrong.append(
                f"{where}:{node.lineno} {node.name} takes {len(node.args.args)} positional"
            )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", product_files(), ids=module_name)
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), f"{path.relative_to(ROOT)} opens without a word"


@pytest.mark.parametrize("path", product_files(), ids=module_name)
def test_nothing_is_left_over_and_no_error_is_dropped(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    where = path.relative_to(ROOT)
    wrong = [f"{where}: {found.group()}" for found in LEFTOVERS.finditer(text)]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                wrong.append(f"{where}:{node.lineno} catches everything without a name")
            line = text.splitlines()[node.body[0].lineno - 1]
            if len(node.body) == 1 and isinstance(node.body[0], ast.Pass) and "#" not in line:
                wrong.append(f"{where}:{node.lineno} drops an error without a reason")
    assert not wrong, "\n".join(wrong)


def files_outside(*homes: str) -> list[Path]:
    """Product files that are not below any of these modules."""
    return [
        path
        for path in product_files()
        if not any(f"{module_name(path)}.".startswith(f"{home}.") for home in homes)
    ]


@pytest.mark.parametrize("path", files_outside(*CLOCK_HOMES), ids=module_name)
def test_only_the_host_and_the_outside_read_a_clock(path: Path) -> None:
    wrong = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in CLOCKS:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.value.id}.{node.attr}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", files_outside(*BROKER_HOMES), ids=module_name)
def test_no_code_asks_which_broker_it_is(path: Path) -> None:
    wrong = []
    for node in ast.walk(parsed(path)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "\n" not in node.value
        ):
            if BROKERS.search(node.value):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}")
    assert not wrong, "\n".join(wrong)


def test_every_actor_file_holds_one_actor_named_for_it() -> None:
    wrong = []
    for path in product_files():
        if module_name(path).split(".")[0] != "actors":
            continue
        classes = [
            node.name
            for node in parsed(path).body
            if isinstance(node, ast.ClassDef)
            and any(isinstance(base, ast.Name) and base.id == "Actor" for base in node.bases)
        ]
        expected = "".join(word.capitalize() for word in path.stem.split("_"))
        if classes and classes != [expected]:
            wrong.append(f"{path.relative_to(ROOT)} holds {classes}, expected [{expected}]")
    assert not wrong, "\n".join(wrong)


def test_messages_are_frozen_dataclasses_without_behaviour() -> None:
    for module in pkgutil.iter_modules(messages.__path__):
        importlib.import_module(f"messages.{module.name}")
    for name, kind in Message.TABLE.items():
        if not kind.__module__.startswith("messages."):
            continue
        assert dataclasses.is_dataclass(kind), name
        assert kind.__dataclass_params__.frozen, name
        own = {
            key for key, value in vars(kind).items() if callable(value) and not key.startswith("_")
        }
        assert not own, f"{name} has behaviour: {own}"


def test_every_module_is_used() -> None:
    used: set[str] = set()
    for path in product_files():
        used |= {name for _, name in imports(path)}
    text = (ROOT / "topology.yaml").read_text(encoding="utf-8")
    entries = {
        "system",
        "adapters.compile_machine_code",
        "adapters.decode",
        "adapters.sandbox.__main__",
        "persistence.migrations.env",
    }
    dead = [
        module_name(path)
        for path in product_files()
        if path.name != "__init__.py"
        and module_name(path) not in used | entries
        and module_name(path) + "." not in text
    ]
    # Loaded by name: every branch is a supervisor, and a replay has a stepper and a prompter.
    by_name = {f"actors.supervision.{name}" for name in ("prompter", "stepper", "supervisor")}
    assert set(dead) - by_name == set()


def test_no_actor_waits_for_a_message_that_does_not_exist() -> None:
    for module in pkgutil.iter_modules(messages.__path__):
        importlib.import_module(f"messages.{module.name}")
    known = {handler_name(kind) for kind in Message.TABLE.values()} | {"on_message"}
    wrong = []
    for path in product_files():
        name = module_name(path)
        if not name.startswith("actors.") or name.startswith(INFRASTRUCTURE):
            continue
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            for node in functions(path)
            if node.name.startswith("on_") and node.name not in known
        ]
    assert wrong == []
