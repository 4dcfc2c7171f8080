"""The shipped topology is whole: it passes its own check and every actor of the house stands in
it.
"""

from __future__ import annotations

from pathlib import Path

from launch.topology_file import load_topology
from tests.kit.source_tree import module_name, product_files


def test_the_shipped_topology_has_no_fault(root: Path) -> None:
    topology = load_topology(root / "topology.yaml", {})
    assert len(topology.tree.walk()) > 50
    assert topology.feed_sequence == ("zerodha", "dhan")


def test_every_actor_of_the_house_stands_in_the_shipped_topology(root: Path) -> None:
    named = {
        node.actor.rpartition(".")[0]
        for node in load_topology(root / "topology.yaml", {}).tree.walk()
    }
    written = {
        module_name(path)
        for path in product_files()
        if module_name(path).startswith("actors.")
        and "(Actor):" in path.read_text(encoding="utf-8")
    }
    of_the_launcher = ("prompter", "stepper", "supervisor")
    assert written - named == {f"actors.supervision.{name}" for name in of_the_launcher}


def test_each_leaf_says_what_it_means_when_it_is_down(root: Path) -> None:
    silent = [
        node.name
        for node in load_topology(root / "topology.yaml", {}).tree.walk()
        if node.actor and not node.effect_if_down
    ]
    assert silent == []
