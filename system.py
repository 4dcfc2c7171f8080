"""system: the one place that joins the parts. Reads the command line, locks, starts the tree,
watches it.

Beside actors/host.py the only module that knows Thespian: it binds the runtime to loopback, signs
its mail, and starts admin, logger and root in that order.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import hmac
import os
import pickle
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from loguru import logger
from rich.console import Console
from rich.table import Column, Table

from actors.hosting import process
from actors.hosting.shared import Shared
from actors.hosting.wire import Configure
from domain.clock import exchange_time
from domain.errors import TomicError
from domain.setting_notes import setting_notes
from domain.setting_table import DATA_DIR
from domain.settings import read_settings
from domain.supervision.endpoints import read_endpoints
from domain.supervision.topology import Node, TopologyFaults
from launch import (
    calendar_week,
    check,
    configuration,
    drill,
    environment,
    processes,
    report,
    taped,
)
from launch.build import (
    ROOT,
    Built,
    build_runtime,
    data_folder,
    execution_broker_of,
    free_port,
    read_calendars,
    read_events,
)
from launch.command_line import parse
from launch.heap import fill_holes
from launch.immortal import import_needed_later, make_immortal
from launch.journal_check import verify_journal
from launch.launcher import Launcher, LaunchFailed, Tree
from launch.lock import AlreadyRunning, Lock, stop_running
from launch.share import shared_of
from launch.topology_file import load_topology
from persistence.warm_up import warm_up

EXIT_RUNNING, EXIT_BROKEN, EXIT_USAGE = 1, 1, 2
START_WITHIN_S = 10
NO_PRECEDENCE = (
    "orders wait for a processor like all else: the system grants no real-time scheduling"
    " (docs/runbook.md, Start)"
)
NOTICE = timedelta(days=14)  # so long before a calendar ends, a start says so
LOG_SILENT = {"version": 1, "disable_existing_loggers": False, "root": {"level": "CRITICAL"}}


class SignedPickle:
    """What Thespian pickles, behind an HMAC-SHA256: a stranger's bytes are never unpickled."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def dumps(self, value: Any) -> bytes:
        body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        return hmac.digest(self._key, body, hashlib.sha256) + body

    def loads(self, data: bytes) -> Any:
        signature, body = bytes(data[:32]), bytes(data[32:])
        if not hmac.compare_digest(signature, hmac.digest(self._key, body, hashlib.sha256)):
            raise ValueError("mail without our signature")
        return pickle.loads(body)  # noqa: S301 - signed by a process of this launch


def secure_transport(log_file: Path) -> None:
    """Before every start of the runtime: loopback only, mail signed with a key of this start."""
    os.environ.update(
        THESPLOG_FILE=str(log_file),
        THESPIAN_BASE_IPADDR="127.0.0.1",
        THESPIAN_MAX_PENDING_TRANSMITS="200",
        THESPIAN_TRANSMIT_TIMEOUT_PERIOD="0:15",
    )
    # Thespian reads the environment when it is imported, so nothing of it before: nor actors.host.
    from thespian.system.transport import TCPTransport as tcp
    from thespian.system.transport.IPBase import IPActorAddress
    from thespian.system.transport.streamBuffer import ackDataErrPacket, ackPacket, toSendBuffer

    IPActorAddress.bindArgs = property(lambda self: (("127.0.0.1", self.bindname[1]),))
    tcp.serializer = SignedPickle(secrets.token_bytes(32))
    # Both were pickled, unsigned, when the module was imported.
    tcp.ackMsg = toSendBuffer(ackPacket, tcp.serializer.dumps)
    tcp.ackDataErrMsg = toSendBuffer(ackDataErrPacket, tcp.serializer.dumps)


@contextlib.contextmanager
def _within(limit_s: int) -> Iterator[None]:
    """Thespian waits up to 50 s for an admin that is dead; we do not."""

    def over(_number: int, _frame: FrameType | None) -> None:
        raise LaunchFailed(f"the runtime did not start within {limit_s} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tie_admin(shared: Shared) -> None:
    """Before every start of the runtime: of a launcher that is killed nothing is left. A root that
    lives drains the tree first; with none, the admin's whole session ends."""
    from thespian.system.multiprocCommon import MultiProcAdmin
    from thespian.system.systemAdmin import ThespianAdmin

    def root_lives() -> bool:
        return process.child_lives(shared.board.get(shared.root, "pid"))

    def run(admin: MultiProcAdmin) -> Any:
        while os.getppid() == os.getsid(0):  # who forked it ends at once
            os.sched_yield()
        process.end_group_with(shared.launcher_pid, root_lives)
        return ThespianAdmin.run(admin)

    MultiProcAdmin.run = run


def start_tree(shared: Shared, lock: Lock) -> Tree:
    """Admin, logger and root; the root forks the rest. Raises LaunchFailed."""
    data_dir, root = shared.runtime.data_dir, shared.root
    secure_transport(data_dir / "log" / "thespian.log")
    tie_admin(shared)
    from thespian.actors import ActorSystem, ActorSystemException

    from actors.host import Host, share

    share(shared)
    port = free_port()
    with _within(START_WITHIN_S):
        try:
            system = ActorSystem(
                "multiprocTCPBase", {"Admin Port": port}, LOG_SILENT, transientUnique=True
            )
            admin = _only_child(os.getpid())
            lock.note_session(admin.session, port, shared.runtime.run_dir)
            logger_pid = _only_child(admin.pid).pid
            address = system.createActor(Host)
            life = shared.board.get(root, "life")
            system.tell(address, Configure(root, life, admin.pid, None))
            system._systemBase.transport.close()
        except (ActorSystemException, OSError) as failure:
            raise LaunchFailed(f"the runtime did not start: {failure}") from failure
        pids = {child.pid for child in processes.children(admin.pid)} - {logger_pid}
    if len(pids) != 1:
        raise LaunchFailed("the root ended at once")
    return Tree((admin.pid, logger_pid, pids.pop()), admin.session)


def _only_child(pid: int) -> processes.Process:
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        processes.reap_dead()
        found = processes.children(pid)
        if len(found) == 1:
            return found[0]
    raise LaunchFailed("the runtime's own processes did not stand")


def say(text: str) -> None:
    """One line for the terminal. A closed pipe ends the talking, not the trading."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def run(built: Built, lock: Lock) -> int:
    """The whole life of a system: start, watch, drain, tidy up, and after a replay its report."""
    runtime = built.runtime
    logger.remove()
    logger.add(
        runtime.data_dir / "log" / "launcher.log",
        rotation=5_000_000,
        retention=3,
        diagnose=False,
        filter=lambda record: "actor" not in record["extra"],
    )
    shared = shared_of(runtime)
    say(_picture(runtime.tree))
    say(f"http://127.0.0.1:{runtime.settings.http_port}")
    today = exchange_time(time.time_ns()).date()
    soon = today + NOTICE
    ending = calendar_week.warnings(runtime.calendars, soon)
    for note in (*built.notes, *ending, *calendar_week.events_unknown(runtime.events, soon)):
        say(f"note: {note}")
    if not runtime.replay and not process.may_go_first():
        say(f"note: {NO_PRECEDENCE}")
    if built.new_api_key:
        say(f"API key of this installation (kept in the .env file): {built.new_api_key}")
    warm_up(runtime.database_url, runtime.journal_url)
    secure_transport(runtime.data_dir / "log" / "thespian.log")
    from actors.host import lighten_runtime, make_log

    lighten_runtime()
    import_needed_later()
    make_log(runtime.keys)
    gc.collect()
    make_immortal()
    fill_holes()
    gc.freeze()
    seen: dict[str, Any] = {}
    launcher = Launcher(
        shared,
        lambda now: start_tree(now, lock),
        say,
        logger,
        before_report=lambda: seen.update(report.collect(runtime)),
    )
    code = launcher.run()
    if launcher.replay_ended:
        report.write(runtime, seen)
        if runtime.replay and runtime.replay.expect:
            is_same, lines = taped.expect(runtime)
            for line in lines:
                say(line)
            code = code if is_same else EXIT_BROKEN
    say("stopped")
    return code


def _picture(tree: Node) -> str:
    console = Console()
    with console.capture() as captured:
        console.print(check.picture(tree))
    return captured.get().rstrip()


def show_check(arguments: argparse.Namespace) -> int:
    """`--check`: the tree, if the file has no fault."""
    variables = environment.read_environment(Path(arguments.env_file))
    say(_picture(load_topology(Path(arguments.topology), variables).tree))
    return 0


def show_configuration(arguments: argparse.Namespace) -> int:
    """`--config`: every setting with its value, default and origin."""
    from_file = environment.read_env_file(Path(arguments.env_file))
    variables = {**from_file, **os.environ}
    table = Table(Column("key", no_wrap=True), "value", "default", "origin", "effect")
    for column in table.columns[1:]:
        column.overflow = "fold"  # nothing is cut off
    flags = {"TOMIC_HTTP_PORT": arguments.http_port, "TOMIC_DATA_DIR": arguments.data_dir}
    given = {key: str(value) for key, value in flags.items() if value}
    for row in configuration.rows(read_settings(variables), variables, from_file, given):
        table.add_row(*row)
    Console().print(table)
    for note in setting_notes(variables):
        say(f"note: {note}")
    return 0


def show_calendar(arguments: argparse.Namespace) -> int:
    """`--calendar`: the week ahead of each exchange."""
    first, calendars = calendar_week.first_day(arguments), read_calendars(ROOT / "calendars")
    variables = environment.read_environment(Path(arguments.env_file))
    folder = Path(arguments.data_dir or variables.get(DATA_DIR) or configuration.DEFAULT_FOLDER)
    events = read_events(ROOT / "calendars", folder)
    Console().print(calendar_week.week(calendars, events, first))
    for line in calendar_week.notes(calendars, events, first):
        say(line)
    return 0


def run_drill(arguments: argparse.Namespace) -> int:
    """`--drill`: the report card; exit 1 when an item failed or it was broken off."""
    variables = environment.read_environment(Path(arguments.env_file))
    settings, path = read_settings(variables), Path(arguments.topology)
    topology = load_topology(path, variables)
    places = read_endpoints(topology, settings, variables, execution_broker_of(topology))
    drill.check_sandbox(settings, (*places.brokers, *places.feeds))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends its system, as by Ctrl-C
    findings = drill.drill(path, load_topology(path, {}).brokers, say)
    Console().print(drill.card(findings))
    for row in findings:
        if row.note:
            say(f"{row.item}, {row.what}: {row.note}")
    whole = bool(findings) and all(row.passed for row in findings)
    return 0 if whole and findings[-1].what == drill.LAST_STEP else EXIT_BROKEN


def show_journal(arguments: argparse.Namespace) -> int:
    """`--verify-journal`: whether it is what was written."""
    whole, lines = verify_journal(arguments)
    for line in lines:
        say(line)
    return 0 if whole else EXIT_BROKEN


def start(arguments: argparse.Namespace, data_dir: Path) -> int:
    """Under the lock: sweep, join the parts, run."""
    with contextlib.closing(Lock(data_dir)) as lock:
        lock.sweep()
        run_dir = lock.make_run_dir()
        try:
            built = build_runtime(arguments, data_dir, run_dir)
            if not arguments.migrate:
                return run(built, lock)
            say(f"databases in {data_dir} are of this version")
            return 0
        finally:
            shutil.rmtree(run_dir, ignore_errors=True)


def main(words: list[str]) -> int:
    """Exit status: 0 done, 1 a system runs already, the journal is broken or a replay decided
    otherwise than expected, 2 bad input, 3 given up, 4 not drained."""
    arguments = parse(words)
    try:
        if arguments.check:
            return show_check(arguments)
        if arguments.config:
            return show_configuration(arguments)
        if arguments.drill:
            return run_drill(arguments)
        if arguments.calendar:
            return show_calendar(arguments)
        if arguments.verify_journal:
            return show_journal(arguments)
        data_dir = data_folder(arguments)
        if arguments.stop:
            say(stop_running(data_dir))
            return 0
        return start(arguments, data_dir)
    except AlreadyRunning as running:
        print(f"{running}; it is left alone (--stop stops it)", file=sys.stderr)
        return EXIT_RUNNING
    except TopologyFaults as faults:
        for line in check.fault_lines(Path(arguments.topology), faults):
            print(line, file=sys.stderr)
    except (TomicError, TimeoutError) as fault:
        print(fault, file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
