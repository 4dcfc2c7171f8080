"""A start on a data folder with a year of trading behind it, to the moment when entries pass.

    python bench/cold_start.py [--commands N] [--json FILE]

The default tree on the sandbox, five starts on each of two folders: one that has lived once, and
the same with N past commands (10,000 unless given) and 20 open legs, which the broker holds as
well. `entries` is from the launch to the gate's own word that the mode is active, `processor` what
the whole tree used by then. A start whose book is not the broker's stops the benchmark.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kit import REPEATS, machine, options, table, tell
from launch.build import free_port
from tests.kit.default_system import default_system
from tests.kit.long_past import Past
from tests.kit.risk_makers import a_resolved_leg, a_structure
from tests.kit.trading_system import BROKER, TradingSystem, wait_for

QUIET = {"TOMIC_SIGNAL_LOOP_ENABLED": "false", "TOMIC_STARTUP_ENQUEUE_GRACE_S": "0"}
STRUCTURES, LEGS = 10, 20
STRIKES_AWAY = 12  # far enough that no rule wants any of them closed
EXPIRY_NO = 5  # counted from the front one: weeks away
ORDER_EVERY_S = 0.2
PAUSE = threading.Event()
GOAL_S = 3.0
COMMANDS = 10_000
WITHIN_S = 600.0  # a broker that a loaded machine keeps from answering pings holds entries
ACTIVE = """SELECT min(at_ns) AS at_ns FROM facts
            WHERE kind = 'TradingModeChanged' AND at_ns > ? AND body LIKE '%"mode":"active"%'"""


@dataclass(frozen=True)
class Start:
    """Seconds from the launch: all nodes ready, entries allowed; processor seconds by then."""

    ready_s: float
    entries_s: float
    processor_s: float


def one_start(system: TradingSystem) -> Start:
    """Up, timed, and down again."""
    system.http_port = free_port()  # the last one may be another's by now
    began_ns = time.time_ns()
    ready_s = system.start()

    def active_ns() -> int:
        return int(system.rows(ACTIVE, began_ns, database="journal.db")[0]["at_ns"] or 0)

    allowed_ns = wait_for(active_ns, "the gate lets entries pass", WITHIN_S)
    processor_s = system.processor_s()
    assert_books_agree(system)
    system.stop()
    return Start(ready_s, (allowed_ns - began_ns) / 1e9, processor_s)


def assert_books_agree(system: TradingSystem) -> None:
    """Our book is what the broker holds, and the reconciler finds no difference."""

    def ours() -> dict[str, int]:
        held: dict[str, int] = {}
        for row in system.rows("SELECT symbol, direction, quantity FROM positions"):
            units = int(row["quantity"]) * (1 if row["direction"] == "BUY" else -1)
            held[row["symbol"]] = held.get(row["symbol"], 0) + units
        return {symbol: units for symbol, units in held.items() if units}

    wait_for(
        lambda: ours() == system.broker_holds(),
        lambda: f"our book {ours()} is the broker's {system.broker_holds()}; {system.output()}",
    )
    assert system.part("reconciler").get("differences", []) == []


def place(system: TradingSystem, past: Past) -> list[tuple[Any, ...]]:
    """Ten spreads at the broker, as our orders would be; what is to be written of each."""
    where = {"underlying": "NIFTY", "exchange": "NSE_INDEX"}
    expiries = system.broker("expiry", symbol="NIFTY", exchange="NFO", instrumenttype="options")
    expiry = str(expiries[EXPIRY_NO]).replace("-", "")
    far = STRIKES_AWAY + LEGS
    rows = system.broker("optionchain", **where, expiry_date=expiry, strike_count=far)["chain"]
    chain = {row["strike"]: row["pe"] for row in rows}
    strikes = sorted(chain)
    middle = len(strikes) // 2 - STRIKES_AWAY
    written = []
    for number in range(STRUCTURES):
        legs = []
        for offset, action in ((number, "SELL"), (number + STRUCTURES, "BUY")):
            strike = strikes[middle - offset]
            quote = chain[strike]
            leg = a_resolved_leg(action, "PE", int(strike), float(quote["ltp"]))
            [listing] = system.rows(
                "SELECT listing_id FROM listings WHERE exchange = 'NFO' AND symbol = ?",
                quote["symbol"],
            )
            legs.append(
                replace(
                    leg, symbol=quote["symbol"], lot_size=quote["lotsize"],
                    expiry=datetime.strptime(expiry, "%d%b%y").date(),
                    listing_id=listing["listing_id"],
                )
            )  # fmt: skip
        intent = past.numbered(f"open:{number}", time.time_ns())
        intent = replace(
            intent, structure=replace(a_structure(*legs), as_of_ns=0), quantity=legs[0].lot_size
        )
        command, orders = past.orders_for(intent)
        taken = {row.tag: placed(system, row) for row in sorted(orders, key=lambda one: one.action)}
        written.append((command, orders, taken))
    return written


def placed(system: TradingSystem, row: Any) -> str:
    """The broker's id of an order that went to it, within its rate."""
    PAUSE.wait(ORDER_EVERY_S)
    reply = system.broker(
        "placeorder", strategy=row.tag, exchange=row.exchange, symbol=row.symbol, action=row.action,
        quantity=str(row.quantity), product=row.product, pricetype="MARKET", price="0",
        trigger_price="0", disclosed_quantity="0",
    )  # fmt: skip
    return str(reply["orderid"])


def make_past(system: TradingSystem, commands: int) -> None:
    """A first life in which the broker takes the open legs; the rows of all of it after its end."""
    past = Past(system.folder / "var", BROKER)
    system.start()
    system.wait_ready_to_trade()
    written = place(system, past)
    wait_for(lambda: len(system.broker_holds()) == LEGS, "the broker holds all legs")
    prices = {row["symbol"]: Decimal(str(row["average_price"])) for row in system.broker_orders()}
    system.stop()
    past.write(commands)
    for command, orders, taken in written:
        past.write_open(command, orders, taken, prices)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--commands", type=int, default=COMMANDS)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    with default_system(QUIET, None, TradingSystem) as system:
        one_start(system)  # the first life of a folder makes what all others find
        figures["a short past"] = [one_start(system) for _ in range(REPEATS)]
        make_past(system, given.commands)
        one_start(system)  # folds the open legs
        figures["a long past"] = [one_start(system) for _ in range(REPEATS)]
    rows: list[tuple[str, ...]] = [("on", "ready s", "entries s", "worst s", "processor s", "goal")]
    told = {}
    for name, starts in figures.items():
        ready = statistics.median(start.ready_s for start in starts)
        entries = statistics.median(start.entries_s for start in starts)
        processor = statistics.median(start.processor_s for start in starts)
        worst = max(start.entries_s for start in starts)
        told[name] = {
            "ready_s": ready, "entries_s": entries, "worst_s": worst, "processor_s": processor,
        }  # fmt: skip
        rows.append(
            (
                name,
                f"{ready:.2f}",
                f"{entries:.2f}",
                f"{worst:.2f}",
                f"{processor:.2f}",
                f"{GOAL_S:g}",
            )
        )
    table(f"From the launch to entries allowed; {given.commands} past commands, {LEGS} legs", rows)
    tell(told, machine("sqlalchemy", "thespian"), given.json)


if __name__ == "__main__":
    main()
