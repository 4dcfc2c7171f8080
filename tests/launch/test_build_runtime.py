"""What the launcher joins before the first fork, and what it refuses in a sentence."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from domain.errors import ConfigurationFault
from domain.supervision.endpoints import INSTANCE_KEYS
from launch.build import Built, build_runtime, data_folder, free_port
from launch.command_line import parse
from tests.kit.recorded_session import write_session


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("TOMIC_", "MULTI_BROKER_")) or name in (*INSTANCE_KEYS, "API_KEY"):
            monkeypatch.delenv(name)


@pytest.fixture
def topology(tmp_path: Path, root: Path) -> Path:
    """The shipped tree on ports of its own."""
    text = (root / "topology.yaml").read_text(encoding="utf-8")
    text = re.sub(r"127\.0\.0\.1:\d+", lambda _: f"127.0.0.1:{free_port()}", text)
    path = tmp_path / "topology.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def build(topology: Path, *words: str) -> Built:
    folder = topology.parent
    base = ["--topology", str(topology), "--data-dir", str(folder / "var")]
    base += ["--env-file", str(folder / "env"), "--http-port", str(free_port())]
    arguments = parse([*base, *words])
    return build_runtime(arguments, data_folder(arguments), folder / "run")


def test_each_start_of_a_data_folder_has_its_own_number(topology: Path) -> None:
    assert [build(topology).runtime.launch for _ in range(3)] == [1, 2, 3]


def test_the_sandbox_keeps_its_keys_and_the_first_run_shows_the_http_key_once(
    topology: Path,
) -> None:
    first, second = build(topology), build(topology)
    assert first.new_api_key
    assert not second.new_api_key
    assert first.runtime.keys == second.runtime.keys
    assert set(first.runtime.keys) == {
        *("zerodha", "dhan", "kotak", "http"),
        *("feed:zerodha", "feed:dhan", "feed:kotak"),
    }


def test_no_key_shows_in_the_runtimes_own_words(topology: Path) -> None:
    runtime = build(topology).runtime
    assert not any(key in repr(runtime) for key in runtime.keys.values())


def test_the_sandbox_starts_trading_by_itself(topology: Path) -> None:
    assert build(topology).runtime.settings.auto_start


def test_a_broker_pointed_elsewhere_is_not_served_by_the_sandbox(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTI_BROKER_DHAN_URL", "http://desk.example:5001")
    runtime = build(topology).runtime
    assert {row.name for row in runtime.brokers if row.sandbox} == {"zerodha", "kotak"}
    assert "dhan" not in runtime.keys


def test_with_no_sandbox_broker_the_exchange_leaves_the_tree(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DHAN", "ZERODHA", "KOTAK"):
        monkeypatch.setenv(f"MULTI_BROKER_{name}_URL", f"http://{name.lower()}.example:5000")
    runtime = build(topology).runtime
    assert not runtime.sandbox
    assert runtime.tree.find("sandbox_exchange") is None
    assert not runtime.settings.auto_start


def test_the_feed_alone_moves_to_the_server_that_the_environment_names(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = build(topology).runtime
    monkeypatch.setenv("TOMIC_FEED_PRIMARY_WS", "ws://feed.example:8767")
    monkeypatch.setenv("TOMIC_FEED_PRIMARY_API_KEY", "feed key")
    runtime = build(topology).runtime
    assert runtime.feed("zerodha").websocket_url == "ws://feed.example:8767"
    assert runtime.feed("zerodha").rest_url == "http://feed.example:5002"
    assert runtime.feed_key("zerodha") == runtime.reading_key("zerodha") == "feed key"
    assert runtime.broker("zerodha") == plain.broker("zerodha")
    assert runtime.keys["zerodha"] == plain.keys["zerodha"]
    served = runtime.sandbox_instances()
    assert served["zerodha"] == (plain.broker("zerodha"), plain.keys["zerodha"])


def test_execution_alone_moves_to_the_server_that_the_environment_names(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = build(topology).runtime
    monkeypatch.setenv("TOMIC_EXECUTION_REST", "http://desk.example:5002/")
    monkeypatch.setenv("TOMIC_EXECUTION_API_KEY", "execution key")
    runtime = build(topology).runtime
    assert runtime.broker("zerodha").rest_url == "http://desk.example:5002"
    assert runtime.keys["zerodha"] == "execution key"
    assert runtime.feed("zerodha") == plain.feed("zerodha")
    assert runtime.reading_key("zerodha") == plain.reading_key("zerodha")
    assert runtime.sandbox_instances() == plain.sandbox_instances()


def test_feed_and_execution_each_have_their_server_and_its_key(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {
        "TOMIC_EXECUTION_REST": "http://desk.example:5000",
        "TOMIC_EXECUTION_API_KEY": "execution key",
        "TOMIC_FEED_PRIMARY_WS": "ws://feed.example:8767",
        "TOMIC_FEED_PRIMARY_API_KEY": "primary key",
        "TOMIC_FEED_FALLBACK_WS": "ws://other.example:8766",
        "TOMIC_FEED_FALLBACK_API_KEY": "fallback key",
    }.items():
        monkeypatch.setenv(key, value)
    runtime = build(topology).runtime
    assert runtime.keys["zerodha"] == "execution key"
    assert runtime.reading_key("zerodha") == runtime.feed_key("zerodha") == "primary key"
    assert runtime.reading_key("dhan") == runtime.feed_key("dhan") == "fallback key"
    assert runtime.feed("dhan").rest_url == "http://other.example:5001"
    assert set(runtime.sandbox_instances()) == {"kotak", "dhan"}
    assert runtime.feed_sequence == ("zerodha", "dhan")


def test_what_is_of_another_market_is_told_and_stands_aside(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTI_BROKER_ZERODHA_URL", "http://desk.example:5002")
    built = build(topology)
    assert built.runtime.feed_sequence == ("zerodha",)
    assert [note[:27] for note in built.notes] == ["feed dhan stands aside: it "]


def test_a_start_says_which_keys_are_set_in_vain(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTI_BROKER_ZERODA_URL", "http://desk.example:5002")
    monkeypatch.setenv("TOMIC_ZMQ_PORT", "5555")
    notes = build(topology).notes
    assert notes == (
        "MULTI_BROKER_ZERODA_URL is no key and has no effect; "
        "did you mean MULTI_BROKER_ZERODHA_URL?",
        "TOMIC_ZMQ_PORT has no effect yet: it waits for a tree over several machines "
        "(a port for the data bus, which uses local sockets on one machine)",
    )


def test_a_live_mode_starts_by_itself_only_where_orders_go_to_the_sandbox(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOMIC_MODE", "full_auto")
    assert build(topology).runtime.settings.auto_start
    monkeypatch.setenv("MULTI_BROKER_ZERODHA_URL", "http://desk.example:5002")
    assert not build(topology).runtime.settings.auto_start


def test_a_replay_never_leaves_our_own_exchange(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOMIC_EXECUTION_REST", "http://desk.example:5002")
    monkeypatch.setenv("MULTI_BROKER_DHAN_URL", "http://desk.example:5001")
    session = write_session(topology.parent / "day.csv", minutes=3)
    runtime = build(topology, "--replay", str(session)).runtime
    assert all(row.sandbox for row in (*runtime.brokers, *runtime.feeds))
    assert not any("example" in row.rest_url for row in runtime.brokers)


def test_a_replay_gets_an_empty_folder_ports_of_its_own_and_a_stepper(topology: Path) -> None:
    session = write_session(topology.parent / "day.csv", minutes=3)
    plain = build(topology).runtime
    runtime = build(topology, "--replay", str(session), "--speed", "60").runtime
    assert runtime.replay is not None
    assert runtime.replay.interval_ns == 60_000_000_000
    assert runtime.tree.find("stepper") is not None
    assert runtime.data_dir != plain.data_dir
    assert runtime.broker("zerodha").rest_url != plain.broker("zerodha").rest_url


def test_a_port_of_the_sandbox_that_is_that_of_the_pages_is_named(topology: Path) -> None:
    port = re.findall(r"127\.0\.0\.1:(\d+)", topology.read_text())[0]
    with pytest.raises(ConfigurationFault, match=f"port {port} of the sandbox.*--http-port"):
        build(topology, "--http-port", port)


def test_no_port_is_given_out_twice_nor_one_that_settings_name(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange's own port was once that of the pages, and nothing became ready."""
    named = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", topology.read_text())]
    folder = topology.parent
    words = ["--topology", str(topology), "--data-dir", str(folder / "var"), "--http-port", "19871"]
    arguments = parse([*words, "--env-file", str(folder / "env")])
    monkeypatch.setattr("launch.build.FREE_PORTS", [*named, 19_871, 19_872, 19_873])
    monkeypatch.setattr("launch.build._spoken_for", set())
    built = build_runtime(arguments, data_folder(arguments), folder / "run")
    assert {built.runtime.control_port, free_port()} == {19_872, 19_873}


def test_a_port_in_use_is_named(topology: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ConfigurationFault, match=f"port {port} is in use; --http-port"):
            build(topology, "--http-port", str(port))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--replay", "absent.csv"], "--replay: absent.csv is no file"),
        (["--replay", "{day}", "--history", "absent"], "--history: absent is no folder"),
        (["--replay", "{day}", "--speed", "-1"], "--speed -1.0 must be 0"),
        (["--replay", "{day}", "--speed", "nan"], "--speed nan must be 0"),
        (["--replay", "{day}", "--report", "/absent/r.json"], "folder /absent does not exist"),
    ],
)
def test_a_bad_word_on_the_command_line_gets_a_sentence(
    topology: Path, words: list[str], sentence: str
) -> None:
    day = write_session(topology.parent / "day.csv", minutes=2)
    with pytest.raises(ConfigurationFault, match=re.escape(sentence)):
        build(topology, *[word.format(day=day) for word in words])


def native(topology: Path, shards: int, extra: str = "feed_adapter: dhan") -> None:
    """Dhan's prices come from the broker's own server."""
    text = topology.read_text(encoding="utf-8")
    text = re.sub(r"(label: Dhan), sandbox: true", rf"\1, {extra}", text)
    topology.write_text(
        re.sub(r"(name: shard, count:) \d+", rf"\1 {shards}", text), encoding="utf-8"
    )


def test_more_shards_than_the_broker_allows_sockets_stop_the_start(topology: Path) -> None:
    native(topology, shards=6)
    with pytest.raises(ConfigurationFault, match="dhan has 6 shards, and Dhan allows 5 sockets"):
        build(topology)
    native(topology, shards=5)
    row = build(topology).runtime.feed("dhan")
    assert (row.adapter, row.feed_adapter) == ("openalgo", "dhan")


def test_a_feed_that_takes_no_orders_is_no_brokers_adapter(topology: Path) -> None:
    native(topology, shards=2, extra="adapter: dhan")
    with pytest.raises(ConfigurationFault, match="is a feed only: name it in feed_adapter"):
        build(topology)


def test_a_brokers_own_feed_gets_the_key_of_feeds_and_no_other(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    native(topology, shards=2)
    monkeypatch.setenv("MULTI_BROKER_DHAN_APIKEY", "of-the-rest-server-only")
    assert build(topology).runtime.feed_key("dhan") == ""
    monkeypatch.setenv("TOMIC_FEED_API_KEY", "1100000001:a-token-of-today")
    assert build(topology).runtime.feed_key("dhan") == "1100000001:a-token-of-today"


def test_a_replay_hears_the_sandbox_whatever_the_feed_is_otherwise(topology: Path) -> None:
    native(topology, shards=2)
    session = write_session(topology.parent / "day.csv", minutes=2)
    row = build(topology, "--replay", str(session)).runtime.feed("dhan")
    assert (row.adapter, row.feed_adapter) == ("openalgo", "")
