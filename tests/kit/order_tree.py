"""A small tree that carries orders as the default one does, and a broker of its own beside it.

The actors of an order's way, of the journal and of the risk gate are the product's, with crash
points; what would feed them (market, signals, risk) is one OrderDriver. The broker is the sandbox
exchange in a process of its own: it outlives whatever is killed, as a real one would. Restarts are
not held back, for a matrix makes in a minute what a year makes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from adapters.sandbox.control import SandboxControl
from domain.instruments import Kind
from domain.intents import SizedIntent, StrategyType
from launch.build import free_port
from launch.processes import Process, end_session
from messages.codec import to_plain
from persistence.database import open_engine
from persistence.lease import LeaseStore
from tests.kit.crashing_actors import IN_PLACE_OF
from tests.kit.default_system import API_KEY, ROOT, wait_for
from tests.kit.kill_cases import EVERYTHING, EXCHANGE, GROUP, SMALL, tree_of, victims_of
from tests.kit.order_driver import INBOX, UNDERLYING
from tests.kit.pressure import Deadline
from tests.kit.risk_makers import a_resolved_leg, a_signal, a_structure, an_intent
from tests.kit.running_tree import members_of, session_of

BROKER = "alpha"
READY_WITHIN_S = 60.0  # without what the machine made everybody wait
LOOK_EVERY_S = 0.05
Row = dict[str, Any]
NAME_BYTES = 15
TOO_MANY, PAUSE_S, PAUSES_MAX = 429, 0.2, 25  # the broker takes 50 calls a second from all


class OrderTree:
    """One broker, one launcher, one data folder."""

    NAMES = frozenset((*victims_of(tree_of(SMALL)), EXCHANGE)) - {EVERYTHING}
    ENTERS_WITHIN_S = 120.0
    MAY_REST = False  # legs are priced so that they are met at once
    # Fills that come together are one step, and a step may be the third; a fault of two calls may
    # end two entries.
    ENTRIES_MAX = 3

    def __init__(self, folder: Path) -> None:
        self.folder, self.data_dir = folder, folder / "var"
        self.key = secrets.token_hex(32)
        self.rest_port, self.control_port = free_port(), free_port()
        words = [
            "--always-open",
            "--instance",
            f"{BROKER}:{self.rest_port}:{free_port()}:{self.key}",
        ]
        words += ["--account", "starting_capital=1000000000", "--data-dir", str(folder / "broker")]
        words += ["--control-port", str(self.control_port)]
        (folder / "broker").mkdir()
        self._words = words
        self._exchange = self._start_exchange()
        text = SMALL.read_text(encoding="utf-8")
        text = text.replace("5500", str(self.rest_port)).replace("8865", str(free_port()))
        for path, kind in IN_PLACE_OF.items():
            text = text.replace(f"{path}", f"{kind.__module__}.{kind.__name__}")
        (folder / "tree.yaml").write_text(text)
        (folder / "env").touch()
        self.process: subprocess.Popen[bytes] | None = None
        # The system lists processes by the first letters of their names.
        self._names = {name[:NAME_BYTES]: name for name in self.NAMES}
        self.expiry = self._front_expiry()

    # -- life --

    def _start_exchange(self) -> subprocess.Popen[bytes]:
        """The broker, on the books of its last life."""
        exchange = subprocess.Popen(
            [sys.executable, "-m", "adapters.sandbox", *self._words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: self.ask_or_none("ping"), "the broker answers", READY_WITHIN_S)
        except AssertionError:
            exchange.kill()
            raise
        return exchange

    def revive(self) -> None:
        """What no supervisor of ours restarts: a launcher as a person would, a broker as its own
        people do."""
        if self._exchange.poll() is not None:
            self._exchange = self._start_exchange()
        if self.process is not None and self.process.poll() is not None:
            self.start()

    def start(self) -> None:
        """A launcher on this folder, as a user starts one; returns when all nodes are ready."""
        environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
        environment |= {
            "TOMIC_API_KEY": API_KEY,
            "TOMIC_AUTO_START": "true",
            "TOMIC_CAPITAL": "100000000",
            "TOMIC_MAX_QUEUE_AGE_S": "60",
            f"MULTI_BROKER_{BROKER.upper()}_OPENALGO_API_KEY": self.key,
        }
        output = self.folder / "output"
        output.write_bytes(b"")
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                [
                    sys.executable, str(ROOT / "system.py"), "--topology",
                    str(self.folder / "tree.yaml"), "--data-dir", str(self.data_dir),
                    "--env-file", str(self.folder / "env"), "--http-port", str(free_port()),
                ],
                stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment,
            )  # fmt: skip
        process = self.process

        def stands() -> bool:
            return b"nodes are ready" in output.read_bytes() or process.poll() is not None

        deadline = Deadline(READY_WITHIN_S)
        while not stands():
            assert not deadline.is_over(), f"the tree is not ready:\n{output.read_text()}"
            threading.Event().wait(LOOK_EVERY_S)
        if process.poll() is not None:
            raise RuntimeError(output.read_text())

    def end(self) -> None:
        """Nothing of it lives on, nor its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        session = self.session()
        if session:
            end_session(session)
            with contextlib.suppress(FileNotFoundError, KeyError):
                note = json.loads((self.data_dir / "run" / "session").read_text())
                shutil.rmtree(note["run_dir"], ignore_errors=True)
        self._exchange.kill()
        self._exchange.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- processes --

    def session(self) -> int:
        """The runtime's session; 0 before there is one."""
        return session_of(self.data_dir)

    def members(self) -> list[Process]:
        """Living processes below the launcher."""
        return members_of(self.data_dir)

    def pids(self) -> dict[str, int]:
        """Processes by name, with admin, logger, launcher and exchange; `group` is all of the
        runtime, as a kill takes it."""
        assert self.process is not None
        found = {"launcher": self.process.pid, EXCHANGE: self._exchange.pid}
        members = self.members()
        for row in members:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, KeyError):
                comm = Path(f"/proc/{row.pid}/comm").read_text().strip()
                found[self._names[comm]] = row.pid
            found[GROUP] = -row.session
        root = found.get("root", 0)
        for row in members:
            if row.parent == self.process.pid:
                found["admin"] = row.pid
        for row in members:
            if row.parent == found.get("admin") and row.pid != root:
                found["logger"] = row.pid
        return found

    # -- the broker's side --

    def ask(self, endpoint: str, **body: Any) -> Any:
        """`data` of a read of the broker, or the whole reply where it has none."""
        status, reply = self._asked(endpoint, body)
        for _ in range(PAUSES_MAX):
            if status != TOO_MANY:
                break
            threading.Event().wait(PAUSE_S)
            status, reply = self._asked(endpoint, body)
        if status != 200:
            raise OSError(f"{endpoint}: HTTP {status} {reply}")
        return reply.get("data", reply)

    def _asked(self, endpoint: str, body: Row) -> tuple[int, Row]:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=10)
        try:
            text = json.dumps({"apikey": self.key, **body})
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/api/v1/{endpoint}", text, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def ask_or_none(self, endpoint: str) -> Any:
        """The same, None while the broker cannot be reached."""
        try:
            return self.ask(endpoint)
        except (OSError, http.client.HTTPException):
            return None

    @contextlib.contextmanager
    def control(self) -> Iterator[SandboxControl]:
        """The exchange's control port."""
        control = SandboxControl(self.control_port)
        try:
            yield control
        finally:
            control.close()

    def _front_expiry(self) -> str:
        """The third expiry, `01DEC26`: far enough that nothing expires while a matrix runs."""
        rows = self.ask("expiry", symbol=UNDERLYING, exchange="NFO", instrumenttype="options")
        return str(rows[2]).replace("-", "")

    # -- our side --

    def rows(self, query: str, *values: Any, database: str = "tomic.db") -> list[Row]:
        """Rows of a database, read beside the running system."""
        path = self.data_dir / database
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def propose(self, number: int, strategy: StrategyType, lots: int, fencing_number: int) -> str:
        """Asks for a structure at prices of this moment; its strategy id."""
        intent = self.intent(number, strategy, lots)
        intent = replace(intent, fencing_number=fencing_number)
        self._put(f"{number}-open", {"intent": to_plain(intent)})
        return intent.strategy_id

    def close(self, strategy_id: str, number: int) -> None:
        """Asks for its close."""
        key = f"{strategy_id}:close:matrix"
        words = {"strategy_id": strategy_id, "reason": "manual", "key": key, "by": "matrix"}
        self._put(f"{number}-shut", {"close": words})

    def take_lease_away(self, from_number: int) -> None:
        """Another instance holds the control lease, under the number after that one."""
        store = LeaseStore(open_engine(f"sqlite:///{self.data_dir / 'tomic.db'}"))
        store.take("this machine", 0, 1.0)
        lease = store.take("the other machine", time.time_ns(), 3600.0)
        assert (lease.owner, lease.fencing_number) == ("the other machine", from_number + 1)

    def pause(self, number: int) -> None:
        """A person stops trading: the kill switch."""
        self._put(f"{number}-stop", {"pause": {"reason": "by the matrix", "by": "matrix"}})

    def answer(self, strategy_id: str) -> str | None:
        """What execution said to a proposal: "" for a row, a refusal in words, None for nothing."""
        path = self.data_dir / INBOX / f"{strategy_id}.answer"
        return path.read_text() if path.exists() else None

    def _put(self, name: str, wish: Row) -> None:
        inbox = self.data_dir / INBOX
        for path in inbox.glob("*.json"):
            path.unlink()
        draft = inbox / f".{name}"
        draft.write_text(json.dumps(wish))
        draft.rename(inbox / f"{name}.json")

    def intent(self, number: int, strategy: StrategyType, lots: int) -> SizedIntent:
        """So many lots, legs quoted so that limits are met at once."""
        where = {"underlying": UNDERLYING, "exchange": "NSE_INDEX", "expiry_date": self.expiry}
        chain = {
            row["strike"]: row for row in self.ask("optionchain", **where, strike_count=8)["chain"]
        }
        strikes = sorted(chain)
        middle = len(strikes) // 2
        put, call = Kind.PUT, Kind.CALL
        shape = {
            StrategyType.BULL_PUT_SPREAD: ((-2, put, "SELL"), (-5, put, "BUY")),
            StrategyType.IRON_CONDOR: (
                (-5, put, "BUY"), (-2, put, "SELL"), (2, call, "SELL"), (5, call, "BUY"),
            ),
            StrategyType.SHORT_STRANGLE: ((-4, put, "SELL"), (4, call, "SELL")),
        }[strategy]  # fmt: skip
        legs = []
        for offset, kind, action in shape:
            strike = strikes[middle + offset]
            quote = chain[strike]["pe" if kind is put else "ce"]
            price = quote["ask"] * 1.05 if action == "BUY" else quote["bid"] * 0.95
            leg = a_resolved_leg(action, kind.value, int(strike), round(price, 1))
            expiry = datetime.strptime(self.expiry, "%d%b%y").date()
            legs.append(
                replace(
                    leg, symbol=quote["symbol"], expiry=expiry, lot_size=quote["lotsize"],
                    listing_id=number * 10 + len(legs),
                )
            )  # fmt: skip
        tag = f"TOMIC_{strategy.value}_{UNDERLYING}"
        signal_ = a_signal(strategy, (), correlation_id=f"matrix:{number}", source="matrix")
        return an_intent(
            strategy_id=f"{tag}_{number}",
            strategy_tag=tag,
            idempotency_key=f"{tag}_{number}:entry",
            correlation_id=f"matrix:{number}",
            signal=signal_,
            structure=replace(a_structure(*legs), as_of_ns=0),
            quantity=legs[0].lot_size * lots,
            lots=lots,
            margin_required=Decimal(60_000),
            naked_approved=strategy is StrategyType.SHORT_STRANGLE,
        )


@contextlib.contextmanager
def order_tree(folder: Path) -> Iterator[OrderTree]:
    """A started tree that is gone when the block ends."""
    tree = OrderTree(folder)
    try:
        tree.start()
        yield tree
    finally:
        tree.end()
