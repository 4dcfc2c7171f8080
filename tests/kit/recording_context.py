"""RecordingContext: an actor's world in a test. Nothing runs by itself; the test moves the clock.

`told`, `announced`, `published`, `reports` and `alerts` keep what the actor did, in order. Timers
run inside `advance`; `work` runs in place unless `hold_work` is set, then `run_work()` runs what
waits.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from loguru import logger

from actors.actor import Actor, Report, handler_name
from adapters.tick_bus import Batch
from domain.clock import seconds
from domain.events import EventCalendar
from messages.base import Message
from messages.lifecycle import AlertRaised

START_NS = 1_795_149_900 * 1_000_000_000  # 2026-11-20 10:15 IST, a Friday in session


@dataclass
class RecordedTimer:
    """A timer of a test; `period_ns` 0 means once."""

    due_ns: int
    callback: Callable[[], None]
    period_ns: int = 0
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class RecordingContext:
    """Implements actors.actor.Context for one actor under test."""

    def __init__(
        self,
        name: str = "actor_under_test",
        runtime: Any = None,
        *,
        instance: str = "",
        life: int = 1,
        now_ns: int = START_NS,
    ) -> None:
        self.name, self.instance, self.life = name, instance, life
        self.runtime = runtime
        self.log = logger
        self.told: list[tuple[str, Message]] = []
        self.announced: list[Message] = []
        self.published: list[tuple[str, np.ndarray, Mapping[str, Any]]] = []
        self.reports: list[Mapping[str, Any]] = []
        self.alerts: list[AlertRaised] = []
        self.hold_work = False
        self.busy: set[str] = set()  # who has not handled what it was told
        self.hung_lanes: set[str] = set()
        self.runtime_ends = False
        self._now_ns, self._back_ns = now_ns, 0
        self._timers: list[tuple[int, int, RecordedTimer]] = []
        self._count = itertools.count(1)
        self._waiting: list[tuple[str, Callable[[], Any], Callable[[Any], None]]] = []
        self._subscriptions: list[tuple[str, Callable[[Batch], None]]] = []
        self._watched: dict[int, Callable[[], None]] = {}
        self._sequences: dict[str, int] = {}

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._now_ns + self._back_ns

    def tell(self, target: str, message: Message) -> None:
        self.told.append((target, self._stamp(message)))

    def announce(self, message: Message) -> None:
        self.announced.append(self._stamp(message))

    def remind(self, target: str, message: Message) -> None:
        self.tell(target, message)

    def has_handled(self, target: str) -> bool:
        return target not in self.busy

    def send_now(self) -> None:
        """A test collects when it likes."""

    def after(self, delay_s: float, callback: Callable[[], None]) -> RecordedTimer:
        return self._plan(RecordedTimer(self._now_ns + seconds(delay_s), callback))

    def every(self, period_s: float, callback: Callable[[], None]) -> RecordedTimer:
        period_ns = seconds(period_s)
        return self._plan(RecordedTimer(self._now_ns + period_ns, callback, period_ns))

    def work(self, call: Callable[[], Any], done: Callable[[Any], None], *, lane: str = "") -> None:
        self._waiting.append((lane, call, done))
        if not self.hold_work:
            self.run_work()

    def publish(self, topic: str, columns: np.ndarray, meta: Mapping[str, Any]) -> None:
        self.published.append((topic, columns, meta))

    def subscribe(self, topic: str, handler: Callable[[Batch], None]) -> None:
        self._subscriptions.append((topic, handler))

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._watched[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        self._watched.pop(descriptor, None)

    def report(self, body: Report) -> None:
        self.reports.append(body() if callable(body) else body)

    def report_again(self) -> None:
        self.reports.append(self.reports[-1])

    def alert(self, level: str, text: str, dedupe_key: str = "") -> None:
        self.alerts.append(AlertRaised(level=level, text=text, dedupe_key=dedupe_key))

    # -- what the test does --

    def advance(self, by_s: float) -> None:
        """Moves the clock, running each due timer at its own time."""
        end_ns = self._now_ns + seconds(by_s)
        while self._timers and self._timers[0][0] <= end_ns:
            due_ns, _, timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            self._now_ns = max(self._now_ns, due_ns)
            if timer.period_ns:
                timer.due_ns += timer.period_ns
                self._plan(timer)
            timer.callback()
        self._now_ns = end_ns

    def stall(self, by_s: float) -> None:
        """Moves the clock as if the process had been stopped: what was due comes once, late."""
        self._now_ns += seconds(by_s)
        due = sorted(row for row in self._timers if row[0] <= self._now_ns)
        self._timers = [row for row in self._timers if row[0] > self._now_ns]
        heapq.heapify(self._timers)
        for _, _, timer in due:
            if timer.cancelled:
                continue
            if timer.period_ns:
                timer.due_ns = self._now_ns + timer.period_ns
                self._plan(timer)
            timer.callback()

    def set_back(self, by_s: float) -> None:
        """Sets the wall clock back; timers are due by the monotonic one, which goes on."""
        self._now_ns -= seconds(by_s)
        self._back_ns += seconds(by_s)
        for _, _, timer in self._timers:
            timer.due_ns -= seconds(by_s)
        self._timers = [(due - seconds(by_s), n, timer) for due, n, timer in self._timers]

    def run_work(self) -> None:
        """Runs waiting work in order, as the worker threads would; lanes that hang wait."""
        while going := [row for row in self._waiting if row[0] not in self.hung_lanes]:
            self._waiting.remove(going[0])
            _, call, done = going[0]
            try:
                result = call()
            except Exception as failure:  # the contract: an exception arrives as the result
                result = failure
            done(result)

    def deliver(self, actor: Actor, message: Message) -> None:
        """Hands a message to the actor, stamped if it is not."""
        getattr(actor, handler_name(type(message)))(self._stamp(message))

    def feed(
        self, topic: str, columns: np.ndarray, *, source: str = "test", missed: int = 0, **meta: Any
    ) -> None:
        """Hands a batch to every handler subscribed to a prefix of `topic`."""
        self._sequences[topic] = self._sequences.get(topic, 0) + 1
        batch = Batch(topic, source, self._sequences[topic], self._now_ns, columns, meta, missed)
        for prefix, handler in list(self._subscriptions):
            if topic.startswith(prefix):
                handler(batch)

    def readable(self, descriptor: int) -> None:
        """Plays the loop: the descriptor is readable."""
        self._watched[descriptor]()

    def told_to(self, target: str, kind: type[Message] = Message) -> list[Any]:
        """Messages of a class told to one actor so far."""
        return [
            message for name, message in self.told if name == target and isinstance(message, kind)
        ]

    def heard(self, kind: type[Message]) -> list[Any]:
        """Messages of a class announced so far."""
        return [message for message in self.announced if isinstance(message, kind)]

    def clear(self) -> None:
        """Forgets what was recorded so far."""
        for kept in (self.told, self.announced, self.published, self.reports, self.alerts):
            kept.clear()

    def _plan(self, timer: RecordedTimer) -> RecordedTimer:
        heapq.heappush(self._timers, (timer.due_ns, next(self._count), timer))
        return timer

    def _stamp(self, message: Message) -> Message:
        if message.id:
            return message
        return replace(
            message, id=f"{self.name}:{self.life}:{next(self._count)}", at_ns=self._now_ns
        )


def make_runtime(data_dir: Path, **overrides: Any) -> Any:
    """A Runtime for one actor under test: its databases in `data_dir`, default settings, no keys; a
    broker's feed is where its orders go.
    """
    from domain.settings import Settings

    fields: dict[str, Any] = {
        "settings": Settings(),
        "tree": None,
        "brokers": (),
        "feed_sequence": ("alpha", "beta"),
        "calendars": {},
        "events": EventCalendar(),
        "data_dir": data_dir,
        "run_dir": data_dir,
        "database_url": f"sqlite:///{data_dir / 'tomic.db'}",
        "journal_url": f"sqlite:///{data_dir / 'journal.db'}",
        "market_url": f"sqlite:///{data_dir / 'market.db'}",
        "sandbox": True,
        "launch": 1,
        "control_port": 0,
        "replay": None,
        "keys": {},
    }
    runtime = SimpleNamespace(**(fields | overrides))
    runtime.is_on_paper = runtime.sandbox or runtime.settings.mode == "sandbox"
    runtime.installation = f"here:{runtime.data_dir}"
    runtime.feed = lambda name: runtime.broker(name)
    runtime.feed_key = runtime.reading_key = lambda name: runtime.keys.get(name, "")
    return runtime
