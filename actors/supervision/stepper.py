"""stepper: moves the recorded clock of a replay, round by round; see docs/architecture.md.

Hears RoundWanted and RoundDone from hosts; tells them Round, and the launcher when the recording
has ended, or stands still. It asks the market for its next row only when every actor has finished
what the last one caused.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.actor import Actor
from actors.hosting import board as states
from actors.hosting.wire import Address, Round, RoundDone, RoundWanted
from adapters.catalogue import open_replay_market
from adapters.ports import ReplayMarket
from domain.clock import NS_PER_S, seconds

ASK_AGAIN_S = 0.05  # while the exchange is not up yet
LOOK_S = 0.5  # for hosts that died in a round
STALLED_S = 120.0  # beyond what a start may take (60 s) with its next life; a round takes far less
NAMES_SHOWN_MAX = 5
FIRST_LIFE = 1
STEPS_KEPT = 10_000


@dataclass
class Stepped:
    """What the stepper knows of one host."""

    life: int
    address: Address
    started: bool
    next_due_ns: int | None = None
    prefixes_seen: int = 0
    market_step: int = 0  # the last step that happened in its life


class Stepper(Actor):
    """The recorded clock."""

    STEPPED = False

    def start(self) -> None:
        shared = self.context.plumbing.shared
        self._shared = shared
        self._watchers = frozenset(
            name
            for name in shared.stepped
            if shared.classes[name].has_market_step is not Actor.has_market_step
        )
        self._hosts: dict[str, Stepped] = {}
        self._wanting: set[str] = set()
        self._owed: dict[str, int] = {}
        self._expected: dict[str, int] = {}
        self._prefixes: dict[str, tuple[str, ...]] = {}
        self._prefixes_version = 0
        self._running: set[str] = set()
        self._waiting: dict[str, list[str]] = {}
        self._number = 0
        self._now_ns = 0
        self._market: dict[str, Any] = {}
        self._begun = self._moving = self._ended = self._silent = self._in_last = False
        self._ends_ns: int | None = None  # known when the last row came
        self._steps = 0
        self._moved_ns = self.context.monotonic_ns()  # when a host or the market last came forward
        self._step_began_ns = 0
        self._step_ms: deque[float] = deque(maxlen=STEPS_KEPT)
        plan = self.context.runtime.replay
        self._speed = plan.speed if plan is not None else 0.0
        self._stands_ns = plan.interval_ns if plan is not None else 0
        self._port = self.open_market()
        self._ask_market(0)
        self.context.every(LOOK_S, self._look)

    def open_market(self) -> ReplayMarket:
        """The exchange's clock."""
        return open_replay_market(self.context.runtime.control_port)

    def on_frame(self, frame: Any, sender: Address) -> None:
        """From the hosts."""
        if isinstance(frame, RoundWanted):
            host = self._hosts.get(frame.name)
            if host is None or host.life != frame.life:
                self._hosts[frame.name] = Stepped(frame.life, sender, frame.started)
                if frame.life > FIRST_LIFE:  # what was told to the last one, that one took along
                    self._owed.pop(frame.name, None)
                self._leave_round(frame.name)
            self._wanting.add(frame.name)
        elif isinstance(frame, RoundDone):
            self._on_done(frame)
        self._go_on()

    # -- rounds --

    def _on_done(self, frame: RoundDone) -> None:
        host = self._hosts.get(frame.name)
        if host is None or host.life != frame.life or frame.name not in self._running:
            return
        self._moved_ns = self.context.monotonic_ns()
        host.started, host.next_due_ns = True, frame.next_due_ns
        for target, count in frame.sent.items():
            self._owed[target] = self._owed.get(target, 0) + count
        if self._prefixes.get(frame.name, ()) != frame.prefixes:
            self._prefixes = {**self._prefixes, frame.name: frame.prefixes}
            self._prefixes_version += 1
        self._leave_round(frame.name)

    def _leave_round(self, name: str) -> None:
        self._running.discard(name)
        group = self._waiting.get(self._lane(name), [])
        if name not in group:
            return
        was_its_turn = group[0] == name
        group.remove(name)
        if was_its_turn and group:
            self._send_round(group[0])

    def _lane(self, name: str) -> str:
        """Those who ask one broker's server take turns, so that its answers repeat too; who only
        hears its market need not."""
        if name in self._watchers:
            return name
        return self._shared.nodes[name].instance or name

    def _go_on(self) -> None:
        if not self._market or self._ended:
            return
        if not self._begun:
            fresh = {name for name, host in self._hosts.items() if not host.started}
            for name in sorted(fresh & self._wanting - self._running):
                self._begin_round([name])
            started = {name for name, host in self._hosts.items() if host.started}
            self._begun = started >= self._shared.stepped and not self._running
        if self._begun and not self._running and not self._moving:
            concerned = self._concerned()
            if concerned:
                self._number += 1
                self._begin_round(concerned)
            else:
                self._move_clock()

    def _concerned(self) -> list[str]:
        """Who has something to handle now, in order of name."""
        due = {
            name
            for name, host in self._hosts.items()
            if host.next_due_ns is not None and host.next_due_ns <= self._now_ns
        }
        owed = {name for name, count in self._owed.items() if count}
        return sorted((due | owed | self._wanting) & self._hosts.keys())

    def _begin_round(self, names: list[str]) -> None:
        """All at once, but those of one lane one after the other."""
        self._number = max(self._number, 1)
        self._running.update(names)
        # Counted now: what the first of a lane tells in this round is the next round's.
        self._expected |= {
            name: self._owed.pop(name, 0) if self._hosts[name].started else 0 for name in names
        }
        # First who has the whole market to read: all others have less to do than they.
        for name in sorted(names, key=lambda name: name not in self._watchers):
            group = self._waiting.setdefault(self._lane(name), [])
            group.append(name)
            if group[0] == name:
                self._send_round(name)

    def _send_round(self, name: str) -> None:
        host = self._hosts.get(name)
        if host is None:  # it died while it waited for its turn
            self._leave_round(name)
            return
        news = host.prefixes_seen != self._prefixes_version
        host.prefixes_seen = self._prefixes_version
        self._wanting.discard(name)
        self.context.plumbing.transport.send(
            host.address,
            Round(
                number=self._number,
                now_ns=self._now_ns,
                expected=self._expected.pop(name),
                market_step=host.market_step,
                prefixes=self._prefixes if news else None,
                last=self._in_last,
            ),
        )

    # -- the clock --

    def _move_clock(self) -> None:
        """All is quiet: on to the next appointment or row, whichever is first. The last row stands
        as long as every other: what it closes and what it causes belongs to the session."""
        self._measure()
        next_ns = self._market["next_ns"]
        if next_ns is None:
            next_ns = self._ends_ns = self._ends_ns or self._now_ns + self._stands_ns
            if self._now_ns >= next_ns:
                self._end()
                return
        due = [host.next_due_ns for host in self._hosts.values() if host.next_due_ns is not None]
        to_ns = min([next_ns, *due])
        self._moving = True
        wait_s = (to_ns - self._now_ns) / NS_PER_S / self._speed if self._speed else 0.0
        if wait_s > 0:
            self._moved_ns = self.context.monotonic_ns() + seconds(wait_s)
            self.context.after(wait_s, lambda: self._ask_market(to_ns))
        else:
            self._ask_market(to_ns)

    def _ask_market(self, to_ns: int) -> None:
        self._moving = True
        self.context.work(lambda: self._port.advance(to_ns), self._on_market)

    def _on_market(self, answer: Any) -> None:
        if isinstance(answer, Exception):
            if not self._silent:
                self.context.log.warning("the exchange does not answer yet: {}", answer)
            self._silent = True
            to_ns = self._now_ns
            self.context.after(ASK_AGAIN_S, lambda: self._ask_market(to_ns))
            return
        self._moved_ns = self.context.monotonic_ns()
        if self._market and answer["step"] != self._market["step"]:
            self._step_began_ns = self.context.monotonic_ns()
            for name in self._watchers & self._hosts.keys():
                self._hosts[name].market_step = int(answer["step"])
                self._wanting.add(name)
        self._market, self._moving, self._silent = answer, False, False
        self._now_ns = max(self._now_ns, int(answer["now_ns"]))
        self._go_on()

    def _measure(self) -> None:
        """How long the last step of the market kept the tree busy, in real time."""
        if self._step_began_ns:
            self._steps += 1
            took_ns = self.context.monotonic_ns() - self._step_began_ns
            self._step_ms.append(took_ns / 1e6)
            self._step_began_ns = 0

    def _report(self) -> None:
        p50, p99 = np.percentile(self._step_ms or [0.0], (50, 99))
        self.context.report(
            {
                "steps": self._steps,
                "rounds": self._number,
                "now_ns": self._now_ns,
                "step_ms_p50": round(float(p50), 2),
                "step_ms_p99": round(float(p99), 2),
            }
        )

    def _end(self) -> None:
        """All tell where they stand; then the replay is over."""
        if not self._in_last:
            self._in_last = True
            self._number += 1
            self._begin_round(sorted(self._hosts))
            return
        self._ended = True
        self._report()
        self.context.log.info("the recorded session has ended after {} rounds", self._number)
        self._shared.control.send(json.dumps({"say": "replay_ended"}).encode())

    def _look(self) -> None:
        """A host that died in its round does not hold up the others."""
        self._report()
        board = self._shared.board
        for name in list(self._running):
            gone = board.get(name, "state") in (states.STOPPED, states.GAVE_UP)
            if gone or board.get(name, "life") != self._hosts[name].life:
                self.context.log.warning("{} died in round {}", name, self._number)
                del self._hosts[name]
                self._wanting.discard(name)
                self._leave_round(name)
        self._go_on()
        if not self._ended and self.context.monotonic_ns() - self._moved_ns > seconds(STALLED_S):
            self._give_up()

    def _give_up(self) -> None:
        """Nothing moves any more: a replay that cannot end well ends, and says who is missing."""
        self._ended = True
        begun = {name for name, host in self._hosts.items() if host.started}
        missing = sorted(self._running or self._shared.stepped - begun) or ["the exchange"]
        more = len(missing) - NAMES_SHOWN_MAX
        names = ", ".join(missing[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
        reason = (
            f"the replay has stood still for {STALLED_S:.0f} s in round {self._number};"
            f" it waits for {names}"
        )
        self.context.log.critical("{}", reason)
        self._shared.control.send(json.dumps({"say": "gave_up", "reason": reason}).encode())
