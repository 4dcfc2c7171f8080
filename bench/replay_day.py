"""One trading day of 50 underlyings and 2,000 options, a row a minute, through the whole system.

    python bench/replay_day.py [--underlyings N] [--minutes M] [--repeat K] [--json FILE]

Writes the recordings (a file an underlying, 40 options each) with the daily history that led to
them, and replays the folder with `--speed 0`. Seconds from the start of `system.py` to its end,
processor seconds of the whole tree, ticks, bars and decisions. The goal is 60 s.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from adapters.sandbox.hours import shipped_calendars
from adapters.sandbox.recording import COLUMNS, TERMS
from bench.kit import machine, options, table, tell
from domain import black76
from domain.calendar import TradingSession
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, exchange_time
from launch.build import free_port

ROOT = Path(__file__).resolve().parents[1]
DAY = date(2026, 8, 19)
EXPIRIES = (date(2026, 8, 25), date(2026, 9, 29))
# Every fourth strike, so that ten of them tell the volatility index enough of a smile.
INDICES = {"NIFTY": (24_600.0, 200), "BANKNIFTY": (55_200.0, 500)}
SHARE_LEVEL, SHARE_STEP, SHARE_LOT = 1_500.0, 20, 500
STRIKES, HISTORY_DAYS = 10, 300  # strikes of each expiry
RATE, VOLATILITY, CALM = 0.06, 0.17, 0.10
NOT_DRAINED = 4  # its status when the stop took too long; the session and its report are whole
GOAL_S, ENDS_WITHIN_S = 60.0, 1_800


def make_day(folder: Path, underlyings: int, minutes: int) -> list[str]:
    """Writes the recordings and their history; names as the settings know them."""
    session = shipped_calendars()["NFO"].session(DAY)
    assert session is not None
    shares = {f"SHARE{n:02d}": (SHARE_LEVEL, SHARE_STEP) for n in range(1, underlyings - 1)}
    followed = []
    for number, (name, (level, step)) in enumerate((INDICES | shares).items()):
        dice = np.random.default_rng(number)
        steps = dice.normal(0, CALM / np.sqrt(252 * 375), minutes)
        spots = level * np.exp(np.cumsum(steps))
        lot = "" if name in INDICES else str(SHARE_LOT)
        _write_chain(folder / f"{name.lower()}-{DAY}.csv", spots, step, session, lot)
        _write_daily(folder / f"{name.lower()}-daily.csv", level, dice)
        followed.append(f"NSE_INDEX:{name}" if name in INDICES else f"NSE:{name}")
    _write_daily(folder / "india-vix-daily.csv", VOLATILITY * 100, np.random.default_rng(99))
    return [*followed, "NSE_INDEX:INDIAVIX"]


def _write_chain(
    path: Path, spots: np.ndarray, step: int, session: TradingSession, lot: str
) -> None:
    middle = round(spots[0] / step)
    strikes = np.repeat(np.arange(middle - STRIKES // 2, middle + STRIKES // 2) * step, 2)
    is_call = np.tile([True, False], STRIKES)
    kinds = ["CE", "PE"] * STRIKES
    terms = (path.name.split("-")[0].upper(), lot) if lot else ()
    with path.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow((*COLUMNS, *(TERMS if lot else ())))
        for minute, spot in enumerate(spots.tolist()):
            at = exchange_time(session.opens_ns + minute * NS_PER_MINUTE)
            for expiry in EXPIRIES:
                ends = datetime.combine(expiry, time(15, 30), EXCHANGE_ZONE)
                years = (ends - at) / timedelta(days=365)
                forward = black76.forward_of(spot, years, rate=RATE)
                fair = black76.price(
                    forward, strikes, years, volatility=VOLATILITY, rate=RATE, is_call=is_call
                )
                prices = np.maximum(np.round(fair / 0.05) * 0.05, 0.05)
                for strike, kind, ltp in zip(strikes.tolist(), kinds, prices.tolist(), strict=True):
                    writer.writerow((
                        at.isoformat(), expiry, strike, kind, f"{spot:.2f}", f"{ltp:.2f}",
                        1_000 + 10 * minute, 5_000, 0, *terms,
                    ))  # fmt: skip


def _write_daily(path: Path, level: float, dice: np.random.Generator) -> None:
    closes = level * np.exp(np.cumsum(dice.normal(0, CALM / np.sqrt(252), HISTORY_DAYS))[::-1])
    calendar, day = shipped_calendars()["NFO"], DAY
    with path.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["date", "open", "high", "low", "close", "volume"])
        rows = []
        for close in closes.tolist():
            day -= timedelta(days=1)
            while calendar.session(day) is None:
                day -= timedelta(days=1)
            high, low = close * 1.004, close * 0.996
            rows.append([day, *(f"{v:.2f}" for v in (close, high, low, close)), 2_000_000])
        writer.writerows(reversed(rows))


def replay(folder: Path, followed: list[str], run: Path) -> dict[str, Any]:
    """The report of one replay, with its seconds."""
    environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
    environment["TOMIC_FEED_UNDERLYINGS"] = ",".join(followed)
    command = [
        sys.executable, str(ROOT / "system.py"), "--topology", str(ROOT / "topology.yaml"),
        "--replay", str(folder), "--history", str(folder), "--speed", "0",
        "--report", str(run / "report.json"), "--data-dir", str(run / "var"),
        "--env-file", str(run / "env"), "--http-port", str(free_port()),
    ]  # fmt: skip
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), monotonic()
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=ENDS_WITHIN_S
    )
    took_s = monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, NOT_DRAINED):
        raise SystemExit(f"the replay ended with {done.returncode}:\n{done.stdout[-2000:]}")
    if done.returncode:
        print(f"  the tree took longer than it may to stop, at a load of {os.getloadavg()[0]:.0f}")
    report: dict[str, Any] = json.loads((run / "report.json").read_text())
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return report | {"seconds": took_s, "processor_s": spent_s}


def main() -> None:
    """Generates, replays, prints."""
    parser = options(__doc__)
    parser.add_argument("--underlyings", type=int, default=50)
    parser.add_argument("--minutes", type=int, default=375)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    rows = [("underlyings", "minutes", "seconds", "goal", "processor s", "ticks", "bars",
             "decisions", "step p50 ms", "step p99 ms")]  # fmt: skip
    figures = []
    for _ in range(given.repeat):
        with tempfile.TemporaryDirectory() as path:
            folder, run = Path(path) / "day", Path(path) / "run"
            folder.mkdir()
            run.mkdir()
            followed = make_day(folder, given.underlyings, given.minutes)
            report = replay(folder, followed, run)
        latency = report["latency"]
        rows.append((
            str(given.underlyings), str(given.minutes), f"{report['seconds']:.1f}", f"{GOAL_S:g}",
            f"{report['processor_s']:.1f}", str(report["ticks"]), str(report["bars"]),
            str(report["decisions"]), str(latency["step_ms_p50"]), str(latency["step_ms_p99"]),
        ))  # fmt: skip
        names = ("seconds", "processor_s", "ticks", "bars", "decisions", "decisions_sha256")
        figures.append({name: report[name] for name in names} | latency)
    table("a day replayed, whole tree", rows)
    tell({"runs": figures}, machine("numpy", "thespian"), given.json)


if __name__ == "__main__":
    main()
