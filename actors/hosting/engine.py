"""Engine: what happens in a host between a frame and the next. Knows actors and frames, not
Thespian.

Everything runs through `handle`, one thing at a time: it keeps the figures on the board, hands the
mail over at the end, and lets an exception out, which ends the process (the host reports it).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from actors.actor import Actor, handler_name
from actors.hosting import board as states
from actors.hosting import process
from actors.hosting.board import Memory
from actors.hosting.context import HostContext
from actors.hosting.nursery import Forked, Nursery
from actors.hosting.postman import Postman
from actors.hosting.rootline import RootLine
from actors.hosting.shared import Plumbing, Shared
from actors.hosting.stepping import Stepping
from actors.hosting.timers import HeapTimer, Timers
from actors.hosting.wire import (
    Acknowledged,
    Address,
    Configure,
    DirectoryAt,
    Drain,
    Known,
    Mail,
    Posted,
    Ready,
    Register,
    Round,
    Transport,
)
from adapters.tick_bus import Batch
from domain.clock import seconds
from messages.base import Message, Overflow
from messages.codec import decode
from messages.lifecycle import TreeReported

ASK_AGAIN_S = 0.02  # how often a draining actor is asked whether it is done
TREE_LOOK_S = 1.0
TREE_EVERY_NS = 2_000_000_000


class Engine:
    """One host: configured by its first frame, then an actor until the process ends."""

    def __init__(
        self,
        shared: Shared,
        transport: Transport,
        open_log: Callable[[str], Any],
        fork: Callable[[Configure], tuple[Address, Forked]],
    ) -> None:
        self.shared, self.transport = shared, transport
        self.configured = False
        self.actor: Actor | None = None
        self.postman: Postman
        self.context: HostContext
        self._open_log, self._fork = open_log, fork
        self._timers = Timers()
        self._parent: Address | None = None
        self._directory: DirectoryAt | None = None
        self._drain: Drain | None = None
        self._ask_again: HeapTimer | None = None
        self._busy_ns = self._handled = self._high = 0
        self._beat_ns = time.monotonic_ns()
        self._memory = Memory()

    # -- called by the host --

    def receive(self, frame: Any, sender: Address) -> None:
        """One frame."""
        if not self.configured:
            if isinstance(frame, Configure):
                self._configure(frame, sender)
            elif isinstance(frame, DirectoryAt):
                self._directory = frame
            return  # anything else was meant for an earlier owner of this port
        self._frames.get(type(frame), self._on_other)(frame, sender)
        self._settle()

    def woken(self) -> None:
        """A timer may be due."""
        now_ns = time.monotonic_ns()
        while callback := self._timers.take_due(now_ns):
            callback()
        if self.stepping is None:
            while callback := self.context.timers.take_due(now_ns):
                self.handle("timer", callback)
                self._show_life()
        self._settle()

    def readable(self, descriptors: list[int]) -> None:
        """Watched descriptors have something."""
        for descriptor in descriptors:
            if descriptor in self.nursery.descriptors():
                self.nursery.readable(descriptor)
                if self._drain is not None:
                    self._continue_drain()
            elif self.line is not None and descriptor in self.line.descriptors():
                self.line.readable(descriptor)
            elif descriptor in (lanes := self.context.lanes()):
                for done, result in lanes[descriptor].collect():
                    self.handle("work", lambda done=done, result=result: done(result))
            elif descriptor in self.context.watched:
                if self.stepping is not None:
                    self.stepping.data_waits(descriptor)
                else:
                    self.handle("descriptor", self.context.watched[descriptor])
        self._settle()

    def descriptors(self) -> list[int]:
        """All that the loop shall watch."""
        if not self.configured:
            return []
        context = self.context
        watched = self.nursery.descriptors()
        if self.stepping is None or self.stepping.takes_data:
            watched += list(context.watched)
        watched += context.lanes()
        if context.subscriber is not None:
            watched.append(context.subscriber.descriptor)
        return watched + (self.line.descriptors() if self.line is not None else [])

    @property
    def name(self) -> str:
        """Node name; "" before the first frame."""
        return self.context.name if self.configured else ""

    # -- life --

    def _configure(self, frame: Configure, sender: Address) -> None:
        shared, name = self.shared, frame.name
        if name != shared.root and os.getppid() != frame.parent_pid:
            os._exit(0)  # the parent died before it was asked to take this process along
        process.take_name(name)
        shared.board.put(name, pid=os.getpid(), beat_ns=time.monotonic_ns(), last_error="")
        self._parent = None if name == shared.root else sender
        self.transport.configured(name, frame.life)
        self.postman = Postman(
            name, frame.life, shared.board, self.transport, self._timers,
            nodes=shared.nodes, order_path=shared.order_path, is_stepped=name in shared.stepped,
        )  # fmt: skip
        self.context = HostContext(name, frame.life, shared, self.postman, self._open_log(name))
        self.context.hear = self._hear
        self.postman.on_dead = self.context.on_dead
        self.nursery = Nursery(shared.board, shared.runtime.run_dir, self.transport, self._fork)
        self.stepping = Stepping(self) if name in shared.stepped else None
        self.line = RootLine(shared, self.drain) if name == shared.root else None
        self.context.plumbing = Plumbing(
            shared=shared,
            transport=self.transport,
            nursery=self.nursery,
            parent=self._parent,
            directory=lambda: self._directory.address if self._directory else None,
            ready=self._ready,
            give_up=self._give_up,
            drain_asked=lambda: self._drain,
        )
        self.configured = True
        if frame.directory is not None and self._directory is None:
            self._directory = DirectoryAt(0, frame.directory)
        self._beat()
        if self.stepping is None:
            self.context.open_bus()
            self.start_actor()
        else:
            # its first round starts it, for the recorded clock comes with the round
            self._register()
        if name in shared.hearers.get(TreeReported.__name__, ()):
            self._tree_state: tuple[int, bytes] = (0, b"")
            self._show_tree()
        self._settle()

    def start_actor(self) -> None:
        """The actor reads back what must not be forgotten, and answers from then on."""
        kind = self.shared.classes[self.name]
        actor = self.actor = kind(self.context, self.shared.settings[self.name])
        self.handle("start", actor.start)
        if not getattr(kind, "TELLS_READY", False):
            self._ready()

    def wake_by(self, due_ns: int) -> HeapTimer:
        """Makes the loop turn at that time, whatever else happens, unless it is cancelled."""
        return self._timers.once(due_ns, lambda: None)

    def _ready(self) -> None:
        """The actor answers from now on: its supervisor and the directory are told."""
        self._register()
        if self._parent is not None:
            self.transport.send(self._parent, Ready(self.name, self.context.life))
        elif self.line is not None:
            self.shared.board.put(self.name, state=states.RUNNING)
            self.line.say("ready")

    def _register(self) -> None:
        if self._directory is not None:
            entry = Register(self.name, self.context.life, self.transport.my_address())
            self.transport.send(self._directory.address, entry)

    def _give_up(self, reason: str) -> None:
        if self.line is not None:
            self.line.say("gave_up", reason=reason)
        process.leave_last_words(self.shared.runtime.run_dir, self.name, reason)
        os._exit(process.GAVE_UP)

    def drain(self, frame: Drain) -> None:
        """Finish, then end."""
        if self._drain is None:
            self._drain = frame
            self.context.runtime_ends = frame.for_good
            self.postman.receipts.send()  # who ends before us would wait for them
            self._continue_drain()

    def _continue_drain(self) -> None:
        finished: list[bool] = []
        actor = self.actor
        if actor is None:  # a replay that stops before this host had its first round
            os._exit(0)
        self.handle("drain", lambda: finished.append(actor.drain()))
        waiting = self.postman.waiting_for_living(for_good=self.context.runtime_ends)
        if finished[0] and not waiting:
            self.handle("stop", actor.stop)
            if self.line is not None:
                self.line.say("drained")
            os._exit(0)
        if self._ask_again is not None:
            self._ask_again.cancel()
        again_ns = time.monotonic_ns() + seconds(ASK_AGAIN_S)
        self._ask_again = self._timers.once(again_ns, self._continue_drain)

    # -- frames --

    @cached_property
    def _frames(self) -> dict[type, Callable[[Any, Address], None]]:
        return {
            Mail: self._on_mail,
            Acknowledged: lambda frame, _: self.postman.acknowledged(frame),
            Known: self._on_known,
            DirectoryAt: self._on_directory,
            Drain: lambda frame, _: self.drain(frame),
            Round: lambda frame, sender: self.stepping and self.stepping.on_round(frame, sender),
        }

    def _on_mail(self, mail: Mail, sender: Address) -> None:
        if mail.handled:
            self.postman.acknowledged(Acknowledged(mail.sender, mail.sender_life, mail.handled))
        letters = self.postman.accept(mail)
        if self.stepping is not None:
            for letter in letters:
                self.stepping.keep(mail.sender, letter)
        else:
            for letter in letters:
                self.handle_letter(mail.sender, letter)
                self._show_life()
        at_once = self.stepping is not None or self._drain is not None
        self.postman.receipts.owe(mail, sender, at_once=at_once)

    def _on_known(self, frame: Known, _sender: Address) -> None:
        self.postman.learn(frame)
        if self.stepping is not None:
            self.stepping.learn(frame)

    def _on_directory(self, frame: DirectoryAt, sender: Address) -> None:
        if self._directory is None or frame.life > self._directory.life:
            self._directory = frame
            self._register()
            self._on_other(frame, sender)

    def _on_other(self, frame: Any, sender: Address) -> None:
        on_frame = getattr(self.actor, "on_frame", None)
        if on_frame is not None:
            self.handle(type(frame).__name__, lambda: on_frame(frame, sender))

    # -- handling --

    def handle_letter(self, sender: str, letter: Posted) -> None:
        """Gives one letter to the actor. If the handler raises, the letter is spent: it never comes
        again."""
        self.postman.begin(sender, letter.count)
        try:
            if isinstance(letter.data, Batch):
                self.context.rouse()
                self.handle(letter.data.topic, lambda: self.context.hand_over(letter.data))
            else:
                message = decode(letter.data)
                kind = type(message).__name__
                self.handle(kind, lambda: self._hear(message, letter.announced))
        finally:
            self.postman.end(sender, letter.count)
        self._handled += 1

    def _hear(self, message: Message, announced: bool) -> None:
        actor, kind = self.actor, type(message)
        handler = getattr(actor, handler_name(kind), None)
        if announced and type(actor).HEARS_ALL:
            handler = actor.on_message  # type: ignore[union-attr]
        if handler is None:
            self.context.log.error("{} has no handler for {}", self.name, kind.__name__)
            return
        self.context.cause = message.id
        if message.OVERFLOW is Overflow.REFUSE:  # a reading that comes again is no event
            self.context.rouse()
        handler(message)

    def handle(self, label: str, call: Callable[[], Any]) -> None:
        """Runs one thing of the actor, then what it put off until it was done."""
        self._run(label, call)
        while self.context.soon:
            self._run(*self.context.soon.popleft())

    def _run(self, label: str, call: Callable[[], Any]) -> None:
        began_ns = time.monotonic_ns()
        self.shared.board.put(self.name, handling=label[:48], handling_since_ns=began_ns)
        if self.stepping is not None:  # a round may be ten calls; the stepper ends one without end
            self._show_life()
        try:
            call()
        except Exception as failure:
            failure.add_note(f"while handling {label}")
            raise
        finally:
            self.context.cause = ""
            self.shared.board.put(self.name, handling_since_ns=0)
        took_ns = time.monotonic_ns() - began_ns
        self._busy_ns += took_ns
        limit_s = self.shared.nodes[self.name].max_handler_s
        if took_ns > seconds(limit_s) and label != "start":
            text = f"{self.name} took {took_ns / 1e9:.1f} s over {label}; {limit_s:g} s are allowed"
            self.context.last_error = text
            if self.stepping is not None:
                self.context.log.warning(text)  # an alert would be a fact, and no two runs alike
                return
            self.context.alert("RISK", text, dedupe_key=f"slow:{self.name}")

    def _settle(self) -> None:
        """The end of every event: batches, mail out."""
        if self.context.subscriber is not None:
            self.handle("batch", self.context.drain_bus)
        if self.stepping is not None:
            self.stepping.advance()
        self.postman.pump()
        if self.context.report_is_due():  # nobody's order waits for what the pages show
            self.handle("report", self.context.send_report)
            self.postman.pump()
        self._high = max(self._high, self.shared.board.mailbox(self.name))

    def next_due_ns(self) -> int | None:
        """When the next timer is due (monotonic); None when there is none."""
        timers = (self._timers, self.context.timers) if self.stepping is None else (self._timers,)
        return min((at for one in timers if (at := one.next_due_ns()) is not None), default=None)

    def is_due(self) -> bool:
        """A timer waits for `woken`."""
        due_ns = self.next_due_ns()
        return due_ns is not None and time.monotonic_ns() >= due_ns

    # -- figures --

    def _beat(self) -> None:
        """The heartbeat: proof that this loop turns, and the figures that go with it."""
        now_ns, node = time.monotonic_ns(), self.shared.nodes[self.name]
        window_ns = max(1, now_ns - self._beat_ns)
        self.shared.board.put(
            self.name,
            beat_ns=now_ns,
            handled=self._handled,
            busy_pct=min(100.0, 100.0 * self._busy_ns / window_ns),
            mailbox_high=self._high,
            rss_bytes=self._memory.resident_bytes(),
            refused=self.postman.inbox.refused,
            dead_letters=self.postman.dead_letters,
        )
        if self.context.last_error:
            self.shared.board.put(self.name, last_error=self.context.last_error)
        self._beat_ns, self._busy_ns = now_ns, 0
        self.postman.resend_overdue()
        self._timers.once(now_ns + seconds(node.heartbeat_s), self._beat)

    def _show_life(self) -> None:
        """Between two things that may each take long, and before the next heartbeat is due."""
        self.shared.board.put(self.name, beat_ns=time.monotonic_ns())

    def _show_tree(self) -> None:
        """For the status actor: the tree from the shared figures, though all others be dead."""
        now_ns, changes = time.monotonic_ns(), self.shared.board.changes()
        told_ns, before = self._tree_state
        if changes != before or now_ns - told_ns >= TREE_EVERY_NS:
            self._tree_state = (now_ns, changes)
            tree = TreeReported(tree=self.shared.board.view(now_ns), at_ns=self.context.now_ns())
            self.handle("TreeReported", lambda: self._hear(tree, False))
        self._timers.once(now_ns + seconds(TREE_LOOK_S), self._show_tree)
