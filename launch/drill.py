"""`--drill`: the monthly drill (`tomic.md` 10.4): a system of its own on the sandbox is broken on
purpose, each answer is measured and held against its limit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from domain.brokers import BrokerEndpoint
from domain.errors import ConfigurationFault, TomicError
from domain.settings import Settings
from launch.drilled_system import DrilledSystem, NeverCame, drilled_system

START_S = 30.0  # three seconds on an idle machine
READY_TO_TRADE_S = 120.0
FAILOVER_S = 17.0  # 15 s of silence, and a look each second (`tomic.md` 11.2)
SWITCH_WAIT_S = 30.0  # `tomic.md` 9.4
STALE_S = 32.0  # entries are blocked after 30 s of silence, and a look
ANSWER_S = 5.0  # of the desk; and of an alert of the order path (`tomic.md` 10.5)
ORDER_ACTOR_BACK_S = 5.0  # `design.md` 4: inside the limit on a naked short
ACTOR_BACK_S = 60.0  # `tomic.md` 10.4
UNKNOWN_S = 45.0  # the grace of an unknown outcome is 30 s, its last poll at 15 s
DEAD_LETTER_S = 15.0  # five tries, a second apart, and the hop to each
STOP_S = 5.0
LATE_S = 5.0  # how much longer than its limit a step is watched, to say by how much it failed
SIGNAL_TRIES, BETWEEN_SIGNALS_S = 5, 6.5  # ten signals a minute are taken
ENTRY_S = SIGNAL_TRIES * BETWEEN_SIGNALS_S
LAST_STEP = "the journal is whole"
CONDOR = {
    "instrument": "NIFTY",
    "strategy_type": "IRON_CONDOR",
    "direction": "SELL",
    "dte": 30,
    "legs": [
        {"option_type": kind, "direction": side, **where}
        for kind in ("PE", "CE")
        for side, where in (("BUY", {"wing_points": 200}), ("SELL", {"delta_target": 0.25}))
    ],
}


@dataclass(frozen=True)
class Finding:
    """One line of the report card; times in seconds, `took_s` None when it never came."""

    item: str
    what: str
    limit_s: float
    took_s: float | None
    note: str = ""

    @property
    def passed(self) -> bool:
        """True when it came within its limit."""
        return self.took_s is not None and self.took_s <= self.limit_s


class Drill:
    """The steps, in order; a step that fails does not keep the next from running."""

    def __init__(self, system: DrilledSystem, say: Callable[[str], None]) -> None:
        self._system, self._say = system, say
        self.findings: list[Finding] = []

    def run(self) -> None:
        """All items. What does not start cannot be drilled."""
        if not self._step("start", "all nodes are ready", START_S, self._start):
            return
        self._step("start", "entries may be made", READY_TO_TRADE_S, self._until_tradable)
        for item in (self._kill_switch, self._risk_latch, self._actors, self._broker_down):
            item()
        for item in (self._feed_lost, self._feeds_silent, self._killed_in_entry, self._restart):
            item()

    def _step(self, item: str, what: str, limit_s: float, act: Callable[[float], float]) -> bool:
        """One measured answer; `act` gets the seconds for which it may be watched."""
        self._say(f"{item}: {what} (limit {limit_s:g} s)")
        took_s, note = None, ""
        try:
            took_s = act(limit_s + LATE_S)
        except NeverCame as failure:
            note = str(failure)
        except (OSError, TomicError, ValueError, KeyError) as failure:
            note = f"the system did not answer: {type(failure).__name__} {failure}"
        self.findings.append(Finding(item, what, limit_s, took_s, note))
        return self.findings[-1].passed

    # -- what the steps share --

    def _start(self, within_s: float) -> float:
        return self._system.start(within_s)

    def _until_tradable(self, within_s: float) -> float:
        def tradable() -> bool:
            part = self._system.part
            quoted = [age for name, age in part("freshness_keeper").items() if ":" in name]
            return (
                part("breaker_gate").get("mode") == "active"
                and part("feed_selector").get("state") == "live"
                and part("freshness_keeper").get("entry_gate") == ""
                and part("regime_agent").get("version", 0) > 0
                and len(quoted) > 1
                and min(quoted) >= 0
            )

        return self._system.wait(tradable, "gate, feed, prices and regime are good", within_s)

    def _alerted(self, words: str) -> Callable[[float], float]:
        def until(within_s: float) -> float:
            told = self._system.alerts
            return self._system.wait(
                lambda: any(words in line for line in told()), f"alert {words!r}", within_s
            )

        return until

    def _ordered(self, path: str, status: int) -> Callable[[float], float]:
        def act(_within_s: float) -> float:
            began = time.monotonic()
            got, answer = self._system.post(path, {"reason": "monthly drill"})
            if got != status:
                raise NeverCame(f"POST {path} was answered {got}: {answer.get('message')}")
            return time.monotonic() - began

        return act

    def _refused_entry(self, _within_s: float) -> float:
        began = time.monotonic()
        status, answer = self._system.post("signals", CONDOR)
        if status != 409:
            raise NeverCame(f"an entry was answered {status}: {answer.get('message')}")
        return time.monotonic() - began

    def _judged(self, wanted: Callable[[Mapping[str, object]], bool], what: str) -> str:
        """The correlation id of a posted entry on which risk said what is wanted."""
        seen = []
        for _ in range(SIGNAL_TRIES):
            status, answer = self._system.post("signals", CONDOR)
            if status != 202:
                raise NeverCame(f"an entry was answered {status}: {answer.get('message')}")
            found, path = {}, f"signals/{answer['correlation_id']}"

            def judged(path: str = path, found: dict[str, object] = found) -> bool:
                found.update(self._system.get(path)[1].get("evaluation") or {})
                return bool(found)

            self._system.wait(judged, "risk's word on an entry", ANSWER_S)
            if wanted(found):
                return str(answer["correlation_id"])
            seen.append(f"{found.get('result')}: {found.get('reason')}")
            threading.Event().wait(BETWEEN_SIGNALS_S)
        raise NeverCame(f"{what}; risk said: {'; '.join(dict.fromkeys(seen))}")

    def _killed(self, name: str, *, keeps_latch: bool = False) -> Callable[[float], float]:
        def act(within_s: float) -> float:
            gone = int(self._system.node(name)["pid"])
            self._system.kill(gone)

            def back() -> bool:
                node = self._system.node(name)
                runs = node.get("state") == "running" and node.get("pid") not in (0, None, gone)
                return runs and (not keeps_latch or self._is_latched())

            return self._system.wait(back, f"{name} runs in another process", within_s)

        return act

    def _is_latched(self) -> bool:
        return self._system.part("breaker_gate").get("killed") is True

    # -- the items --

    def _kill_switch(self) -> None:
        item = "kill switch"
        self._step(
            item, "pause is answered, the latch stands", ANSWER_S, self._ordered("pause", 200)
        )
        self._step(item, "an entry is refused", ANSWER_S, self._refused_entry)
        self._step(item, "a CRITICAL alert", ANSWER_S, self._alerted("CRITICAL: Trading stopped"))

    def _risk_latch(self) -> None:
        item = "risk latch"
        act = self._killed("breaker_gate", keeps_latch=True)
        self._step(item, "breaker_gate killed: back, still latched", ORDER_ACTOR_BACK_S, act)
        self._step(item, "an entry is still refused", ANSWER_S, self._refused_entry)
        self._step(item, "trading is resumed", ANSWER_S, self._resumed)
        self._step(item, "the clearing is told", ANSWER_S, self._alerted("kill latch is cleared"))

    def _resumed(self, within_s: float) -> float:
        """409 while the books are compared after a restart; then it goes."""
        return self._system.wait(
            lambda: self._system.post("resume")[0] == 200, "resume is answered 200", within_s
        )

    def _actors(self) -> None:
        broker = self._system.part("breaker_gate").get("broker")
        for name in ("execution_agent", f"executor.{broker}", "breaker.daily_max_loss"):
            act = self._killed(name)
            self._step("actor killed", f"{name} is back", ORDER_ACTOR_BACK_S, act)
        self._step("actor killed", "risk_agent is back", ACTOR_BACK_S, self._killed("risk_agent"))
        self._step("actor killed", "entries may be made", ACTOR_BACK_S, self._until_tradable)

    def _broker_down(self) -> None:
        item, broker = "broker down", str(self._system.part("breaker_gate").get("broker"))
        taken = ""

        def enter(_within_s: float) -> float:
            nonlocal taken
            began = time.monotonic()
            taken = self._judged(lambda word: word["result"] == "enqueued", "no entry was taken")
            return time.monotonic() - began

        def dead(within_s: float) -> float:
            if not taken:
                raise NeverCame("there was no entry to refuse")
            return self._system.wait(
                lambda: self._system.get(f"signals/{taken}")[1].get("state") == "DEAD_LETTER",
                "the entry is a dead letter", within_s,
            )  # fmt: skip

        with self._system.fault("http_429", instance=broker, endpoint="placeorder"):
            self._step(item, "an entry is on its way", ENTRY_S, enter)
            self._step(item, "tried again, then a dead letter", DEAD_LETTER_S, dead)
            self._step(item, "a CRITICAL alert", ANSWER_S, self._alerted("waits for a person"))

    def _feed_lost(self) -> None:
        item, first = "feed lost", str(self._system.part("feed_selector").get("canonical"))

        switched = 0.0

        def fallen_back(within_s: float) -> float:
            nonlocal switched
            took_s = self._system.wait(
                lambda: self._system.part("feed_selector")["canonical"] != first,
                f"another feed than {first} is canonical", within_s,
            )  # fmt: skip
            switched = time.monotonic()
            return took_s

        def waits(_within_s: float) -> float:
            words = "FEED_SWITCHING"
            self._judged(lambda word: words in str(word), f"no entry was refused with {words}")
            return time.monotonic() - switched

        def free_again(_within_s: float) -> float:
            threading.Event().wait(max(0.0, switched + SWITCH_WAIT_S - time.monotonic()))
            self._judged(
                lambda word: "FEED_SWITCHING" not in str(word), "entries are refused still"
            )
            return time.monotonic() - switched

        with self._system.fault("mute_feed", instance=first):
            self._step(item, "the fallback is canonical", FAILOVER_S, fallen_back)
            self._step(item, "a RISK alert", ANSWER_S, self._alerted("RISK: feed switched"))
            self._step(item, "an entry is refused for the switch", SWITCH_WAIT_S, waits)
            self._step(item, "an entry is weighed again", SWITCH_WAIT_S + LATE_S, free_again)

    def _feeds_silent(self) -> None:
        item, stale_after_s = "all feeds silent", Settings().feed_stale_alert_after_s

        def closed(within_s: float) -> float:
            return self._system.wait(
                lambda: bool(self._system.part("freshness_keeper").get("entry_gate")),
                "the entry gate is closed", within_s,
            )  # fmt: skip

        with self._system.fault("mute_feed"):
            began = time.monotonic()
            self._step(item, "entries are blocked as stale", STALE_S, closed)

            def told(within_s: float) -> float:
                self._alerted("RISK: no tick from")(within_s)
                return time.monotonic() - began

            self._step(item, "a RISK alert of stale data", stale_after_s + ANSWER_S, told)
        self._step(
            item, "ticks are told to be back", 2 * START_S, self._alerted("ticks come again")
        )

    def _killed_in_entry(self) -> None:
        item, broker = "killed in an entry", str(self._system.part("breaker_gate").get("broker"))

        def enter(_within_s: float) -> float:
            began = time.monotonic()
            self._judged(lambda word: word["result"] == "enqueued", "no entry was taken")
            return time.monotonic() - began

        def matched(within_s: float) -> float:
            unmatched: list[str] = []

            def agrees() -> bool:
                unmatched[:] = self._system.unmatched_orders(broker)
                return not unmatched

            try:
                return self._system.wait(agrees, "the books agree", within_s)
            except NeverCame as late:
                raise NeverCame(f"{late}; {'; '.join(unmatched)}") from None

        self._step(item, "entries may be made", READY_TO_TRADE_S, self._until_tradable)
        self._step(item, "an entry is on its way", ENTRY_S, enter)
        self._system.kill_whole()
        self._step(item, "all killed: all nodes are ready again", START_S, self._start)
        self._step(item, "no order is lost, none doubled", UNKNOWN_S, matched)

    def _restart(self) -> None:
        item = "restart"
        self._step(item, "pause is answered", ANSWER_S, self._ordered("pause", 200))
        self._system.kill_whole()
        self._step(item, "all killed: all nodes are ready again", START_S, self._start)

        def latched(within_s: float) -> float:
            return self._system.wait(self._is_latched, "the kill latch stands", within_s)

        self._step(item, "the latch outlived it", ANSWER_S, latched)
        self._step(item, "trading is resumed", ACTOR_BACK_S, self._resumed)
        self._step(item, "stopped, drained, exit 0", STOP_S, self._stopped)
        self._step(item, LAST_STEP, ACTOR_BACK_S, self._proven)

    def _stopped(self, _within_s: float) -> float:
        return self._system.stop()

    def _proven(self, _within_s: float) -> float:
        began = time.monotonic()
        self._system.verify_journal()
        return time.monotonic() - began


def check_sandbox(settings: Settings, brokers: tuple[BrokerEndpoint, ...]) -> None:
    """Raises ConfigurationFault, with its code, unless all is the sandbox's."""
    if settings.mode != "sandbox":
        raise ConfigurationFault(
            f"DRILL_NOT_SANDBOX: TOMIC_MODE is {settings.mode}; the drill breaks what it runs on, "
            f"so it runs in the mode sandbox only"
        )
    real = [row for row in brokers if not row.sandbox]
    if real:
        raise ConfigurationFault(
            f"DRILL_NOT_SANDBOX: {real[0].name} is at {real[0].rest_url}, not on our sandbox; "
            "run the drill with a topology and an environment that name no other server"
        )


def drill(
    topology: Path, brokers: tuple[BrokerEndpoint, ...], say: Callable[[str], None]
) -> list[Finding]:
    """Runs all; what was found. A person's Ctrl-C ends it with what there is."""
    with drilled_system(topology, brokers) as system:
        run = Drill(system, say)
        with _told_of_interrupt(say):
            run.run()
        return run.findings


@contextlib.contextmanager
def _told_of_interrupt(say: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("the drill was broken off; its system is being ended")


def card(findings: list[Finding]) -> Table:
    """The report card."""
    failed = sum(not row.passed for row in findings)
    verdict = f"{failed} of {len(findings)} FAILED" if failed else f"all {len(findings)} passed"
    table = Table(
        "item", "step", "limit s", "measured s", "verdict", title=f"Monthly drill: {verdict}"
    )
    for row in findings:
        took = f"{row.took_s:.2f}" if row.took_s is not None else "never"
        colour = "green" if row.passed else "bold red"
        word = f"[{colour}]{'passed' if row.passed else 'FAILED'}[/]"
        table.add_row(row.item, row.what, f"{row.limit_s:g}", took, word)
    return table
