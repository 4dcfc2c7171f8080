"""A month of generated sessions through the whole system, at full speed.

    python bench/paper_month.py [--sessions N] [--scenario NAME ...] [--minutes M] [--seed S]
                                [--json FILE]

Each session is a recording of its own (a row a minute for each option near the money) with the
daily history that led to it, replayed by `system.py` with an empty book. Per scenario: what was
signalled, refused (by code), traded and earned after costs, and which rule of `tomic.md` 16 was
broken. Exit 1 when one was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from adapters.sandbox.hours import shipped_calendars
from adapters.sandbox.scenarios import SCENARIOS
from bench.generated_session import make_session
from bench.kit import machine, options, table, tell
from domain.calendar import ExchangeCalendar, TradingSession
from domain.positions import unhedged_shorts
from persistence.commands import CommandStore
from persistence.database import open_engine
from persistence.journal import JournalStore
from persistence.positions import PositionStore

ROOT = Path(__file__).resolve().parents[1]
UNDERLYING, SEGMENT = "NIFTY", "NFO"
FIRST_DAY = date(2026, 8, 3)
ENDS_WITHIN_S = 1800
CODES_SHOWN, REASONS_SHOWN = 4, 5


@dataclass
class Tally:
    """What became of the sessions of one scenario."""

    sessions: int = 0
    signals: int = 0
    opened: int = 0
    closed: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    net: list[Decimal] = field(default_factory=list)  # a session each: closed after costs, and open
    broken: list[str] = field(default_factory=list)

    def add(self, report: dict[str, Any], broken: list[str]) -> None:
        """One session."""
        self.sessions += 1
        self.signals += sum(report["signals"].values())
        self.opened += report["structures_opened"]
        self.closed += report["structures_closed"]
        for code, row in report["refusals"].items():
            self.codes[code] += row["count"]
            self.examples.setdefault(code, row["example"])
        self.net.append(Decimal(report["net_pnl"]) + Decimal(report["unrealized"]))
        self.broken += broken

    def drawdown(self) -> Decimal:
        """The deepest fall of the summed results below their highest point, rupees."""
        path = list(accumulate(self.net, initial=Decimal(0)))
        return max(high - at for high, at in zip(accumulate(path, max), path, strict=True))

    def why_nothing(self) -> list[str]:
        """Sentences of what stood most often in the way, when nothing was opened at all."""
        if self.opened:
            return []
        most = self.codes.most_common(REASONS_SHOWN)
        return [f"{count} times {code}: {self.examples[code]}" for code, count in most]

    def row(self, name: str) -> tuple[str, ...]:
        """A line of the table."""
        a_trade = f"{sum(self.net) / self.opened:,.0f}" if self.opened else "-"
        codes = " ".join(f"{code}:{count}" for code, count in self.codes.most_common(CODES_SHOWN))
        return (
            name, str(self.sessions), str(self.signals), f"{self.opened}/{self.closed}", a_trade,
            f"{self.drawdown():,.0f}", str(len(self.broken)), f"{sum(self.took_s):.0f}", codes,
        )  # fmt: skip


def trading_days(calendar: ExchangeCalendar, first: date, count: int) -> list[date]:
    """The next `count` days with a session."""
    days, day = [], first
    while len(days) < count:
        if calendar.session(day):
            days.append(day)
        day += timedelta(days=1)
    return days


def replay(recording: Path, history: Path, folder: Path) -> dict[str, Any] | None:
    """The report of one run; None for one that did not end in time."""
    environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
    command = [
        sys.executable, str(ROOT / "system.py"), "--topology", str(ROOT / "topology.yaml"),
        "--replay", str(recording), "--history", str(history), "--speed", "0",
        "--report", str(folder / "report.json"), "--data-dir", str(folder / "var"),
        "--env-file", str(folder / "env"),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True,
            timeout=ENDS_WITHIN_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise SystemExit(f"{recording.name} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def broken_rules(data_dir: Path, session: TradingSession) -> list[str]:
    """Sentences on rules that the finished run broke, from its own tables and facts."""
    main = open_engine(f"sqlite:///{data_dir / 'tomic.db'}")
    journal = open_engine(f"sqlite:///{data_dir / 'journal.db'}")
    held = [kept.position for kept in PositionStore(main).positions()]
    broken = [f"naked at the end: {short}" for short in unhedged_shorts(held)]
    for command in CommandStore(main).dead_letters():
        broken.append(f"command {command.command_id} was given up: {command.last_error}")
    accepted: dict[str, str] = {}
    for fact in JournalStore(journal).facts():
        body = fact.body
        refusals = [*(body.get("notes") or []), *([body["refusal"]] if body.get("refusal") else [])]
        broken += [f"{fact.kind} without a reason" for row in refusals if not row["text"].strip()]
        if fact.kind == "OrderAccepted":
            key, order = body["client_order_id"], body["broker_order_id"]
            if accepted.setdefault(key, order) != order:
                broken.append(f"{key} was sent twice: {accepted[key]} and {order}")
            if not session.opens_ns <= fact.at_ns < session.closes_ns:
                broken.append(f"{key} was sent out of session")
    main.dispose()
    journal.dispose()
    return broken


def one_or_more(text: str) -> int:
    """A count of the command line."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument(
        "--sessions", type=one_or_more, default=21, help="in all, dealt to the scenarios"
    )
    parser.add_argument("--scenario", nargs="+", default=sorted(SCENARIOS), choices=SCENARIOS)
    parser.add_argument("--minutes", type=one_or_more, default=375)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    calendar = shipped_calendars()[SEGMENT]
    tallies = {name: Tally() for name in arguments.scenario}
    for number, day in enumerate(trading_days(calendar, FIRST_DAY, arguments.sessions)):
        name = arguments.scenario[number % len(arguments.scenario)]
        session = calendar.session(day)
        assert session is not None
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            made = make_session(
                folder / "session", UNDERLYING, calendar=calendar, day=day,
                seed=arguments.seed + number, scenario=name, minutes=arguments.minutes,
            )  # fmt: skip
            began = time.monotonic()
            report = replay(made.recording, made.history, folder)
            tallies[name].took_s.append(time.monotonic() - began)
            if report is None:
                tallies[name].broken.append(f"{day} did not end within {ENDS_WITHIN_S} s")
                continue
            (data_dir,) = (folder / "var" / "replay").iterdir()
            tallies[name].add(report, broken_rules(data_dir, session))
        print(f"{day} {name}: {report['decisions']} decisions", flush=True)
    show(tallies, arguments.json)
    return 1 if any(tally.broken for tally in tallies.values()) else 0


def show(tallies: dict[str, Tally], file: Path | None) -> None:
    """The table, each broken rule, and the same as JSON."""
    head = ("scenario", "sessions", "signals", "opened/closed", "rupees a trade", "drawdown",
            "rules broken", "seconds", "most refused")  # fmt: skip
    table("Paper month", [head, *(tally.row(name) for name, tally in tallies.items())])
    for name, tally in tallies.items():
        for sentence in tally.broken:
            print(f"  {name}: {sentence}")
        for sentence in tally.why_nothing():
            print(f"  {name}, no trade: {sentence}")
    rows = {
        name: {
            "sessions": tally.sessions, "signals": tally.signals, "opened": tally.opened,
            "closed": tally.closed, "refusals": dict(tally.codes),
            "net": [str(value) for value in tally.net], "broken": tally.broken,
            "took_s": tally.took_s, "why_nothing": tally.why_nothing(),
        }
        for name, tally in tallies.items()
    }  # fmt: skip
    tell(rows, machine("numpy", "thespian"), file)


if __name__ == "__main__":
    sys.exit(main())
