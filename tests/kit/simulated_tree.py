"""Hosts without processes: engines in one process, frames delivered in an order drawn by a seed.

For what the real runtime cannot show twice: that the order of events in a replay does not depend on
how fast anything ran, and what happens to mail when a host dies between two frames.
"""

from __future__ import annotations

import os
import random
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from loguru import logger

from actors.actor import Actor
from actors.hosting import board as states
from actors.hosting.board import Board
from actors.hosting.engine import Engine
from actors.hosting.shared import Shared
from actors.hosting.wire import Address, Configure, DirectoryAt
from domain.supervision.topology import Node

PATIENCE_S = 60.0
SUPERVISION = "supervision"  # where the hosts think their supervisor is


class _Root(Actor):
    """Stands for the supervisor."""

    STEPPED = False


class _Port:
    """The transport of one simulated host."""

    def __init__(self, tree: SimulatedTree, address: str) -> None:
        self._tree, self._address = tree, address

    def configured(self, name: str, life: int) -> None:
        """It was made for that name."""

    def my_address(self) -> Address:
        return self._address

    def send(self, address: Address, frame: Any) -> None:
        self._tree.frames.append((self._address, address, frame))


class SimulatedTree:
    """Leaves of a tree, by name; the supervisors are the test's hand."""

    def __init__(
        self,
        runtime: Any,
        classes: dict[str, type[Actor]],
        seed: int = 0,
        order_path: tuple[str, ...] = (),
    ) -> None:
        # What stands behind a colon is the instance: "left:alpha".
        parts = {name.partition(":")[0]: name.partition(":")[2] for name in classes}
        classes = {name.partition(":")[0]: kind for name, kind in classes.items()}
        leaves = tuple(
            Node(
                name=name,
                actor="simulated",
                instance=instance,
                mailbox_max=1000,
                handles_orders=name in order_path,
            )
            for name, instance in parts.items()
        )
        tree = Node(name="root", strategy="one_for_one", children=leaves)
        runtime.tree = tree
        self.near, far = socket.socketpair()
        self.near.setblocking(False)
        self.shared = Shared(
            runtime=runtime,
            board=Board(tree),
            classes={"root": _Root, **classes},
            settings=dict.fromkeys(("root", *classes)),
            launcher_pid=os.getpid(),
            control=far,
        )
        self.frames: list[tuple[Address, Address, Any]] = []
        self.engines: dict[str, Engine] = {}
        self.made: list[Engine] = []  # all that ever were
        self._draw = random.Random(seed)
        self._directory = ""

    def start(self, *names: str) -> None:
        """A new life of each."""
        for name in names:
            life = self.shared.board.new_life(name)
            address = f"{name}#{life}"
            self.engines.pop(f"{name}#{life - 1}", None)
            port = _Port(self, address)
            self.engines[address] = Engine(self.shared, port, lambda _: logger, _no_children)
            directory = self._directory or None
            self.made.append(self.engines[address])
            self.frames.append(
                (SUPERVISION, address, Configure(name, life, os.getppid(), directory))
            )
            self.shared.board.put(name, state=states.RUNNING)
            self._draw_until(lambda address=address: self.engines[address].configured)

    def kill(self, name: str) -> None:
        """The host is gone, with all it held."""
        life = self.shared.board.get(name, "life")
        del self.engines[f"{name}#{life}"]
        self.shared.board.put(name, state=states.WAITING)

    def close(self) -> None:
        """Lets go of the sockets; worker threads wait for ever and end with the test run."""
        self.near.close()
        self.shared.control.close()
        for engine in self.made:
            for worker in engine.context.lanes().values() if engine.configured else ():
                worker._near.close()
                worker._far.close()

    def actor(self, name: str) -> Any:
        """The living actor of that name."""
        return self.engines[f"{name}#{self.shared.board.get(name, 'life')}"].actor

    def engine(self, name: str) -> Engine:
        """Its host."""
        return self.engines[f"{name}#{self.shared.board.get(name, 'life')}"]

    def run_until(self, fact: Callable[[], object]) -> None:
        """Delivers frames, wake-ups and descriptors until `fact()`."""
        self._draw_until(fact)

    def settle(self) -> None:
        """Delivers until nothing is under way."""
        self._draw_until(lambda: not self.frames)

    def _draw_until(self, fact: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not fact():
            if time.monotonic() > deadline:
                raise AssertionError(f"never came true; under way: {self.frames}")
            self._deliver_one()

    def _deliver_one(self) -> None:
        for engine in list(self.engines.values()):
            if engine.configured and engine.is_due():
                engine.woken()
            ready = select.select(engine.descriptors(), [], [], 0)[0] if engine.configured else []
            if ready:
                engine.readable(ready)
        if not self.frames:
            select.select([], [], [], 0.001)
            return
        sender, address, frame = self.frames.pop(self._draw.randrange(len(self.frames)))
        if isinstance(frame, DirectoryAt) and address == SUPERVISION:
            self._directory = frame.address
            self.frames += [(sender, name, frame) for name in self.engines]
        elif address in self.engines:
            self.engines[address].receive(frame, sender)


def _no_children(_first: Configure) -> Any:
    raise OSError("a simulated host has no children")
