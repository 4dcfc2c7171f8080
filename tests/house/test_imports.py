"""Who may import whom. The picture stands in docs/architecture.md; all else is an error here."""

from __future__ import annotations

import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.kit.source_tree import ROOT, imports, module_name, product_files

STAGES = {path.name for path in (ROOT / "domain").iterdir() if path.is_dir()}
OURS = ("actors", "adapters", "domain", "launch", "messages", "persistence", "system", "web_status")
HOMES = {
    "thespian": ("actors.host", "system", "launch"),
    "zmq": ("adapters.tick_bus",),
    "msgpack": ("messages.codec", "adapters.tick_bus", "actors.hosting"),
    "requests": ("adapters.http", "adapters.telegram"),
    "websocket": ("adapters.openalgo.stream", "adapters.feed_socket"),
    "sqlalchemy": ("persistence",),
    "alembic": ("persistence",),
    "yaml": ("launch.topology_file",),
    "fastapi": ("web_status", "adapters.sandbox"),
    "starlette": ("web_status", "adapters.sandbox"),
    "uvicorn": ("web_status", "adapters.sandbox"),
    "loguru": (
        "actors.host",
        "actors.hosting",
        "system",
        "launch",
        "web_status",
        "adapters.sandbox",
    ),
    "prometheus_client": ("web_status",),
    "psutil": ("actors.hosting", "launch", "actors.host"),
    "rich": ("launch", "system"),
}
# A noun imports those before it. Settings name instruments, so they come after them.
NOUNS = (
    "clock", "errors", "instruments", "setting_values", "setting_table", "settings", "calendar",
    "brokers", "prices", "stamps", "readings", "intents", "orders", "positions",
)  # fmt: skip
FRONT_DOOR = (
    "adapters.ports", "adapters.catalogue", "adapters.tick_bus", "adapters.machine_bars",
)  # fmt: skip


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def is_twin(module: str) -> bool:
    parts = module.split(".")
    return parts[0] == "domain" and len(parts) > 1 and parts[1] in STAGES


def stage_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def allowed(importer: str, imported: str) -> bool:
    """True when the house lets `importer` use our module `imported`."""
    home, top = importer.split(".")[0], imported.split(".")[0]
    if home in ("system", "launch"):
        return imported != "system"
    if home == "domain":
        return top == "domain" and (
            not is_twin(imported) or stage_of(imported) == stage_of(importer)
        )
    if home in ("messages", "persistence"):
        return top == home or (top == "domain" and not is_twin(imported))
    if home == "adapters":
        return top == "adapters" or (top == "domain" and not is_twin(imported))
    if home == "web_status":
        return top in ("web_status", "messages", "persistence") or (
            top == "domain" and not is_twin(imported)
        )
    return allowed_to_actor(importer, imported)


def allowed_to_actor(importer: str, imported: str) -> bool:
    top = imported.split(".")[0]
    if top == "domain":
        shared = ("actors.runtime", "actors.host", "actors.hosting")
        if any(inside(importer, name) for name in shared):
            return not is_twin(imported) or stage_of(imported) == "supervision"
        return not is_twin(imported) or stage_of(imported) == stage_of(importer)
    if top == "adapters":
        started = importer == "actors.brokers.sandbox_exchange" and inside(
            imported, "adapters.sandbox"
        )
        return started or any(inside(imported, door) for door in FRONT_DOOR)
    if top == "actors":
        if inside(importer, "actors.host") or inside(importer, "actors.hosting"):
            return imported.startswith(("actors.actor", "actors.runtime", "actors.host"))
        return imported.startswith(("actors.actor", "actors.runtime", "actors.hosting")) or (
            helper_of_same_stage(importer, imported)
        )
    if top == "web_status":
        return importer == "actors.desk.status_board"
    return top in ("messages", "persistence")


def helper_of_same_stage(importer: str, imported: str) -> bool:
    """A module of the same folder that holds no Actor class may be shared; an actor never."""
    parts = imported.split(".")
    if len(parts) < 3 or parts[1] != stage_of(importer):
        return False
    path = ROOT / "actors" / parts[1] / f"{parts[2]}.py"
    return path.exists() and "(Actor)" not in path.read_text(encoding="utf-8")


def nouns_of(path: Path) -> set[str]:
    """The nouns a file of `domain/` imports, by their short names."""
    short = (imported.split(".")[1] for _, imported in imports(path) if is_noun(imported))
    return set(short) - {path.stem}


def is_noun(module: str) -> bool:
    parts = module.split(".")
    return parts[0] == "domain" and len(parts) > 1 and (ROOT / "domain" / f"{parts[1]}.py").exists()


def too_late(noun: str, imported: set[str]) -> set[str]:
    """What a noun of the order imports although it does not stand before it."""
    return imported - set(NOUNS[: NOUNS.index(noun)])


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_imports_only_nouns_before_it(noun: str) -> None:
    wrong = too_late(noun, nouns_of(ROOT / "domain" / f"{noun}.py"))
    assert not wrong, f"domain/{noun}.py must not import {', '.join(sorted(wrong))}"


def test_no_nouns_import_each_other_in_a_circle() -> None:
    graph = {path.stem: nouns_of(path) for path in (ROOT / "domain").glob("*.py")}
    assert set(NOUNS) <= set(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", product_files(), ids=module_name)
def test_a_module_imports_only_what_the_house_allows(path: Path) -> None:
    importer = module_name(path)
    wrong = []
    for line, imported in imports(path):
        top = imported.split(".")[0]
        if top in OURS:
            if not allowed(importer, imported):
                wrong.append(f"{path.relative_to(ROOT)}:{line} must not import {imported}")
        elif importer.startswith("domain.") and top not in sys.stdlib_module_names | {"numpy"}:
            wrong.append(f"{path.relative_to(ROOT)}:{line} domain is pure; {imported} is not")
        elif top in HOMES and not any(inside(importer, home) for home in HOMES[top]):
            wrong.append(f"{path.relative_to(ROOT)}:{line} {top} lives in {', '.join(HOMES[top])}")
    assert not wrong, "\n".join(wrong)


def test_the_rule_itself_refuses_what_it_must() -> None:
    assert not allowed("domain.risk.sizing", "domain.market.bars")
    assert not allowed("domain.orders", "domain.risk.sizing")
    assert too_late("prices", {"clock", "orders", "charges"}) == {"orders", "charges"}
    assert not allowed("adapters.openalgo.rest", "messages.trading")
    assert not allowed("actors.risk.risk_agent", "actors.routing.signal_loop")
    assert not allowed("actors.risk.risk_agent", "adapters.openalgo.rest")
    assert not allowed("persistence.orders", "domain.execution.legging")
    assert allowed("actors.risk.risk_agent", "domain.risk.sizing")
    assert allowed("actors.risk.risk_agent", "adapters.catalogue.open_broker")
