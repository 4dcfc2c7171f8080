"""A replay's plan, and of a journaled run: what it needs before the start, and the comparison after
the end.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from actors.runtime import ReplayPlan, Runtime, fingerprint
from adapters.catalogue import holds_recordings, recorded_session
from domain.errors import BrokenTape, ConfigurationFault
from domain.journal.comparison import BEGUN, TAPED_KINDS, changed_keys, compare, told
from domain.settings import Settings
from domain.tape import TapedFact, TapedRun
from persistence.database import open_engine
from persistence.journal import JournalStore
from persistence.market import MarketStore
from persistence.tape import read_run, runs_of


def replay_plan(arguments: argparse.Namespace) -> ReplayPlan | None:
    """What `--replay` asks for; None without it. Raises ConfigurationFault."""
    if not arguments.replay:
        if arguments.expect:
            raise ConfigurationFault("--expect compares a --replay of a journaled day")
        return None
    path = Path(arguments.replay)
    history = Path(arguments.history) if arguments.history else None
    if history and not history.is_dir():
        raise ConfigurationFault(f"--history: {history} is no folder")
    if not 0 <= arguments.speed < float("inf"):
        raise ConfigurationFault(f"--speed {arguments.speed} must be 0 (no waiting) or more")
    report = Path(arguments.report) if arguments.report else None
    if report and not report.resolve().parent.is_dir():
        raise ConfigurationFault(f"--report: folder {report.resolve().parent} does not exist")
    if path.is_dir() and (runs_of(path) or not holds_recordings(path)):
        if history:
            raise ConfigurationFault("--history goes with a file; a journaled day has its own")
        folder, run = _run_in(path)
        last_ns = int(run.ticks["received_ns"].max(initial=run.begin_ns))
        stands_ns = max(run.end_ns - last_ns, 0)
        return ReplayPlan(
            folder, None, arguments.speed, report, stands_ns, taped=run, expect=arguments.expect
        )
    if not path.exists():
        raise ConfigurationFault(f"--replay: {path} is no file, and no journaled day")
    if arguments.expect:
        raise ConfigurationFault(
            f"--expect compares with what was decided then, and {path} holds prices alone; "
            f"a day under journal/ in the data folder holds both"
        )
    interval_ns, names = recorded_session(path)
    return ReplayPlan(path, history, arguments.speed, report, interval_ns, recorded=names)


def launch_of(plan: ReplayPlan | None) -> int:
    """The taped run's number, which its ids carry; 0 where none is replayed."""
    return int(plan.taped.head["launch"]) if plan and plan.taped else 0


def recorded_notes(plan: ReplayPlan | None, settings: Settings) -> tuple[str, ...]:
    """Which recorded underlyings the settings leave out: nobody looks at them."""
    followed = {name for _, name in settings.feed_underlyings}
    left = [name for name in (plan.recorded if plan else ()) if name not in followed]
    if not left:
        return ()
    return (f"recorded, and not among TOMIC_FEED_UNDERLYINGS: {', '.join(left)}",)


def taped_notes(runtime: Runtime) -> tuple[str, ...]:
    """Where the replay of a journaled run begins otherwise than the run did; hands it the
    volatilities of the days before."""
    plan = runtime.replay
    if plan is None or plan.taped is None:
        return ()
    run, engine = plan.taped, open_engine(runtime.market_url)
    for name, day, volatility in run.volatilities:
        MarketStore(engine).write_iv(name, day, volatility)
    engine.dispose()
    notes = [f"replays the run {run.name} of a {_kind(run)}"]
    others = [folder for folder in runs_of(plan.file.parent) if folder != plan.file]
    if others:
        names = ", ".join(str(folder) for folder in others)
        notes.append(f"the day has other runs, each replayed by its own folder: {names}")
    if run.head["continues"]:
        notes.append("the run began on the day before; what its agents knew by then is not known")
    if not run.ended:
        notes.append("the run was killed: its tape ends where the last record was written")
    notes += [
        f"the run began with {count} {what}, and a replay begins with none"
        for what, count in run.head["standing"].items()
        if count
    ]
    notes += [f"not on the tape: {text}" for text in run.lost]
    then, now = run.head["fingerprint"], fingerprint(runtime)
    return (*notes, *(f"decides otherwise: {text}" for text in changed_keys(then, now)))


def expect(runtime: Runtime) -> tuple[bool, list[str]]:
    """Whether the replay decided what its run did, and the lines that say so."""
    run = runtime.replay.taped if runtime.replay else None
    assert run is not None  # replay_plan made sure
    engine = open_engine(runtime.journal_url)
    exact = bool(run.head["stepped"])
    # While a tree comes up in real time its parts find each other in an order of chance.
    then = [fact for fact in run.facts if exact or fact.at_ns >= run.begin_ns]
    now = [
        TapedFact(fact.message_id, fact.cause, fact.kind, fact.at_ns, fact.body)
        for fact in JournalStore(engine).facts(kinds=TAPED_KINDS)
    ]
    engine.dispose()
    until_ns = 0 if run.ended else run.end_ns
    found = compare(then, now, exact=exact, until_ns=until_ns)
    rule = "exactly" if exact else "as a run in real time: ids, counts and small shifts left out"
    return not found.differences, [f"Compared with {run.name}, {rule}", *told(found)]


def _kind(run: TapedRun) -> str:
    return "replay" if run.head["stepped"] else "session in real time"


def _run_in(path: Path) -> tuple[Path, TapedRun]:
    """The newest run in a folder, proven whole."""
    folders = runs_of(path)
    if not folders:
        raise ConfigurationFault(f"--replay: {path} holds no journaled run, and no recording")
    try:
        run = read_run(folders[-1])
    except (BrokenTape, OSError) as fault:
        raise ConfigurationFault(
            f"--replay: the tape {folders[-1]} is broken at {fault}; to replay it proves nothing"
        ) from None
    if not run.listings:
        raise ConfigurationFault(
            f"--replay: the run {folders[-1]} ended before it knew what is listed"
        )
    return folders[-1], run if run.head["stepped"] else from_whole_tree(run)


def from_whole_tree(run: TapedRun) -> TapedRun:
    """A run in real time from when all of its tree ran; as it is when nothing tells when."""
    begun = (fact.at_ns for fact in run.facts if fact.kind == BEGUN)
    return dataclasses.replace(run, begin_ns=next(begun, run.begin_ns))
