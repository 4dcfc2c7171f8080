"""The system that a drill breaks: the default tree in a folder of its own, on free ports, on the
sandbox exchange; nothing of it is left when the block ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from actors.hosting.process import end_with_parent
from adapters.catalogue import open_broker
from adapters.sandbox.control import SandboxControl
from domain.brokers import BrokerEndpoint
from domain.errors import BrokerFailure
from domain.orders import OrderStatus
from domain.setting_notes import FAMILIES
from domain.setting_table import API_KEY
from domain.settings import all_keys
from launch.build import DATABASES, ROOT, free_port
from launch.processes import end_session
from launch.topology_file import load_topology
from persistence.database import open_engine
from persistence.orders import OrderStore

LOOK_EVERY_S = 0.1
ANSWER_WITHIN_S = 10.0
ENDS_WITHIN_S = 10.0
SAID_CHARACTERS = 300  # of its last words, in a finding
OURS = {
    "TOMIC_SIGNAL_LOOP_ENABLED": "false",  # only what the drill posts is traded
    "TOMIC_STARTUP_ENQUEUE_GRACE_S": "0",
}
Row = dict[str, Any]


class NeverCame(Exception):
    """What a step waits for did not come in its time."""


class DrilledSystem:
    """One launcher and its tree."""

    def __init__(self, folder: Path, topology: Path, brokers: tuple[BrokerEndpoint, ...]) -> None:
        self.data_dir = folder / "var"
        self._folder, self._key = folder, secrets.token_hex(32)
        self._http_port = free_port()
        text = topology.read_text(encoding="utf-8")
        for place in {url for row in brokers for url in (row.rest_url, row.websocket_url)}:
            own = f"{urlsplit(place).scheme}://127.0.0.1:{free_port()}"
            text = text.replace(f'"{place}"', f'"{own}"')
        (folder / "topology.yaml").write_text(text, encoding="utf-8")
        (folder / "env").touch()
        names = {key.name for key in all_keys()}
        others = {
            name: value
            for name, value in os.environ.items()
            if name not in names and not name.startswith(FAMILIES)
        }
        self._environment = {**others, **OURS, API_KEY: self._key}
        self._process: subprocess.Popen[bytes] | None = None

    # -- its life --

    def start(self, within_s: float) -> float:
        """Seconds until all nodes are ready. Raises NeverCame with what it said."""
        began = time.monotonic()
        with (self._folder / "output").open("wb") as file:
            self._process = subprocess.Popen(
                self._command(), stdout=file, stderr=subprocess.STDOUT, env=self._environment,
                cwd=ROOT, start_new_session=True, preexec_fn=end_with_parent,
            )  # fmt: skip

        process = self._process
        try:
            self.wait(
                lambda: "nodes are ready" in self._said() or process.poll() is not None,
                "ready", within_s,
            )  # fmt: skip
        except NeverCame as late:
            raise NeverCame(f"{late}; it said: {self._said()[-SAID_CHARACTERS:]}") from None
        if process.poll() is not None:
            raise NeverCame(
                f"it ended with {process.returncode}: {self._said()[-SAID_CHARACTERS:]}"
            )
        return time.monotonic() - began

    def _said(self) -> str:
        """What this life of it printed."""
        return (self._folder / "output").read_text(encoding="utf-8", errors="replace").strip()

    def _command(self, *words: str) -> list[str]:
        return [
            sys.executable, str(ROOT / "system.py"),
            "--topology", str(self._folder / "topology.yaml"), "--data-dir", str(self.data_dir),
            "--env-file", str(self._folder / "env"), "--http-port", str(self._http_port), *words,
        ]  # fmt: skip

    def stop(self) -> float:
        """Ctrl-C: the seconds until it ended. Raises NeverCame when it was not drained."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise NeverCame(f"it did not end within {ENDS_WITHIN_S:.0f} s") from None
        if code:
            raise NeverCame(f"it ended with {code}: {self._said()[-SAID_CHARACTERS:]}")
        return time.monotonic() - began

    def kill_whole(self) -> None:
        """kill -9 of the launcher; the kernel ends its tree with it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._end_rest()

    def kill(self, pid: int) -> None:
        """kill -9 of one process of the tree."""
        if pid <= 1:
            raise NeverCame("that node has no process")
        os.kill(pid, signal.SIGKILL)

    def verify_journal(self) -> str:
        """What `--verify-journal` says; NeverCame when the journal is not whole."""
        done = subprocess.run(
            self._command("--verify-journal"), capture_output=True, text=True,
            env=self._environment, cwd=ROOT, check=False,
        )  # fmt: skip
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise NeverCame(f"the journal is not whole: {said[-SAID_CHARACTERS:]}")
        return done.stdout.strip()

    def end(self) -> None:
        """Nothing of it lives on."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(NeverCame):
                self.stop()
            if self._process.poll() is None:
                self.kill_whole()
        self._end_rest()

    def _end_rest(self) -> None:
        note = self.data_dir / "run" / "session"
        with contextlib.suppress(OSError, ValueError, KeyError):
            kept = json.loads(note.read_text(encoding="utf-8"))
            end_session(int(kept["session"]))
            shutil.rmtree(kept["run_dir"], ignore_errors=True)

    # -- what a drill sees and does --

    def get(self, path: str) -> tuple[int, Any]:
        """(HTTP status, JSON) of a GET."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """(HTTP status, JSON) of a POST."""
        return self._ask("POST", path, json.dumps(dict(body or {})))

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._http_port, timeout=ANSWER_WITHIN_S
        )
        headers = {"X-API-KEY": self._key, "Content-Type": "application/json"}
        try:
            connection.request(method, f"/tomic/{path}", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def part(self, name: str) -> Row:
        """What an actor last reported; empty before that."""
        status, answer = self.get(f"parts/{name}")
        return answer["data"] if status == 200 else {}

    def node(self, name: str) -> Row:
        """A node of the tree as reported."""
        status, answer = self.get(f"tree/{name}")
        return answer if status == 200 else {}

    def alerts(self) -> list[str]:
        """The newest alerts, `LEVEL: text`."""
        _, answer = self.get("status")
        return [f"{row['level']}: {row['text']}" for row in answer["data"]["alerts"]]

    def unmatched_orders(self, broker: str) -> list[str]:
        """In words, what differs between a broker's order book and our rows of it: an order that no
        row knows, a row whose order is not there, one of unknown outcome, one order twice."""
        rows = load_topology(self._folder / "topology.yaml", {}).brokers
        keys = json.loads((self.data_dir / "sandbox" / "keys.json").read_text(encoding="utf-8"))
        port = open_broker(next(row for row in rows if row.name == broker), keys[broker])
        engine = open_engine(f"sqlite:///{self.data_dir / DATABASES['main']}")
        try:
            taken = Counter(row.order_id for row in port.orders())
            ours = OrderStore(engine).changed_since(broker, 0)
        finally:
            port.close()
            engine.dispose()
        known = Counter(row.broker_order_id for row in ours if row.broker_order_id)
        found = [f"order {id_} is at the broker and unknown here" for id_ in taken - known]
        found += [f"order {id_} is known here and not at the broker" for id_ in known - taken]
        at_sea = [row for row in ours if row.status is OrderStatus.SENDING]
        return found + [f"nobody knows what became of {row.client_order_id}" for row in at_sea]

    @contextlib.contextmanager
    def fault(self, name: str, **terms: Any) -> Iterator[None]:
        """A fault switch of the sandbox, on for the block."""
        control = SandboxControl(int(self.part("sandbox_exchange")["control_port"]))
        try:
            control.fault_on(name, **terms)
            yield
        finally:
            with contextlib.suppress(BrokerFailure):  # the exchange is gone, and so is the fault
                control.fault_off(name)
            control.close()

    def wait(self, fact: Callable[[], Any], what: str, within_s: float) -> float:
        """Seconds until `fact()` is true. Raises NeverCame."""
        began, pause = time.monotonic(), threading.Event()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
                if fact():  # a board that is away says nothing yet
                    return time.monotonic() - began
            if time.monotonic() - began > within_s:
                raise NeverCame(f"not within {within_s:g} s: {what}")
            pause.wait(LOOK_EVERY_S)


@contextlib.contextmanager
def drilled_system(topology: Path, brokers: tuple[BrokerEndpoint, ...]) -> Iterator[DrilledSystem]:
    """A system, not yet started, that is gone with its folder when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="tomic-drill-"))
    system = DrilledSystem(folder, topology, brokers)
    try:
        yield system
    finally:
        system.end()
        shutil.rmtree(folder, ignore_errors=True)
