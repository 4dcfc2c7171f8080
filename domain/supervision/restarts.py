"""Restart strategies as a state machine: what happened goes in, what to do comes out. No processes.

one_for_one starts a dead child again; one_for_all stops the others first; rest_for_one stops those
that stand after it, and starts each child only when the one before is ready. Restarts count per
child, so that siblings killed together all come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from domain.supervision.topology import Node

NS_PER_S = 1_000_000_000
HEALTHY_AFTER_NS = 600 * NS_PER_S  # tomic.md 10.2: counters are reset after 10 min of health
BACKOFF_BASE_S = 0.1  # tomic.md 0.2: at once, then 0.1 s doubling
JITTER = 0.2  # part of a delay that is drawn, so that many failing children do not beat in time


@dataclass(frozen=True)
class Start:
    """Fork this child now. `reason` is empty for its first start."""

    name: str
    reason: str


@dataclass(frozen=True)
class Stop:
    """Let this child finish and end it; the next follows when it is gone."""

    name: str


@dataclass(frozen=True)
class GiveUp:
    """`name` needed more restarts than it may: end this supervisor, its own will decide."""

    name: str
    reason: str


@dataclass(frozen=True)
class Finished:
    """All children are stopped, as asked."""


Action = Start | Stop | GiveUp | Finished


class _Phase(Enum):
    DOWN = "down"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    DONE = "done"


_ALIVE = (_Phase.STARTING, _Phase.READY, _Phase.STOPPING)


@dataclass
class _Child:
    node: Node
    phase: _Phase = _Phase.DOWN
    due_ns: int = 0
    reason: str = ""
    ready_ns: int = 0
    failures: int = 0
    restarts_ns: list[int] = field(default_factory=list)


def backoff_s(failures: int, bounds_s: tuple[float, float], draw: float) -> float:
    """Delay before a restart: `bounds_s[0]` after the first failure, then 0.1 s (or that bound)
    doubling up
    to `bounds_s[1]`. `draw` in [0, 1) takes up to JITTER off.

    >>> [backoff_s(count, (0.0, 10.0), 0.0) for count in (1, 2, 3, 4)]
    [0.0, 0.1, 0.2, 0.4]
    """
    first_s, longest_s = bounds_s
    if failures <= 1:
        return first_s
    doubled_s = max(first_s, BACKOFF_BASE_S) * 2.0 ** min(failures - 2, 30)
    return float(min(longest_s, doubled_s) * (1.0 - JITTER * draw))


class Restarts:
    """One supervisor's children. Times are monotonic nanoseconds, given by the caller."""

    def __init__(self, strategy: str, nodes: Sequence[Node], draw: Callable[[], float]) -> None:
        self._strategy = strategy
        self._children = {node.name: _Child(node) for node in nodes}
        self._order = list(self._children)
        self._draw = draw
        self._stopping: set[str] = set()
        self._ending = False

    def begin(self, now_ns: int) -> list[Action]:
        """The first starts."""
        return self._advance(now_ns)

    def wake(self, now_ns: int) -> list[Action]:
        """Starts whose delay is over."""
        return self._advance(now_ns)

    def next_due_ns(self) -> int | None:
        """When `wake` has something to do; None when only an event can change anything."""
        if self._stopping or self._ending:
            return None
        waiting = []
        for child in self._children.values():
            if child.phase is _Phase.DOWN:
                waiting.append(child.due_ns)
            if self._strategy == "rest_for_one" and child.phase not in (_Phase.READY, _Phase.DONE):
                break  # who stands behind it waits for it, however long its own delay is over
        return min(waiting, default=None)

    def ready(self, name: str, now_ns: int) -> list[Action]:
        """A started child answers now."""
        child = self._children[name]
        if child.phase is _Phase.STARTING:
            child.phase, child.ready_ns = _Phase.READY, now_ns
        return self._advance(now_ns)

    def gone(self, name: str, now_ns: int, *, clean: bool, reason: str) -> list[Action]:
        """A child's process ended, asked or not; `clean` when it meant to."""
        child = self._children[name]
        asked = child.phase is _Phase.STOPPING or name in self._stopping or self._ending
        if asked:
            child.phase = _Phase.DOWN
        elif child.node.restart == "temporary" or (child.node.restart == "transient" and clean):
            child.phase = _Phase.DONE
        else:
            refused = self._count_failure(child, now_ns, reason)
            if refused:
                return [refused]
            self._restart_group(child, now_ns, reason)
        return self._advance(now_ns)

    def request(self, name: str, now_ns: int, reason: str) -> list[Action]:
        """Someone wants `name` stopped and started; this counts as no failure."""
        child = self._children[name]
        child.due_ns, child.reason = now_ns, reason
        if child.phase in _ALIVE:
            self._stopping.add(name)
            self._stop_others(child, reason)
        elif child.phase is _Phase.DONE:
            child.phase = _Phase.DOWN
        return self._advance(now_ns)

    def end(self, now_ns: int) -> list[Action]:
        """Stop everything, last child first."""
        self._ending = True
        self._stopping = set(self._order)
        return self._advance(now_ns)

    def _count_failure(self, child: _Child, now_ns: int, reason: str) -> GiveUp | None:
        if child.phase is _Phase.READY and now_ns - child.ready_ns >= HEALTHY_AFTER_NS:
            child.failures, child.restarts_ns = 0, []
        window_ns = round(child.node.window_s * NS_PER_S)
        child.restarts_ns = [at for at in child.restarts_ns if now_ns - at < window_ns] + [now_ns]
        child.failures += 1
        child.phase = _Phase.DOWN
        if len(child.restarts_ns) <= child.node.max_restarts:
            return None
        return GiveUp(
            child.node.name,
            f"{child.node.name} failed {len(child.restarts_ns)} times within "
            f"{child.node.window_s:g} s (max_restarts {child.node.max_restarts}); last: {reason}",
        )

    def _restart_group(self, child: _Child, now_ns: int, reason: str) -> None:
        delay_s = backoff_s(child.failures, child.node.backoff_s, self._draw())
        child.due_ns, child.reason = now_ns + round(delay_s * NS_PER_S), reason
        self._stop_others(child, f"{child.node.name}: {reason}")

    def _stop_others(self, child: _Child, reason: str) -> None:
        """Marks the siblings that cannot go on without `child`."""
        place = self._order.index(child.node.name)
        first = {"one_for_one": len(self._order), "one_for_all": 0, "rest_for_one": place + 1}
        for name in self._order[first[self._strategy] :]:
            other = self._children[name]
            if other is not child and other.phase in _ALIVE:
                other.due_ns, other.reason = child.due_ns, reason
                self._stopping.add(name)

    def _advance(self, now_ns: int) -> list[Action]:
        stops = self._next_stop()
        if stops is not None:
            return stops
        return self._next_starts(now_ns)

    def _next_stop(self) -> list[Action] | None:
        """One stop at a time, last first; None when none is left to wait for."""
        for name in reversed(self._order):
            child = self._children[name]
            if name not in self._stopping or child.phase not in _ALIVE:
                continue
            if child.phase is _Phase.STOPPING:
                return []
            child.phase = _Phase.STOPPING
            return [Stop(name)]
        self._stopping.clear()
        return [Finished()] if self._ending else None

    def _next_starts(self, now_ns: int) -> list[Action]:
        actions: list[Action] = []
        for name in self._order:
            child = self._children[name]
            if child.phase is _Phase.DOWN and child.due_ns <= now_ns:
                child.phase = _Phase.STARTING
                actions.append(Start(name, child.reason))
            if self._strategy == "rest_for_one" and child.phase not in (_Phase.READY, _Phase.DONE):
                break
        return actions
