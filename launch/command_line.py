"""The command line of system.py."""

from __future__ import annotations

import argparse


def parse(words: list[str]) -> argparse.Namespace:
    """The arguments, with their defaults; ends the process with 2 for words it does not know."""
    parser = argparse.ArgumentParser(
        prog="system.py", description="TOMIC: a crash-proof, multi-broker options trading runtime."
    )
    add = parser.add_argument
    task = parser.add_mutually_exclusive_group().add_argument  # one at a time
    add("--topology", nargs="?", const="topology.yaml", default="topology.yaml", metavar="FILE",
        help="the supervisor tree (default: topology.yaml)")  # fmt: skip
    task("--check", action="store_true", help="check the topology, print the tree, start nothing")
    task("--config", action="store_true", help="list every setting with its value and origin")
    task("--calendar", nargs="?", const="today", metavar="DAY",
        help="what each exchange trades in the week from DAY (YYYY-MM-DD) or today on")  # fmt: skip
    task("--stop", action="store_true", help="stop the running system as Ctrl-C does")
    task("--verify-journal", action="store_true",
        help="prove that the journal is what was written, start nothing")  # fmt: skip
    task("--drill", action="store_true",
        help="the monthly drill, on a sandbox of its own: break it, measure, report")  # fmt: skip
    task(
        "--migrate", action="store_true", help="bring the databases to this version, start nothing"
    )
    task("--replay", metavar="FILE",
        help="trade a recorded session (a file, or a folder with one an underlying) or a "
        "journaled day of ours; end with a report")  # fmt: skip
    add("--expect", action="store_true",
        help="with --replay of a journaled day: 0 only if it decides the same")  # fmt: skip
    add("--history", metavar="DIR", help="candles of the days before the recorded session")
    add("--speed", type=float, default=0.0, metavar="N",
        help="market seconds a second; 0 does not wait (default: 0)")  # fmt: skip
    add(
        "--report",
        metavar="FILE",
        help="where the report of a replay goes (default: standard output)",
    )
    add("--env-file", default=".env", metavar="FILE", help="settings (default: .env)")
    add("--http-port", type=int, metavar="PORT", help="port of the web interface")
    add("--data-dir", metavar="DIR", help="where state lives (default: var)")
    return parser.parse_args(words)
