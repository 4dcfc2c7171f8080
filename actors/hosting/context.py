"""HostContext: the actor's Context as it runs in its process; the contract is actors/actor.py's."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from actors.actor import Report
from actors.hosting.outbox import Letter
from actors.hosting.postman import Postman
from actors.hosting.shared import Plumbing, Shared
from actors.hosting.timers import HeapTimer, Timers
from actors.hosting.worker import Worker, outcome
from adapters.tick_bus import DRAIN_MAX, Batch, TickPublisher, TickSubscriber
from domain.clock import NS_PER_S, seconds
from domain.errors import MailboxFull
from domain.supervision.reporting import says_nothing_new
from messages.base import Message, Overflow
from messages.codec import encode
from messages.lifecycle import AlertRaised, DeadLetter, HealthReported

STATUS_BOARD = "status_board"
REPORT_EVERY_S = 1.0  # the contract: at most one report a second
SAME_REPORT_EVERY_NS = 5_000_000_000  # an unchanged report still tells that its actor lives
# In a replay the beats of an actor that has heard no fact and no batch for so long come more
# seldom, and those of all actors at once: a recording has a row a minute, and fifty idle seconds
# must not cost fifty rounds.
AWAKE_S, RESTING_S = 2.0, 12.0  # a beat at rest comes before any hearer takes it for lost (15 s)
JITTER = 0.1
LOST_TOLD_EVERY_NS = 60_000_000_000


class HostContext:
    """One life's world. `stepped` is its clock in a replay, None on a day."""

    def __init__(self, name: str, life: int, shared: Shared, postman: Postman, log: Any) -> None:
        node = shared.nodes[name]
        self.name, self.instance, self.life = name, node.instance, life
        self.runtime, self.log = shared.runtime, log
        self.plumbing: Plumbing
        self.timers = Timers()
        self.cause = ""
        self.runtime_ends = False
        self.round = 0
        self.clock_ns: int | None = None
        self.sent: dict[str, int] = {}
        self.last_error = ""
        self.soon: deque[tuple[str, Callable[[], None]]] = deque()
        self.watched: dict[int, Callable[[], None]] = {}
        self.prefixes: dict[str, tuple[str, ...]] = {}
        self.subscriptions: list[tuple[str, Callable[[Batch], None]]] = []
        self.subscriber: TickSubscriber | None = None
        self._lost_told = (0, 0)  # batches, and when it may be said again
        self.workers: dict[str, Worker] = {}
        self.hear: Callable[[Message, bool], None]
        self._shared, self._postman = shared, postman
        self._count = 0
        self._stepped = name in shared.stepped
        plan = shared.runtime.replay
        self._jitters_from_s = RESTING_S if plan and plan.is_of_real_time else math.inf
        self._beats = 0
        self._heard_ns = 0
        self._publisher: TickPublisher | None = None
        self._sequences: dict[str, int] = {}
        self._batches: list[tuple[str, dict[str, Any], list[np.ndarray]]] = []
        self._report: Report | None = None
        self._report_timer: HeapTimer | None = None
        self._reported: tuple[int, Mapping[str, Any]] = (0, {})

    # -- time --

    def now_ns(self) -> int:
        return time.time_ns() if self.clock_ns is None else self.clock_ns

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() if self.clock_ns is None else self.clock_ns

    def send_now(self) -> None:
        self._postman.pump()

    def after(self, delay_s: float, callback: Callable[[], None]) -> HeapTimer:
        return self.timers.once(self.monotonic_ns() + seconds(delay_s), callback)

    def every(self, period_s: float, callback: Callable[[], None]) -> HeapTimer:
        self._beats += 1
        # Of a launch and a timer of its own, so that the replay of a run has the run's own jitter.
        seed = f"{self.name}:{self.runtime.launch}.{self.life}:{self._beats}"
        chance = random.Random(seed)  # noqa: S311 - no secret

        def period() -> int:
            if self._stepped and period_s < self._jitters_from_s:
                if period_s < RESTING_S and self._is_resting():
                    return seconds(RESTING_S) - self.monotonic_ns() % seconds(RESTING_S)
                return seconds(period_s)
            return seconds(period_s * (1.0 + chance.uniform(-JITTER, JITTER)))

        return self.timers.again(self.monotonic_ns(), period, callback)

    def _is_resting(self) -> bool:
        return self.monotonic_ns() - self._heard_ns > seconds(AWAKE_S)

    def rouse(self) -> None:
        """The actor heard something: in a replay its beats go at their own pace again."""
        rested = self._stepped and self._is_resting()
        self._heard_ns = self.monotonic_ns()
        if rested:
            self.timers.hasten(self._heard_ns)

    # -- mail --

    def tell(self, target: str, message: Message) -> None:
        if target not in self._shared.nodes:
            self._bury(type(message).__name__, target, "no node has that name")
            return
        self._post(target, self._stamped(message), announced=False)

    def announce(self, message: Message) -> None:
        stamped = self._stamped(message)
        heard = self._shared.hearers.get(type(message).__name__, ())
        recorders = self._shared.hear_all if message.is_recorded() else ()
        data = encode(stamped)  # once, however many hear it
        for target in dict.fromkeys((*heard, *recorders)):
            if target == self.name:
                continue
            try:
                self._post(target, stamped, announced=True, data=data)
            except MailboxFull as full:  # one full mailbox must not keep a fact from all others
                self._bury(type(message).__name__, target, str(full))

    def remind(self, target: str, message: Message) -> None:
        if target in self._shared.hearers.get(type(message).__name__, ()):
            self._post(target, self._stamped(message), announced=True)

    def has_handled(self, target: str) -> bool:
        return self._postman.has_handled(target)

    def _stamped(self, message: Message) -> Message:
        self._count += 1
        mail_id = f"{self.name}:{self.runtime.launch}.{self.life}:{self._count}"
        return dataclasses.replace(message, id=mail_id, cause=self.cause, at_ns=self.now_ns())

    def _post(
        self, target: str, message: Message, *, announced: bool, data: bytes | None = None
    ) -> None:
        if target == self.name:
            self.soon.append((type(message).__name__, lambda: self.hear(message, announced)))
            return
        self._send(
            target,
            Letter(
                kind=type(message).__name__,
                data=data or encode(message),
                sent_ns=time.monotonic_ns(),
                subject=message.subject,
                newest_wins=message.OVERFLOW is Overflow.NEWEST_WINS,
                urgent=message.URGENT and not self._stepped,
                announced=announced,
            ),
        )

    def _send(self, target: str, letter: Letter) -> None:
        if self._stepped and target in self._shared.stepped:
            letter.round = self.round
            self._postman.post(target, letter)
            self.sent[target] = self.sent.get(target, 0) + 1
        else:
            self._postman.post(target, letter)

    def on_dead(self, target: str, letter: Letter) -> None:
        """A letter was given up at its target's death."""

        def told() -> None:
            self._bury(letter.kind, target, f"two lives of {target} ended with it in hand")

        if self._stepped:  # a fact is told in a round
            self.soon.append(("dead letter", told))
        else:
            told()

    def _bury(self, kind: str, target: str, why: str) -> None:
        """Nobody will handle that message: it is counted, told as a fact, and to people where
        orders are at stake. What cannot tell of another is only counted."""
        self._postman.dead_letters += 1
        self.last_error = f"{kind} for {target} is lost: {why}"
        self.log.error("dead letter: {}", self.last_error)
        if kind == DeadLetter.__name__:
            return
        self.announce(DeadLetter(kind=kind, target=target, why=why))
        if target in self._shared.order_path and kind != AlertRaised.__name__:
            self.alert("RISK", self.last_error, dedupe_key=f"lost:{kind}:{target}")

    # -- work and descriptors --

    def work(self, call: Callable[[], Any], done: Callable[[Any], None], *, lane: str = "") -> None:
        if self._stepped:
            self.soon.append(("work", lambda: done(outcome(call))))
            return
        if lane not in self.workers:
            self.workers[lane] = Worker(f"{self.name}-{lane}" if lane else self.name)
        self.workers[lane].submit(call, done)

    def lanes(self) -> dict[int, Worker]:
        """The worker of each lane that has one, by its descriptor."""
        return {worker.descriptor: worker for worker in self.workers.values()}

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        self.watched[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        self.watched.pop(descriptor, None)

    # -- the bus --

    def publish(self, topic: str, columns: np.ndarray, meta: Mapping[str, Any]) -> None:
        word = topic.partition(".")[0]
        if word not in self._shared.classes[self.name].PUBLISHES:
            raise ValueError(f"{self.name} does not name {word!r} in PUBLISHES")
        if self._stepped:
            self._keep_batch(topic, columns, meta)
            return
        self.open_bus()
        assert self._publisher is not None
        self._publisher.publish(topic, columns, meta, self.now_ns())

    def open_bus(self) -> None:
        """Binds this actor's endpoint, early, so that subscribers are connected before the first
        batch."""
        if self._publisher is None and self._shared.classes[self.name].PUBLISHES:
            self._publisher = TickPublisher(self.runtime.run_dir, self.name)

    def flush_batches(self) -> None:
        """In a replay a batch is a letter to each subscriber, counted and ordered as mail. What a
        round published on one topic is joined, for how the data came in pieces is chance."""
        for topic, meta, pieces in self._batches:
            sequence = self._sequences[topic] = self._sequences.get(topic, 0) + 1
            columns = np.concatenate(pieces)
            batch = Batch(topic, self.name, sequence, self.now_ns(), columns, meta)
            for target, prefixes in self.prefixes.items():
                if any(topic.startswith(prefix) for prefix in prefixes):
                    self._send(target, Letter("Batch", batch, time.monotonic_ns()))
        self._batches = []

    def _keep_batch(self, topic: str, columns: np.ndarray, meta: Mapping[str, Any]) -> None:
        for other, other_meta, pieces in self._batches:
            if other == topic and other_meta == meta:
                pieces.append(columns.copy())
                return
        self._batches.append((topic, dict(meta), [columns.copy()]))

    def subscribe(self, topic: str, handler: Callable[[Batch], None]) -> None:
        self.subscriptions.append((topic, handler))
        if self._stepped:
            return
        if self.subscriber is None:
            sources = self._shared.publishers("")
            self.subscriber = TickSubscriber(self.runtime.run_dir, sources)
        self.subscriber.subscribe(topic)

    def drain_bus(self) -> None:
        """Hands over all batches that have arrived; its descriptor is edge-triggered."""
        more = self.subscriber is not None
        while more and self.subscriber is not None:
            batches = self.subscriber.drain(now_ns=self.now_ns())
            for batch in batches:
                self.hand_over(batch)
            more = len(batches) >= DRAIN_MAX
        self._say_lost()

    def _say_lost(self) -> None:
        """What the bus dropped on its way here, or could not be read, is said at most once a
        minute."""
        if self.subscriber is None:
            return
        counters, (told, not_before_ns) = self.subscriber.counters, self._lost_told
        lost, now_ns = counters.missed + sum(counters.refused.values()), time.monotonic_ns()
        if lost > told and now_ns >= not_before_ns:
            self._lost_told = (lost, now_ns + LOST_TOLD_EVERY_NS)
            text = f"{self.name} did not get {lost - told} batches of market data, {lost} in all"
            self.alert("RISK", text, f"{self.name}:bus")

    def hand_over(self, batch: Batch) -> None:
        """Gives a batch to every handler that subscribed to it."""
        for prefix, handler in tuple(self.subscriptions):
            if batch.topic.startswith(prefix):
                handler(batch)

    # -- what people see --

    def report(self, body: Report) -> None:
        self._report = body

    def report_again(self) -> None:
        _, newest = self._reported
        self._reported = (0, {})
        if newest:
            self.report(self._report or newest)

    def report_is_due(self) -> bool:
        """Whether something is to be told to the status board now."""
        if self._report is None or self._report_timer is not None:
            return False
        if self.name == STATUS_BOARD or STATUS_BOARD not in self._shared.nodes:
            return False
        # In a replay it waits: a timer would be an appointment of the recorded clock.
        sent_ns, _ = self._reported
        return not self._stepped or time.monotonic_ns() - sent_ns >= seconds(REPORT_EVERY_S)

    def send_report(self) -> None:
        """Tells the newest report, if it says anything new."""
        (sent_ns, before), now_ns = self._reported, time.monotonic_ns()
        report, self._report = self._report, None
        if report is None:
            return
        body = dict(report() if callable(report) else report)
        later_ns = now_ns - sent_ns
        if later_ns < SAME_REPORT_EVERY_NS and says_nothing_new(body, before, later_ns / NS_PER_S):
            return
        self._reported = (now_ns, body)
        bus = self.subscriber.figures() if self.subscriber else {}
        with contextlib.suppress(MailboxFull):  # its next report says what this one would have
            self.tell(STATUS_BOARD, HealthReported(name=self.name, body=body, bus=bus))
        if not self._stepped:
            self._report_timer = self.after(REPORT_EVERY_S, self._may_report_again)

    def _may_report_again(self) -> None:
        self._report_timer = None

    def report_now(self) -> None:
        """The newest report goes out, however soon after the one before."""
        self._reported = (0, self._reported[1])
        if self.report_is_due():
            self.send_report()

    def alert(self, level: str, text: str, dedupe_key: str = "") -> None:
        self.log.warning("{}: {}", level, text)
        self.announce(AlertRaised(level=level, text=text, dedupe_key=dedupe_key))
