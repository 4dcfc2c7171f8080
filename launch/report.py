"""A replay's report: figures asked of the running tree, then the facts of its journal."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from actors.runtime import Runtime
from adapters.catalogue import open_replay_market
from domain.clock import NS_PER_S
from domain.errors import BrokerFailure, ConfigurationFault
from domain.journal.report import ReportBuilder, page
from persistence.database import open_engine
from persistence.journal import JournalStore

ASK_WITHIN_S = 5.0


def collect(runtime: Runtime) -> dict[str, Any]:
    """What stands in no fact: ticks, bars, what was derived, step times. Asked before the drain."""
    status = _get(runtime, "/tomic/status")
    bridge, exchange = status.get("market_bridge", {}), _exchange(runtime)
    stepper = _part(runtime, "stepper")
    book = _part(runtime, "position_book")
    return {
        "ticks": bridge.get("ticks_total", "?"),
        "bars": bridge.get("candles_built_sniper", "?"),
        "derived": exchange.get("derived", []),
        "warnings": exchange.get("warnings", []),
        "recorded": exchange.get("counts", {}),
        "interval_s": runtime.replay.interval_ns / NS_PER_S if runtime.replay else 0,
        "unrealized": str(book.get("unrealized", "0")),
        "latency": {
            key: stepper[key] for key in ("steps", "step_ms_p50", "step_ms_p99") if key in stepper
        },
    }


def write(runtime: Runtime, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Prints the page; writes the JSON where `--report` says. After the drain: the journal is
    whole.
    """
    builder = ReportBuilder()
    engine = open_engine(runtime.journal_url)
    for fact in JournalStore(engine).facts():
        builder.add(fact.kind, fact.at_ns, fact.body)
    engine.dispose()
    report = builder.result(seen)
    body = Text("\n".join(page(report)))
    Console().print(
        Panel(body, title=f"Replay of {runtime.replay.file.name if runtime.replay else ''}")
    )
    if runtime.replay and runtime.replay.report:
        try:
            runtime.replay.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        except OSError as failure:
            raise ConfigurationFault(
                f"--report: {runtime.replay.report} cannot be written: {failure.strerror}"
            ) from None
    return report


def _exchange(runtime: Runtime) -> dict[str, Any]:
    """From the exchange itself: a short recording ends before its first report."""
    market = open_replay_market(runtime.control_port)
    try:
        return market.status()
    except BrokerFailure:
        return {}  # the report leaves out what could not be asked
    finally:
        market.close()


def _get(runtime: Runtime, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(
        "127.0.0.1", runtime.settings.http_port, timeout=ASK_WITHIN_S
    )
    try:
        connection.request("GET", path, headers={"X-API-KEY": runtime.keys["http"]})
        answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return {}  # the report says "?" where the tree could not be asked
    finally:
        connection.close()
    found = answer.get("data", {})
    return found if isinstance(found, dict) else {}


def _part(runtime: Runtime, name: str) -> dict[str, Any]:
    return _get(runtime, f"/tomic/parts/{name}")
