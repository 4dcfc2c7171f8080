"""Two systems on one database and one broker account: only one of them enters.

The holder of the control lease is frozen with an entry decided and not written, longer than its
lease; the other takes over; then the first is thawed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.kit.crash_points import ITSELF, arm, has_struck
from tests.kit.default_system import default_system
from tests.kit.freezing_agent import ANSWERED, BEFORE_ROW
from tests.kit.other_server import other_server
from tests.kit.running_tree import members_of
from tests.kit.trading_system import TradingSystem, wait_for

pytestmark = pytest.mark.timeout(900)
SHORT_LEASE = {"settings: {scanners:": "settings: {lease_s: 12, scanners:"}
FREEZING = SHORT_LEASE | {
    "actors.execution.execution_agent.ExecutionAgent": "tests.kit.freezing_agent.FreezingAgent"
}
DECIDED_WITHIN_S = 300.0
TAKEN_WITHIN_S = 300.0


def read(database: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return list(connection.execute(query))


def is_free(database: Path) -> bool:
    """True when nobody is in the middle of a write."""
    with contextlib.closing(sqlite3.connect(database, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.rollback()
        return True


def signal_all(system: TradingSystem, number: int) -> None:
    assert system.process
    for process in [system.process.pid, *(row.pid for row in members_of(system.folder / "var"))]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def freeze(system: TradingSystem, database: Path) -> None:
    """Everything stands still, and nobody of it has the database."""
    signal_all(system, signal.SIGSTOP)
    while not is_free(database):
        signal_all(system, signal.SIGCONT)
        signal_all(system, signal.SIGSTOP)


def decisions(system: TradingSystem) -> str:
    return (system.folder / "var" / "log" / "decisions.log").read_text(encoding="utf-8")


def alerts(system: TradingSystem) -> str:
    return str(system.get("/tomic/status")[1]["data"]["alerts"])


def holder(database: Path) -> tuple[str, int]:
    ((owner, number),) = read(database, "SELECT owner, fencing_number FROM control_lease")
    return str(owner), int(str(number))


def test_what_a_frozen_holder_had_decided_is_refused_after_another_took_the_lease(
    tmp_path: Path,
) -> None:
    database = tmp_path / "shared.db"
    with other_server(tmp_path / "server") as server:
        settings = {
            **server.by_broker(),
            "TOMIC_DATABASE_URL": f"sqlite:///{database}",
            "TOMIC_STARTUP_ENQUEUE_GRACE_S": "0",
            "TOMIC_SIGNAL_LOOP_INTERVAL_S": "5",
        }
        with (
            default_system(settings, FREEZING, TradingSystem) as first,
            default_system(settings, SHORT_LEASE, TradingSystem) as second,
        ):
            folder = first.folder / "var"
            folder.mkdir()
            arm(folder, BEFORE_ROW, {"signal": signal.SIGSTOP, "pids": [ITSELF]})
            arm(folder, ANSWERED, {})
            first.start()
            agent = first.pid("execution_agent")
            wait_for(
                lambda: has_struck(folder, BEFORE_ROW),
                lambda: f"an entry is decided: {decisions(first)}",
                DECIDED_WITHIN_S,
            )
            freeze(first, database)
            try:
                owner, number = holder(database)
                decided = set(read(database, "SELECT strategy_id FROM entry_numbers"))
                assert decided
                assert str(first.folder) in owner
                assert read(database, "SELECT command_id FROM commands") == []

                second.start()
                stays_off = f"{owner} holds the control lease"
                wait_for(lambda: stays_off in alerts(second), "the second says whose turn it is")
                wait_for(lambda: holder(database)[1] > number, "it takes over", TAKEN_WITHIN_S)
                new_owner = holder(database)[0]
                assert str(second.folder) in new_owner

                # The agent alone, before anybody finds that it was silent.
                os.kill(agent, signal.SIGCONT)
                wait_for(lambda: has_struck(folder, ANSWERED), "the late write was tried")
            finally:
                signal_all(first, signal.SIGCONT)

            stays_off = f"{new_owner} holds the control lease"
            wait_for(lambda: stays_off in alerts(first), "the first stays off now")
            written = set(read(database, "SELECT strategy_id FROM commands"))
            assert not decided & written
            ours = {row[0] for row in read(database, "SELECT broker_order_id FROM orders")}
            assert {row["orderid"] for row in server.orders()} <= ours
            assert holder(database)[0] == new_owner
