"""The product's own sources, parsed once, for the tests of the house."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ("actors", "adapters", "domain", "launch", "messages", "persistence", "web_status")


def product_files() -> list[Path]:
    """Every Python file of the product, migrations' versions left out."""
    files = [ROOT / "system.py"]
    for folder in PRODUCT:
        files += sorted((ROOT / folder).rglob("*.py"))
    return [path for path in files if path.exists() and "versions" not in path.parts]


def module_name(path: Path) -> str:
    """`domain.risk.sizing` for `domain/risk/sizing.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import, also those inside functions."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}"
