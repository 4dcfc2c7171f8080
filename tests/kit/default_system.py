"""The default tree in a folder of its own, on free ports: what system tests and benchmarks drive.

The system is launched as a user launches it, by system.py in a process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil

from launch.build import free_port

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "b" * 40
PATIENCE_S = 180.0
START_WITHIN_S = 300.0  # three seconds, on a machine that has them to give
AnySystem = TypeVar("AnySystem", bound="DefaultSystem")


def wait_for(
    fact: Callable[[], Any], what: str, within_s: float = PATIENCE_S, *, every_s: float = 0.01
) -> Any:
    """What `fact()` gives, once it is true."""
    pause = threading.Event()
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = fact()
        if found:
            return found
        pause.wait(every_s)
    raise AssertionError(f"never came true: {what}")


class DefaultSystem:
    """One launcher and its tree. `changes` are texts of topology.yaml and what replaces them."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str] | None = None,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.http_port = free_port()
        text = (ROOT / "topology.yaml").read_text(encoding="utf-8")
        for found, replacement in (changes or {}).items():
            if found not in text:
                raise ValueError(f"topology.yaml has no {found!r} to change")
            text = text.replace(found, replacement)
        ports: dict[str, int] = {}
        for port in sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", text))):
            ports[port] = free_port()
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ports[port]}")
        (folder / "topology.yaml").write_text(text, encoding="utf-8")
        (folder / "env").write_text(f"TOMIC_API_KEY={API_KEY}\n", encoding="utf-8")
        self.ports = ports
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith("TOMIC_")
        } | (environment or {})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until the launcher says that all nodes are ready."""
        output = self.folder / "output"
        output.write_bytes(b"")
        began = time.monotonic()
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                [
                    sys.executable, str(ROOT / "system.py"),
                    "--topology", str(self.folder / "topology.yaml"),
                    "--data-dir", str(self.folder / "var"), "--env-file", str(self.folder / "env"),
                    "--http-port", str(self.http_port),
                ],
                stdout=file, stderr=subprocess.STDOUT, env=self.environment, cwd=ROOT,
            )  # fmt: skip
        process = self.process

        def stands() -> bool:
            return b"nodes are ready" in output.read_bytes() or process.poll() is not None

        try:
            wait_for(stands, "the tree is ready", START_WITHIN_S)
        except AssertionError as late:
            raise AssertionError(f"{late}; it said: {output.read_text()}") from None
        if process.poll() is not None:
            raise RuntimeError(output.read_text())
        return time.monotonic() - began

    def stop(self) -> int:
        """Ctrl-C; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)

    def processor_s(self) -> float:
        """Processor seconds of the launcher and its tree so far."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):  # ended meanwhile
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def output(self) -> str:
        """What the launcher printed so far."""
        return (self.folder / "output").read_text(encoding="utf-8")

    def get(self, path: str, timeout_s: float = 30.0) -> tuple[int, Any]:
        """(HTTP status, JSON) of a GET."""
        return self.request("GET", path, None, timeout_s)

    def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """(HTTP status, JSON) of a POST."""
        return self.request("POST", path, body, 10.0)

    def request(
        self, method: str, path: str, body: Any, timeout_s: float, *, key: str = API_KEY
    ) -> tuple[int, Any]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        headers = {"X-API-KEY": key, "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Every node of the tree as reported, by name."""
        status, tree = self.get("/tomic/tree")
        if status != 200:
            return {}
        found: dict[str, dict[str, Any]] = {}
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            found[node["name"]] = node
            waiting += node["children"]
        return found

    def pid(self, name: str) -> int:
        """The process of a node, once it has one: 0 would mean our own group to a kill."""

        def known() -> int:
            return int(self.nodes().get(name, {}).get("pid") or 0)

        return int(wait_for(known, f"{name} has a process"))

    def processes(self) -> list[psutil.Process]:
        """The launcher and everything below it."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]


@contextlib.contextmanager
def default_system(
    environment: dict[str, str] | None = None,
    changes: Mapping[str, str] | None = None,
    kind: type[AnySystem] = DefaultSystem,  # type: ignore[assignment]
) -> Iterator[AnySystem]:
    """A system that is gone, with its folder, when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="tomic-test-"))
    system = kind(folder, environment, changes)
    try:
        yield system
    finally:
        if system.process is not None and system.process.poll() is None:
            everything = system.processes()
            try:
                system.stop()
            except subprocess.TimeoutExpired:
                sys.stderr.write(f"the launcher did not end; it said: {system.output()}\n")
                sys.stderr.writelines(_seen(process) for process in everything)
                for process in everything:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _seen(process: psutil.Process) -> str:
    """What a process that should have ended does, and where in the kernel it waits."""
    try:
        place = Path(f"/proc/{process.pid}/wchan").read_text()
        return f"{process.pid} {process.name()} {process.status()} {place}\n"
    except (psutil.Error, OSError) as gone:
        return f"{process.pid} {gone}\n"
