"""supervisor: starts, watches and restarts its children, as domain/supervision/restarts.py says.

Hears RestartNode, and from its hosts Ready and where the directory lives; tells NodeRestarted and
BranchGaveUp to everyone. It holds no business state, thread, socket or database.
"""

from __future__ import annotations

import random
from typing import Any

from actors.actor import Actor
from actors.hosting import board as states
from actors.hosting.nursery import Child, Death
from actors.hosting.wire import Address, DirectoryAt, Ready
from domain.clock import NS_PER_S, seconds
from domain.supervision.answering import HELLO_S, Signs, answer_due
from domain.supervision.restarts import Action, Finished, GiveUp, Restarts, Start, Stop
from domain.supervision.stopping import branch_of, handles_orders, stop_within_s
from domain.supervision.topology import Node
from messages.lifecycle import BranchGaveUp, NodeRestarted, RestartNode

LOOK_AGAIN_MIN_S = 0.2


class Supervisor(Actor):
    """One branch. Ready when all its children are."""

    STEPPED = False
    TELLS_READY = True

    def start(self) -> None:
        plumbing = self.context.plumbing
        self._node: Node = plumbing.shared.nodes[self.context.name]
        self._board, self._nursery = plumbing.shared.board, plumbing.nursery
        self._nursery.on_death = self._on_death
        self._nodes = {child.name: child for child in self._node.children}
        self._restarts = Restarts(self._node.strategy, self._node.children, random.random)
        self._reasons: dict[str, str] = {}
        self._verdicts: dict[str, str] = {}
        self._known: frozenset[str] = frozenset()
        self._draining: set[str] = set()  # asked to finish what they had in hand
        self._is_ready = self._ending = self._finished = False
        self._directory: DirectoryAt | None = None
        for name in self._nodes:
            self._board.put(name, state=states.DOWN)
        self._obey(self._restarts.begin(self._now_ns()))
        self._look()

    def on_frame(self, frame: Any, sender: Address) -> None:
        """From a child's host, or the directory's new address from above or below."""
        if isinstance(frame, Ready):
            child = self._nursery.children.get(frame.name)
            if child is not None and child.life == frame.life:
                child.address = sender
                self._child_ready(frame)
        elif isinstance(frame, DirectoryAt):
            self._pass_on(frame)

    def on_restart_node(self, message: RestartNode) -> None:
        if message.name in self._nodes and not self._ending:
            reason = f"asked by {message.by}: {message.reason}"
            self._obey(self._restarts.request(message.name, self._now_ns(), reason))

    def drain(self) -> bool:
        """Stops all children, last first."""
        if not self._ending:
            self._ending = True
            self._obey(self._restarts.end(self._now_ns()))
        return self._finished

    # -- what happens to children --

    def _child_ready(self, frame: Ready) -> None:
        self._board.put(frame.name, state=states.RUNNING)
        known, self._known = frame.name in self._known, self._known | {frame.name}
        root = self.context.plumbing.shared.root
        # When the whole tree is made again nobody is left who remembers the life before.
        if frame.life > 1 and (known or self._board.get(root, "state") == states.RUNNING):
            self.context.announce(
                NodeRestarted(
                    name=frame.name,
                    life=frame.life,
                    reason=self._reasons.get(frame.name, "its supervisor was restarted"),
                    handles_orders=handles_orders(self._nodes[frame.name]),
                )
            )
        self._obey(self._restarts.ready(frame.name, self._now_ns()))
        if not self._is_ready and all(
            self._board.get(name, "state") in (states.RUNNING, states.STOPPED)
            for name in self._nodes
        ):
            self._is_ready = True
            self.context.plumbing.ready()

    def _on_death(self, death: Death) -> None:
        reason = self._verdicts.pop(death.name, "") or death.reason
        undrained = death.name in self._draining and not death.clean
        self._draining.discard(death.name)
        stopped = self._ending or (death.clean and self._nodes[death.name].restart != "permanent")
        self._board.put(
            death.name,
            state=states.STOPPED if stopped else states.WAITING,
            reason=reason,
            undrained=undrained,
        )
        if not self._ending:
            self.context.log.warning("{} ended: {}", death.name, reason)
        if death.gave_up:
            self._board.put(death.name, state=states.GAVE_UP)
            self.context.announce(
                BranchGaveUp(
                    name=death.name,
                    reason=reason,
                    handles_orders=handles_orders(self._nodes[death.name]),
                )
            )
        self._obey(
            self._restarts.gone(death.name, self._now_ns(), clean=death.clean, reason=reason)
        )

    def _pass_on(self, frame: DirectoryAt) -> None:
        if self._directory is not None and frame.life <= self._directory.life:
            return
        self._directory = frame
        transport = self.context.plumbing.transport
        if self.context.plumbing.parent is not None:
            transport.send(self.context.plumbing.parent, frame)
        for child in self._nursery.children.values():
            transport.send(child.address, frame)

    # -- what the strategy says --

    def _obey(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                self._start(action)
            elif isinstance(action, Stop):
                self._stop(action.name)
            elif isinstance(action, GiveUp):
                self.context.log.critical("{} gives up: {}", self.context.name, action.reason)
                self.context.plumbing.give_up(action.reason)
            elif isinstance(action, Finished):
                self._finished = True
        due_ns = self._restarts.next_due_ns()
        now_ns = self._now_ns()
        if due_ns is not None and due_ns > now_ns:
            self.context.after((due_ns - now_ns) / NS_PER_S, self._wake)

    def _wake(self) -> None:
        self._obey(self._restarts.wake(self._now_ns()))

    def _start(self, action: Start) -> None:
        if action.reason:
            self._reasons[action.name] = action.reason
            self._board.put(action.name, reason=action.reason)
        directory = self._directory.address if self._directory else None
        child = self._nursery.spawn(action.name, directory or self.context.plumbing.directory())
        if child is None:
            self.context.after(0.0, lambda: self._not_forked(action.name))
        else:
            self.context.after(HELLO_S, lambda: self._look_at(child))

    def _not_forked(self, name: str) -> None:
        reason = self._board.get(name, "last_error")
        self._obey(self._restarts.gone(name, self._now_ns(), clean=False, reason=reason))

    def _stop(self, name: str) -> None:
        child = self._nursery.children.get(name)
        if child is None:
            return
        if self._board.get(name, "state") == states.RUNNING:
            self._draining.add(name)
        self._board.put(name, state=states.STOPPING)
        within_s = self._stop_within_s(name)
        deadline_ns = self._now_ns() + seconds(within_s)
        self._nursery.drain(name, deadline_ns, for_good=self.context.runtime_ends)

        def end() -> None:
            if self._nursery.children.get(name) is child:
                self._kill(name, f"did not finish within {within_s:.1f} s")

        self.context.after(within_s, end)

    def _stop_within_s(self, name: str) -> float:
        """Its own `shutdown_s`; when this whole branch stops, its share of the time for that."""
        above = self.context.plumbing.drain_asked()
        if not above:
            return self._nodes[name].shutdown_s
        left_s = max(0.0, (above.deadline_ns - self._now_ns()) / NS_PER_S)
        order = list(self._nodes)
        later = [other for other in order[: order.index(name)] if other in self._nursery.children]
        branch, *after = (branch_of(self._nodes[one], self._node) for one in (name, *later))
        return stop_within_s(branch, after, left_s)

    # -- heartbeats --

    def _look(self) -> None:
        """Ends children that do not answer; plans the next look for when the first could be
        overdue."""
        now_ns = self._now_ns()
        next_ns = now_ns + seconds(self._node.heartbeat_s)
        for name in list(self._nursery.children):
            next_ns = min(next_ns, self._judge(name, now_ns))
        self.context.after(max(LOOK_AGAIN_MIN_S, (next_ns - now_ns) / NS_PER_S), self._look)

    def _look_at(self, child: Child) -> None:
        if self._nursery.children.get(child.name) is child:
            self._judge(child.name, self._now_ns())

    def _judge(self, name: str, now_ns: int) -> int:
        """When this child would be overdue next; kills it when it is now."""
        node, child, board = self._nodes[name], self._nursery.children[name], self._board
        root = self.context.plumbing.shared.root
        signs = Signs(
            forked_ns=child.forked_ns,
            beat_ns=int(board.get(name, "beat_ns")),
            starting=board.get(name, "state") == states.STARTING,
            tree_stands=board.get(root, "state") == states.RUNNING,
            has_orders=branch_of(node, self._node).has_orders,
        )
        limit_ns, what = answer_due(node, signs)
        if now_ns < limit_ns:
            return limit_ns
        self._kill(name, f"{what}{self._busy_with(name, now_ns)}")
        return now_ns + seconds(node.heartbeat_s)

    def _busy_with(self, name: str, now_ns: int) -> str:
        since_ns = int(self._board.get(name, "handling_since_ns"))
        if not since_ns:
            return ""
        handling = self._board.get(name, "handling")
        return f" ({(now_ns - since_ns) / NS_PER_S:.1f} s in {handling})"

    def _kill(self, name: str, verdict: str) -> None:
        self._verdicts[name] = verdict
        self.context.log.warning("{} is killed: it {}", name, verdict)
        self._nursery.kill(name)

    def _now_ns(self) -> int:
        return self.context.monotonic_ns()
