"""Each kind of fault in a topology file is found, all at once, with its line and the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.safety import SAFETY_RULES
from domain.supervision.topology import Topology, TopologyFaults
from domain.supervision.values import derived_websocket_url
from launch.topology_file import load_topology

BROKERS = """\
brokers:
  alpha: {rest: "http://127.0.0.1:5500", ws: "ws://127.0.0.1:8865", feed: true, exec: true}
  beta: {rest: "http://127.0.0.1:5501", ws: "ws://127.0.0.1:8866", exec: true}
"""
DIRECTORY = "actors.journal.recorder.Recorder"
LEAF = f"{{name: leaf, actor: {DIRECTORY}}}"


def read(folder: Path, text: str, overrides: dict[str, str] | None = None) -> Topology:
    path = folder / "topology.yaml"
    path.write_text(text, encoding="utf-8")
    return load_topology(path, overrides or {})


def faults(folder: Path, text: str) -> list[tuple[int, str]]:
    with pytest.raises(TopologyFaults) as caught:
        read(folder, text)
    return [(fault.line, fault.text) for fault in caught.value.faults]


def tree(*children: str, head: str = BROKERS, strategy: str = "one_for_one") -> str:
    rows = "\n".join(f"    - {child}" for child in children)
    return f"{head}tree:\n  name: root\n  strategy: {strategy}\n  children:\n{rows}\n"


def test_a_sound_file_gives_the_tree_with_defaults_and_own_values(tmp_path: Path) -> None:
    text = "defaults: {max_restarts: 7}\n" + tree(
        f"{{name: leaf, actor: {DIRECTORY}, shutdown_s: 2.5, mailbox_max: 9}}"
    )
    leaf = read(tmp_path, text).tree.find("leaf")
    assert leaf is not None
    assert (leaf.max_restarts, leaf.shutdown_s, leaf.mailbox_max) == (7, 2.5, 9)
    assert leaf.backoff_s == (0.0, 10.0)


def test_for_each_and_count_spread_a_node_over_instances(tmp_path: Path) -> None:
    text = tree(
        f"{{name: desk, for_each: exec_brokers, actor: {DIRECTORY}}}",
        f"{{name: sock, count: 2, actor: {DIRECTORY}}}",
        f"{{name: feeds, for_each: feed_brokers, strategy: one_for_one, children: "
        f"[{{name: shard, count: 2, actor: {DIRECTORY}}}]}}",
    )
    root = read(tmp_path, text).tree
    assert [node.name for node in root.walk()] == [
        "root", "desk.alpha", "desk.beta", "sock.1", "sock.2",
        "feeds.alpha", "shard.alpha.1", "shard.alpha.2",
    ]  # fmt: skip
    shard = root.find("shard.alpha.2")
    assert shard is not None
    assert shard.instance == "alpha"


def test_a_quicker_heartbeat_tightens_the_handler_limit_with_it(tmp_path: Path) -> None:
    leaf = read(tmp_path, tree(f"{{name: leaf, actor: {DIRECTORY}, heartbeat_s: 1}}")).tree.find(
        "leaf"
    )
    assert leaf is not None
    assert leaf.max_handler_s < leaf.heartbeat_s


@pytest.mark.parametrize(
    ("child", "words"),
    [
        (f"{{name: leaf, actor: {DIRECTORY}, colour: red}}", "unknown key 'colour'"),
        (f"{{name: Leaf, actor: {DIRECTORY}}}", "name 'Leaf' must be lower-case"),
        (f"{{actor: {DIRECTORY}}}", "name None must be"),
        ("{name: leaf, actor: actors.nowhere.Nothing}", "cannot be loaded"),
        ("{name: leaf, actor: pathlib.Path}", "is not an Actor class"),
        ("{name: leaf}", "strategy None must be one of"),
        ("{name: leaf, strategy: all_at_once, children: [x]}", "must be one of one_for_one"),
        ("{name: leaf, strategy: one_for_one}", "needs a list of children"),
        (f"{{name: leaf, actor: {DIRECTORY}, strategy: one_for_one}}", "has no strategy and no"),
        (f"{{name: leaf, actor: {DIRECTORY}, settings: {{speed: 3}}}}", "unknown setting 'speed'"),
        (f"{{name: leaf, actor: {DIRECTORY}, settings: [1]}}", "settings must be a mapping"),
        (f"{{name: leaf, actor: {DIRECTORY}, restart: often}}", "must be one of permanent"),
        (f"{{name: leaf, actor: {DIRECTORY}, max_restarts: -1}}", "whole number of 0 or more"),
        (f"{{name: leaf, actor: {DIRECTORY}, mailbox_max: 0}}", "whole number of 1 or more"),
        (f"{{name: leaf, actor: {DIRECTORY}, shutdown_s: soon}}", "number of seconds above 0"),
        (f"{{name: leaf, actor: {DIRECTORY}, backoff_s: [5, 1]}}", "[first, max]"),
        (f"{{name: leaf, actor: {DIRECTORY}, pause_on_kill: maybe}}", "true or false"),
        (
            f"{{name: leaf, actor: {DIRECTORY}, handles_orders: perhaps}}",
            "handles_orders 'perhaps' must be true or false",
        ),
        (
            f"{{name: leaf, actor: {DIRECTORY}, requires_sandbox: perhaps}}",
            "requires_sandbox 'perhaps' must be true or false",
        ),
        (
            "{name: signal_loop, actor: actors.routing.signal_loop.SignalLoop, "
            "settings: {scanners: [volatility_agnet]}}",
            "scanners: 'volatility_agnet' is no node of the tree",
        ),
        (
            "{name: execution_agent, actor: actors.execution.execution_agent.ExecutionAgent, "
            "settings: {broker: nobody}}",
            "broker 'nobody' is no broker with exec: true",
        ),
        (
            f"{{name: leaf, actor: {DIRECTORY}, heartbeat_s: 2, max_handler_s: 2}}",
            "max_handler_s 2 must be below heartbeat_s 2",
        ),
        (f"{{name: leaf, actor: {DIRECTORY}, for_each: planets}}", "for_each 'planets' must be"),
        (f"{{name: leaf, actor: {DIRECTORY}, count: 0}}", "count 0 must be a whole number"),
        (f"{{name: leaf, actor: {DIRECTORY}, count: 2, for_each: brokers}}", "exclude each other"),
    ],
)
def test_a_fault_of_a_node_is_named_with_its_line(tmp_path: Path, child: str, words: str) -> None:
    found = faults(tmp_path, tree(child))
    assert any(words in text and line == 8 for line, text in found), found


@pytest.mark.parametrize(
    ("head", "line", "words"),
    [
        ("", 0, "brokers is missing"),
        ("brokers: {alpha: {rest: nowhere, ws: 'ws://h:1'}}\n", 1, "rest 'nowhere' must be a URL"),
        ("brokers: {alpha: {rest: 'http://h:1', ws: 'http://h:2'}}\n", 1, "must be a URL of ws"),
        ("brokers: {alpha: {rest: 'http://h:1', ws: 'ws://h:1'}}\n", 1, "h:1 is already alpha's"),
        ("brokers: {alpha: {rest: 'http://h:1', ws: 'ws://h:2', feed: x}}\n", 1, "true or false"),
        (BROKERS + "feed_auto_sequence: [beta]\n", 4, "'beta' is no broker with feed: true"),
        (BROKERS + "feed_auto_sequence: [alpha, alpha]\n", 4, "'alpha' stands twice"),
        (BROKERS.replace("feed: true, ", ""), 1, "no broker has feed: true"),
        (BROKERS + "extra: 1\n", 4, "unknown key 'extra'"),
        (BROKERS + "defaults: {mailbox_max: none}\n", 4, "whole number of 1 or more"),
        (BROKERS + "defaults: {actor: x}\n", 4, "defaults: unknown key 'actor'"),
    ],
)
def test_a_fault_of_the_head_is_named_with_its_line(
    tmp_path: Path, head: str, line: int, words: str
) -> None:
    found = faults(tmp_path, tree(LEAF, head=head))
    assert any(words in text and (line in (0, at)) for at, text in found), found


def test_feeds_without_an_order_stand_in_for_each_other_as_they_are_declared(
    tmp_path: Path,
) -> None:
    head = BROKERS.replace("alpha", "zulu").replace("exec: true}", "exec: true, feed: true}")
    head = head.replace("feed: true, exec: true, feed: true", "feed: true, exec: true")
    assert read(tmp_path, tree(LEAF, head=head)).feed_sequence == ("zulu", "beta")


BREAKER = "actors.risk.breaker.Breaker"
SAFE = [
    "{name: execution_agent, actor: actors.execution.execution_agent.ExecutionAgent, "
    "settings: {broker: alpha}}",
    "{name: breaker_gate, actor: actors.risk.breaker_gate.BreakerGate}",
    f"{{name: breaker.connection, for_each: exec_brokers, actor: {BREAKER}, "
    "settings: {rule: connection}}",
    *(
        f"{{name: breaker.{rule}, actor: {BREAKER}, settings: {{rule: {rule}}}}}"
        for rule in SAFETY_RULES
    ),
]


def test_a_tree_that_trades_with_its_gate_and_all_its_breakers_is_sound(tmp_path: Path) -> None:
    assert read(tmp_path, tree(*SAFE)).tree.find("breaker.connection.alpha")


@pytest.mark.parametrize(
    ("gone", "needed"),
    [
        ("breaker_gate", "breaker_gate"),
        ("breaker.connection", "breaker.connection.alpha with rule connection for broker alpha"),
        *((f"breaker.{rule}", f"breaker.{rule} with rule {rule}") for rule in SAFETY_RULES),
    ],
)
def test_a_tree_that_trades_without_its_gate_or_a_breaker_is_refused(
    tmp_path: Path, gone: str, needed: str
) -> None:
    kept = [row for row in SAFE if f"name: {gone}," not in row]
    [(line, text)] = faults(tmp_path, tree(*kept))
    assert (line, text.endswith(f"needs the node {needed}")) == (8, True), text


def test_a_breaker_that_runs_another_rule_or_serves_no_broker_is_refused_at_its_line(
    tmp_path: Path,
) -> None:
    swapped = [row.replace("{rule: daily_max_loss}", "{rule: order_rate}") for row in SAFE]
    [(line, text)] = faults(tmp_path, tree(*swapped))
    assert (line, text) == (11, "node breaker.daily_max_loss: it must run rule daily_max_loss")
    alone = [
        row.replace("breaker.connection, for_each: exec_brokers", "breaker.connection.alpha")
        for row in SAFE
    ]
    [(line, text)] = faults(tmp_path, tree(*alone))
    assert (line, "rule connection for broker alpha" in text) == (10, True), text


def test_a_limit_looser_than_the_specification_is_refused(tmp_path: Path) -> None:
    loose = [
        row.replace("{rule: daily_max_loss}", "{rule: daily_max_loss, loss_share_max: 50}")
        for row in SAFE
    ]
    [(line, text)] = faults(tmp_path, tree(*loose))
    assert (line, "loss_share_max must be at most 0.06, not 50" in text) == (11, True), text


def test_a_tree_that_does_not_trade_needs_no_breaker(tmp_path: Path) -> None:
    assert read(tmp_path, tree(LEAF, SAFE[1])).tree.find("breaker_gate")


def test_a_name_that_stands_twice_is_found_at_its_second_line(tmp_path: Path) -> None:
    found = faults(tmp_path, tree(LEAF, LEAF))
    assert found == [(9, "node name 'leaf' stands twice, first in line 8")]


def test_a_key_that_stands_twice_is_found(tmp_path: Path) -> None:
    found = faults(tmp_path, tree("{name: leaf, restart: permanent, restart: permanent}"))
    assert any("key 'restart' stands twice" in text for _, text in found)


def test_a_branch_that_contains_itself_is_found(tmp_path: Path) -> None:
    text = BROKERS + "tree: &root\n  name: root\n  strategy: one_for_one\n  children: [*root]\n"
    assert any("contains itself" in text for _, text in faults(tmp_path, text))


def test_every_fault_of_a_file_is_told_at_once_in_order_of_line(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        tree(
            f"{{name: one, actor: {DIRECTORY}, colour: red}}",
            f"{{name: two, actor: {DIRECTORY}, restart: often}}",
            "{name: three, actor: actors.nowhere.Nothing}",
        ),
    )
    assert [line for line, _ in found] == [8, 9, 10]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"tree: [unclosed", "not YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"", "must be a mapping"),
    ],
)
def test_a_file_that_is_no_topology_gets_a_sentence(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "topology.yaml"
    path.write_bytes(content)
    with pytest.raises(TopologyFaults) as caught:
        load_topology(path, {})
    assert words in caught.value.faults[0].text


def test_a_missing_file_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TopologyFaults) as caught:
        load_topology(tmp_path / "absent.yaml", {})
    assert "cannot be read" in caught.value.faults[0].text


def test_the_environment_points_a_broker_at_another_server(tmp_path: Path) -> None:
    text = tree(LEAF).replace("exec: true}\n  beta", "exec: true, sandbox: true}\n  beta")
    plain = read(tmp_path, text).brokers[0]
    moved = read(tmp_path, text, {"MULTI_BROKER_ALPHA_URL": "https://desk.example:5001/"}).brokers[
        0
    ]
    assert plain.sandbox
    assert not moved.sandbox
    assert moved.rest_url == "https://desk.example:5001"
    assert moved.websocket_url == "wss://desk.example:8766"


def test_the_websocket_port_follows_the_rest_port() -> None:
    assert derived_websocket_url("http://127.0.0.1:5002") == "ws://127.0.0.1:8767"
    assert derived_websocket_url("http://127.0.0.1:9999") == "ws://127.0.0.1:8765"
