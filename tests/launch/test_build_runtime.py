"""What the launcher joins before the first fork, and what it refuses in a sentence."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

import pytest

from domain.errors import ConfigurationFault
from launch.build import Built, build_runtime, data_folder, free_port
from launch.command_line import parse
from tests.kit.recorded_session import write_session


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOMIC_API_KEY", "TOMIC_DATA_DIR", "MULTI_BROKER_DHAN_URL"):
        monkeypatch.delenv(name, raising=False)


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
    built = build_runtime(arguments, data_folder(arguments))
    shutil.rmtree(built.runtime.run_dir)
    return built


def test_each_start_of_a_data_folder_has_its_own_number(topology: Path) -> None:
    assert [build(topology).runtime.launch for _ in range(3)] == [1, 2, 3]


def test_the_sandbox_keeps_its_keys_and_the_first_run_shows_the_http_key_once(
    topology: Path,
) -> None:
    first, second = build(topology), build(topology)
    assert first.new_api_key
    assert not second.new_api_key
    assert first.runtime.keys == second.runtime.keys
    assert set(first.runtime.keys) == {"zerodha", "dhan", "kotak", "http"}


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


def test_the_execution_role_can_be_pointed_at_any_server(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOMIC_EXECUTION_REST", "http://desk.example:5002/")
    monkeypatch.setenv("TOMIC_FEED_PRIMARY_WS", "ws://feed.example:8767")
    runtime = build(topology).runtime
    assert runtime.broker("zerodha").rest_url == "http://desk.example:5002"
    assert runtime.broker("zerodha").websocket_url == "ws://feed.example:8767"


def test_a_replay_gets_an_empty_folder_ports_of_its_own_and_a_stepper(topology: Path) -> None:
    session = write_session(topology.parent / "day.csv", minutes=3)
    plain = build(topology).runtime
    runtime = build(topology, "--replay", str(session), "--speed", "60").runtime
    assert runtime.replay is not None
    assert runtime.replay.interval_ns == 60_000_000_000
    assert runtime.tree.find("stepper") is not None
    assert runtime.data_dir != plain.data_dir
    assert runtime.broker("zerodha").rest_url != plain.broker("zerodha").rest_url


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


def test_a_data_folder_that_cannot_be_written_is_named(topology: Path) -> None:
    blocked = topology.parent / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ConfigurationFault, match=r"data folder .* cannot be written"):
        build(topology, "--data-dir", str(blocked / "var"))
