"""A month of generated sessions through the whole system, at full speed.

    python bench/paper_month.py [--sessions N] [--scenario NAME ...] [--minutes M] [--seed S]
                                [--json FILE]

Each session is a recording of its own (a row a minute for each option near the money) with the
daily history that led to it, replayed by `system.py` with an empty book. The sessions of a scenario
differ by seed and by the level of volatility, and so by the phase that their history is in (calm,
chop and expiry days come out of a sideways market); implied volatility lies above realised, as the
market has it. So that the month ends within half an hour, a session is its first 75 minutes, and an
expiry day its last. Per scenario: what was signalled, refused (by code), traded and earned after
costs, the deepest fall, and which rule of `tomic.md` 16 was broken (bench/month_rules.py). Exit 1
when one was, or when a run did not end well.
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
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from adapters.sandbox.hours import shipped_calendars
from adapters.sandbox.instruments import listings_of
from adapters.sandbox.scenarios import SCENARIOS, Scenario
from bench.generated_session import make_session, phase_before
from bench.kit import machine, options, table, tell
from bench.month_rules import broken_rules, read_run
from domain.calendar import ExchangeCalendar
from domain.readings import Phase
from launch.build import free_port

ROOT = Path(__file__).resolve().parents[1]
UNDERLYING, SEGMENT = "NIFTY", "NFO"
FOLLOWED = "NSE_INDEX:NIFTY,NSE_INDEX:INDIAVIX"  # what is recorded
FIRST_DAY = date(2026, 8, 3)
ENDS_WITHIN_S = 1800
CODES_SHOWN, REASONS_SHOWN = 4, 5
MINUTES, SESSION_MINUTES = 75, 385
# Of implied and realised volatility alike: a premium of the one over the other stays what it is.
LEVELS = (1.0, 1.3, 0.85)
EXPIRY_DAY = "expiry"
MARKETS = {
    "calm": SCENARIOS["calm"],
    "chop": replace(SCENARIOS["chop"], volatility=0.10, swing=0.0008),
    "trend": replace(SCENARIOS["trend"], drift_a_day=0.004, volatility_index=15.0),
    "gap": SCENARIOS["gap"],
    "crash": SCENARIOS["crash"],
    "spike": SCENARIOS["spike"],
    EXPIRY_DAY: SCENARIOS["calm"],
}
# Their days before go sideways, as the name says; what comes suddenly comes in any phase.
SIDEWAYS = ("calm", "chop", EXPIRY_DAY)
SEEDS_TRIED_MAX, NEXT_SEED = 20, 1_000


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
    ended_badly: list[str] = field(default_factory=list)  # not drained, or without a report

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


def deal(days: list[date], names: list[str]) -> list[tuple[date, str, Scenario]]:
    """A scenario for each day, of one level of volatility after the other: expiry days are their
    own, where they are asked for, and the rest is dealt."""
    dealt: Counter[str] = Counter()
    others = [name for name in names if name != EXPIRY_DAY]
    month = []
    for day in days:
        is_expiry = expires(day) and EXPIRY_DAY in names
        if not (is_expiry or others):
            continue
        turn = dealt.total() - dealt[EXPIRY_DAY]
        name = EXPIRY_DAY if is_expiry else others[turn % len(others)]
        market, level = MARKETS[name], LEVELS[dealt[name] % len(LEVELS)]
        dealt[name] += 1
        at_level = replace(
            market,
            volatility=market.volatility * level,
            volatility_index=market.volatility_index * level,
        )
        month.append((day, name, at_level))
    return month


def seed_for(name: str, seed: int, scenario: Scenario, opens_ns: int) -> int:
    """That seed, or the first after it with which the history is as the scenario wants it."""
    for turn in range(SEEDS_TRIED_MAX if name in SIDEWAYS else 0):
        tried = seed + turn * NEXT_SEED
        if phase_before(tried, scenario, opens_ns) is Phase.CONGESTION:
            return tried
    return seed


def expires(day: date) -> bool:
    """True when options of the underlying end on that day."""
    return any(row.name == UNDERLYING and row.expiry == day for row in listings_of(day))


def replay(recording: Path, history: Path, folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The report of one run, None without one; and how it ended where that was not well."""
    environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
    environment["TOMIC_FEED_UNDERLYINGS"] = FOLLOWED
    command = [
        sys.executable, str(ROOT / "system.py"), "--topology", str(ROOT / "topology.yaml"),
        "--replay", str(recording), "--history", str(history), "--speed", "0",
        "--report", str(folder / "report.json"), "--data-dir", str(folder / "var"),
        "--env-file", str(folder / "env"), "--http-port", str(free_port()),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True,
            timeout=ENDS_WITHIN_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"did not end within {ENDS_WITHIN_S} s"
    file = folder / "report.json"
    how = f"ended with {done.returncode}: {done.stderr[-500:].strip()}" if done.returncode else ""
    return json.loads(file.read_text()) if file.exists() else None, how


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
    parser.add_argument("--scenario", nargs="+", default=list(MARKETS), choices=MARKETS)
    parser.add_argument("--minutes", type=one_or_more, default=MINUTES)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    calendar = shipped_calendars()[SEGMENT]
    tallies = {name: Tally() for name in arguments.scenario}
    days = trading_days(calendar, FIRST_DAY, arguments.sessions)
    for number, (day, name, scenario) in enumerate(deal(days, arguments.scenario)):
        session = calendar.session(day)
        assert session is not None
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            made = make_session(
                folder / "session", UNDERLYING, calendar=calendar, day=day,
                seed=seed_for(name, arguments.seed + number, scenario, session.opens_ns),
                scenario=scenario, minutes=arguments.minutes,
                first_minute=max(SESSION_MINUTES - arguments.minutes, 0) * (name == EXPIRY_DAY),
            )  # fmt: skip
            began = time.monotonic()
            report, how = replay(made.recording, made.history, folder)
            tallies[name].took_s.append(time.monotonic() - began)
            if how:
                tallies[name].ended_badly.append(f"{day} {how}")
            if report is None:
                continue
            (data_dir,) = (folder / "var" / "replay").iterdir()
            tallies[name].add(report, broken_rules(read_run(data_dir, session)))
        print(
            f"{day} {name}: {report['decisions']} decisions, {report['structures_opened']} opened, "
            f"{tallies[name].took_s[-1]:.0f} s",
            flush=True,
        )
    show(tallies, arguments.json)
    return 1 if any(tally.broken or tally.ended_badly for tally in tallies.values()) else 0


def show(tallies: dict[str, Tally], file: Path | None) -> None:
    """The table, each broken rule, and the same as JSON."""
    head = ("scenario", "sessions", "signals", "opened/closed", "rupees a trade", "drawdown",
            "rules broken", "seconds", "most refused")  # fmt: skip
    table("Paper month", [head, *(tally.row(name) for name, tally in tallies.items())])
    for name, tally in tallies.items():
        for sentence in (*tally.broken, *tally.ended_badly):
            print(f"  {name}: {sentence}")
        for sentence in tally.why_nothing():
            print(f"  {name}, no trade: {sentence}")
    rows = {
        name: {
            "sessions": tally.sessions, "signals": tally.signals, "opened": tally.opened,
            "closed": tally.closed, "refusals": dict(tally.codes),
            "net": [str(value) for value in tally.net], "broken": tally.broken,
            "ended_badly": tally.ended_badly, "took_s": tally.took_s,
            "why_nothing": tally.why_nothing(),
        }
        for name, tally in tallies.items()
    }  # fmt: skip
    tell(rows, machine("numpy", "thespian"), file)


if __name__ == "__main__":
    sys.exit(main())
