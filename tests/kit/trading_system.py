"""The default tree with the eyes and hands of a trader: signals, rows, the broker's own books.

What the broker did is read from the sandbox's HTTP interface, never from our tables; our rows are
read from the database file, never from an actor. `kill` is kill -9 of a node's process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.sandbox.control import SandboxControl
from domain.instruments import Kind, parse_symbol
from persistence.database import open_engine
from persistence.journal import JournalStore
from tests.kit import default_system as launched
from tests.kit.default_system import DefaultSystem, default_system

BROKER = "zerodha"
REST_PORT = "5502"  # of BROKER in topology.yaml
WING_POINTS = {"NIFTY": 200, "BANKNIFTY": 500}
ENTRY_WITHIN_S = 180.0
ENTRIES_MAX, FILLED_WITHIN_S = 6, 25.0
READY_WITHIN_S = 120.0  # a few seconds, on a machine that does nothing else
# Drills make in a minute what a day makes: neither pace nor intensity is what they are about.
ROOM_FOR_DRILLS = {
    "actors.risk.breaker.Breaker, heartbeat_s: 1, settings: {rule: order_rate}": (
        "tests.kit.roomy_breaker.RoomyBreaker, heartbeat_s: 1,"
        " settings: {rule: order_rate, orders_max: 1000}"
    ),
    "  max_restarts: 3": "  max_restarts: 30",
}
SIGNALS_MAX, BETWEEN_SIGNALS_S = 6, 6.5  # the web takes ten signals a minute
LOOK_EVERY_S = 0.1  # an HTTP request a look: more of them would be load, not news
Row = dict[str, Any]


def wait_for(
    fact: Callable[[], Any], what: str | Callable[[], str], within_s: float = ENTRY_WITHIN_S
) -> Any:
    """What `fact()` gives, once it is true; a board that is away says nothing yet."""

    def looked() -> Any:
        try:
            return fact()
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return None

    try:
        return launched.wait_for(looked, "", within_s, every_s=LOOK_EVERY_S)
    except AssertionError:
        raise AssertionError(
            f"never came true: {what if isinstance(what, str) else what()}"
        ) from None


def condor(underlying: str = "NIFTY", **more: Any) -> Row:
    """A signal for an iron condor, as a person posts it."""
    legs = [
        {"option_type": kind, "direction": side, **where}
        for kind in ("PE", "CE")
        for side, where in (
            ("BUY", {"wing_points": WING_POINTS[underlying]}),
            ("SELL", {"delta_target": 0.25}),
        )
    ]
    return {
        "instrument": underlying,
        "strategy_type": "IRON_CONDOR",
        "direction": "SELL",
        "dte": 30,
        "legs": legs,
        **more,
    }


class TradingSystem(DefaultSystem):
    """A running default tree; its broker is the sandbox's instance BROKER."""

    # -- the broker's side --

    def broker(self, endpoint: str, **body: Any) -> Any:
        """`data` of a read of the sandbox broker, asked as any client asks."""
        key = json.loads((self.folder / "var" / "sandbox" / "keys.json").read_text())[BROKER]
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[REST_PORT], timeout=30)
        try:
            text = json.dumps({"apikey": key, **body})
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/api/v1/{endpoint}", text, headers)
            answer = connection.getresponse()
            reply = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, reply
        return reply.get("data", reply)

    def broker_orders(self) -> list[Row]:
        """The broker's order book, oldest first; ids count up as orders are taken."""
        return sorted(self.broker("orderbook")["orders"], key=lambda row: int(row["orderid"]))

    def broker_holds(self) -> dict[str, int]:
        """Signed quantities at the broker, by symbol; none of 0."""
        rows = self.broker("positionbook")
        return {row["symbol"]: int(row["quantity"]) for row in rows if int(row["quantity"])}

    @contextlib.contextmanager
    def fault(self, name: str, **terms: Any) -> Iterator[SandboxControl]:
        """A fault switch of the sandbox, thrown for the block."""
        with self.control() as control:
            control.fault_on(name, **terms)
            try:
                yield control
            finally:
                control.fault_off(name)

    @contextlib.contextmanager
    def control(self) -> Iterator[SandboxControl]:
        """The sandbox's control port, as its part tells it; a new life tells it in its time."""
        port = wait_for(
            lambda: self.part("sandbox_exchange").get("control_port"), "the sandbox told its port"
        )
        control = SandboxControl(port)
        try:
            yield control
        finally:
            control.close()

    # -- our side --

    def part(self, name: str) -> Row:
        """What an actor last reported; empty before that."""
        status, answer = self.get(f"/tomic/parts/{name}")
        return answer["data"] if status == 200 else {}

    def rows(self, query: str, *values: Any, database: str = "tomic.db") -> list[Row]:
        """Rows of a database, read beside the running system."""
        path = self.folder / "var" / database
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def orders(self, strategy_id: str) -> list[Row]:
        """Our order rows of a structure, oldest first."""
        return self.rows("SELECT * FROM orders WHERE strategy_id = ? ORDER BY id", strategy_id)

    def journal(self) -> JournalStore:
        """The journal, read beside the running system."""
        return JournalStore(open_engine(f"sqlite:///{self.folder / 'var' / 'journal.db'}"))

    # -- what a test does --

    def wait_ready_to_trade(self) -> None:
        """Until a signal would pass: regime and prices are known, the books were compared."""
        seen: Row = {}

        def ready() -> bool:
            seen.update(self.readiness())
            return self.is_ready_to_trade(seen)

        wait_for(ready, lambda: f"the system is ready to trade: {seen}", READY_WITHIN_S)

    def readiness(self) -> Row:
        """What a signal needs, as the parts of the tree tell it now."""
        fresh = self.part("freshness_keeper")
        return {
            "gate": self.part("breaker_gate").get("mode"),
            "regime": self.part("regime_agent").get("version", 0),
            "feed": self.part("feed_selector").get("state"),
            "quotes": self.quoted(fresh),
            "entry gate": fresh.get("entry_gate"),
        }

    @staticmethod
    def is_ready_to_trade(seen: Row) -> bool:
        """True when a signal would pass, by what `readiness` gave."""
        told = (seen["gate"], seen["feed"], seen["quotes"], seen["entry gate"])
        return told == ("active", "live", "all", "") and seen["regime"] > 0

    @staticmethod
    def quoted(ages_s: Row) -> str:
        """Of which underlyings and options a price is known: all, or which are missing."""
        missing = [
            f"no option of {name}"
            for name in WING_POINTS
            if not any(key.startswith(f"option:{name}") for key in ages_s)
        ]
        missing += [key for key, age_s in ages_s.items() if ":" in key and age_s < 0]
        return ", ".join(missing) or "all"

    def inject(self, signal: Mapping[str, Any]) -> str:
        """Posts a signal; its correlation id."""
        status, answer = self.post("/tomic/signals", dict(signal))
        assert status == 202, answer
        return str(answer["correlation_id"])

    def trace(self, correlation_id: str) -> Row:
        """How far a signal came; empty before its row is there."""
        status, answer = self.get(f"/tomic/signals/{correlation_id}")
        return answer if status == 200 else {}

    def wait_ended(self, correlation_id: str, within_s: float = ENTRY_WITHIN_S) -> Row:
        """The trace of a signal whose command came to its end, or that was refused."""
        pending = ("PENDING", "PROCESSING", "UNKNOWN_OUTCOME", "enqueued")

        seen: Row = {}

        def ended() -> Row | None:
            seen.update(self.trace(correlation_id))
            return seen if seen and seen["state"] not in pending else None

        found: Row = wait_for(ended, lambda: f"{correlation_id} ends: {self.told(seen)}", within_s)
        return found

    @staticmethod
    def told(trace: Row) -> str:
        """A trace in a line."""
        orders = [
            f"{row['purpose']} {row['action']} {row['symbol']} {row['status']} "
            f"{row['error_message'] or ''}".strip()
            for row in trace.get("orders", [])
        ]
        return f"{trace.get('state')}, {trace.get('evaluation')}, {orders}"

    def enter(self, underlying: str = "NIFTY") -> str:
        """A condor that stands, from a signal of ours; its strategy id.

        A short may rest for minutes at a price nobody pays; it is soon closed and tried anew.
        """
        for _ in range(ENTRIES_MAX):
            correlation_id = self.inject_until_taken(underlying)
            command = wait_for(lambda: self.trace(correlation_id).get("command"), "a command")  # noqa: B023
            try:
                if self.wait_ended(correlation_id, FILLED_WITHIN_S)["state"] == "DONE":
                    return str(command["strategy_id"])
            except AssertionError:
                self.close(str(command["strategy_id"]))
                self.wait_ended(correlation_id)
        raise AssertionError(f"no condor of {underlying} stands after {ENTRIES_MAX} entries")

    def inject_until_taken(self, underlying: str = "NIFTY", result: str = "enqueued") -> str:
        """Posts a condor until risk proposes it: after a restart readings must first come anew.

        `result` is how execution shall answer the proposal: enqueued or refused.
        """
        refused = []
        for _ in range(SIGNALS_MAX):
            correlation_id = self.inject(condor(underlying))
            word = wait_for(lambda: self.trace(correlation_id).get("evaluation"), "risk's word")  # noqa: B023
            if word["result"] == result:
                return correlation_id
            refused.append(word)
            threading.Event().wait(BETWEEN_SIGNALS_S)
        raise AssertionError(f"risk refused every signal: {refused}")

    def close(self, strategy_id: str) -> None:
        """Asks for a close, and waits until book and broker are flat."""
        status, answer = self.post(f"/tomic/positions/{strategy_id}/close", {"reason": "drill"})
        assert status == 202, answer
        self.wait_flat(strategy_id)

    def wait_flat(self, strategy_id: str) -> None:
        """Until neither our book nor the broker holds anything of a structure."""
        wait_for(
            lambda: (
                not any(
                    row["strategy_id"] == strategy_id
                    for row in self.get("/tomic/positions")[1]["positions"]
                )
                and not self.broker_holds()
            ),
            f"{strategy_id} is flat here and at the broker",
        )

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """kill -9 of a node, or another signal; gives the process that is gone."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def wait_whole(self, name: str, gone: int) -> None:
        """Until a node runs in another process and every node of the tree runs."""

        def whole() -> bool:
            nodes = self.nodes()
            fresh = nodes.get(name, {}).get("pid") not in (None, 0, gone)
            return fresh and all(row["state"] == "running" for row in nodes.values())

        wait_for(whole, f"{name} is back and the tree is whole")


@contextlib.contextmanager
def trading_system(
    environment: dict[str, str] | None = None, changes: Mapping[str, str] | None = None
) -> Iterator[TradingSystem]:
    """A default tree that is ready to trade, and that is gone when the block ends."""
    settings = {"TOMIC_STARTUP_ENQUEUE_GRACE_S": "0", **(environment or {})}
    with default_system(settings, changes, TradingSystem) as system:
        assert isinstance(system, TradingSystem)
        system.start()
        system.wait_ready_to_trade()
        yield system


def uncovered(orders: list[Row]) -> list[str]:
    """Where a broker's filled orders, in the order it took them, left a short without a long.

    Counts the calls and puts of each underlying and expiry; what was never covered, in words.
    """
    held: Counter[tuple[str, Any, Kind]] = Counter()
    naked = []
    for row in orders:
        contract = parse_symbol(row["symbol"])
        assert contract, row["symbol"]
        key = (contract.name, contract.expiry, contract.kind)
        filled = int(row["filled_quantity"])
        held[key] += filled if row["action"] == "BUY" else -filled
        if held[key] < 0:
            naked.append(f"{row['orderid']} {row['action']} {row['symbol']}: net {held[key]}")
    return naked
