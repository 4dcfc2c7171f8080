"""SandboxServer: every instance's ports and the control port in one event loop, over one market.

It builds and binds in the caller's thread, so that a wrong setting or a taken port is a
ConfigurationFault there; then it serves until it is told to stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from socket import socket
from threading import Event, Thread
from typing import Any

from adapters.sandbox.account import Account
from adapters.sandbox.clocks import SteppedClock, WallClock
from adapters.sandbox.config import InstanceConfig, SandboxConfig
from adapters.sandbox.control import ControlApp
from adapters.sandbox.day import keep_appointments
from adapters.sandbox.exchange import Exchange
from adapters.sandbox.faults import FaultBoard
from adapters.sandbox.frames import FrameMaker
from adapters.sandbox.hours import with_square_off
from adapters.sandbox.hub import Broadcaster, Hub
from adapters.sandbox.instance import Instance
from adapters.sandbox.limits import RateLimiter
from adapters.sandbox.market import Market
from adapters.sandbox.markets import build_source
from adapters.sandbox.pages import SessionPages
from adapters.sandbox.protocols import LOOPBACK, AppServer, listen
from adapters.sandbox.rest import RestApp
from adapters.sandbox.store import Store
from adapters.sandbox.websocket import WebSocketApp
from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_MINUTE, NS_PER_S
from domain.errors import ConfigurationFault

START_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
SLEEP_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where an instance is reached."""

    rest_port: int
    websocket_port: int

    @property
    def rest_url(self) -> str:
        """Base of the REST port."""
        return f"http://{LOOPBACK}:{self.rest_port}"

    @property
    def websocket_url(self) -> str:
        """Address of the WebSocket port."""
        return f"ws://{LOOPBACK}:{self.websocket_port}"


class SandboxServer:
    """A whole sandbox exchange. Use `run_in_thread` and `stop`, or `serve` in your own loop."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        calendars = with_square_off(config.calendars, config.account.square_off)
        self._release: list[Callable[[], None]] = []
        # Before the market is built, which takes a second: who calls meanwhile waits for its answer
        # instead of being refused.
        try:
            ports = [self._bind(row) for row in config.instances]
            control = self._listen(config.control_port, "sandbox control port")
            self._build(ports, control, calendars)
        except Exception:
            self._let_go()
            raise
        self._step = 0
        self._serving = False
        self._minute = -1
        self._watched: set[int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: Thread | None = None

    def _build(
        self,
        ports: Sequence[tuple[socket, socket]],
        control: socket,
        calendars: Mapping[str, ExchangeCalendar],
    ) -> None:
        config = self.config
        source = build_source(config)
        self._release.append(source.close)
        self._stepped = config.stepped or config.replay is not None
        start_ns = source.next_ns() or 0
        self._steps = SteppedClock(start_ns)
        clock = self._steps if self._stepped else WallClock()
        self.market = Market(source, clock, calendars, always_open=config.always_open)
        self.faults = FaultBoard(time.monotonic)
        self.addresses: dict[str, Address] = {}
        self.instances: list[Instance] = []
        self._servers: list[AppServer] = []
        self._hubs: list[Hub] = []
        self._maker = FrameMaker(self.market)
        for number, (row, sockets) in enumerate(zip(config.instances, ports, strict=True)):
            self._add_instance(number, row, *sockets)
        self.control_port: int = control.getsockname()[1]
        self._servers.append(AppServer(ControlApp(self), control))
        names = tuple(row.name for row in config.instances)
        for instance in self.instances:
            instance.brokers = names
        self._broadcaster = Broadcaster(self._hubs)

    # -- life

    def run_in_thread(self) -> SandboxServer:
        """Serves in a thread of its own; returns when all ports answer."""
        started = Event()
        self._thread = Thread(
            target=lambda: asyncio.run(self.serve(started.set)), name="sandbox", daemon=True
        )
        self._thread.start()
        if not started.wait(START_WITHIN_S):
            raise ConfigurationFault(
                f"the sandbox exchange did not start in {START_WITHIN_S:.0f} s"
            )
        return self

    async def serve(self, when_started: Callable[[], None] | None = None) -> None:
        """Serves until `stop`; closes every socket and file on the way out."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        pump: asyncio.Task[None] | None = None
        try:
            self._keep_appointments()
            for server in self._servers:
                await server.start()
            if not self.config.stepped:
                pump = asyncio.create_task(self._run_market())
                pump.add_done_callback(lambda _: self._end())
            self._serving = True
            if when_started:
                when_started()
            await self._stopping.wait()
        finally:
            self._serving = False
            if pump:
                pump.cancel()
                outcome = (await asyncio.gather(pump, return_exceptions=True))[0]
            for server in self._servers:
                await server.stop()
            self._let_go()
        if pump and isinstance(outcome, Exception):
            raise outcome

    @property
    def is_serving(self) -> bool:
        """False before the start, after a stop, and when the market's loop has failed."""
        return self._serving

    def stop(self) -> None:
        """Ends serving, from any thread; safe to call twice."""
        if self._loop is None or self._loop.is_closed():
            self._let_go()
        else:
            self._loop.call_soon_threadsafe(self._end)
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)

    def __enter__(self) -> SandboxServer:
        return self.run_in_thread()

    def __exit__(self, *error: object) -> None:
        self.stop()

    # -- the market's time; called in the loop

    def advance(self, to_ns: int) -> dict[str, Any]:
        """Moves a stepped clock: rows go out at their own times, then the step is marked. A move
        that lets out no row is no step: nobody has anything to wait for."""
        source, has_rows = self.market.source, False
        while (due_ns := source.next_ns()) is not None and due_ns <= to_ns:
            self._steps.move(due_ns)
            self._move_prices(due_ns)
            has_rows = True
        self._steps.move(to_ns)
        self._keep_appointments()
        if has_rows:
            self._step += 1
            for hub in self._hubs:
                hub.mark_step(self._step)
        return self.clock_report()

    def clock_report(self) -> dict[str, Any]:
        """Where the market stands."""
        source = self.market.source
        return {
            "now_ns": self.market.now_ns(),
            "next_ns": source.next_ns(),
            "ended": source.ended,
            "step": self._step,
        }

    def status(self) -> dict[str, Any]:
        """What a person should know of this exchange."""
        return {
            **self.clock_report(),
            "always_open": self.market.always_open,
            "stepped": self.config.stepped,
            "replay": str(self.config.replay) if self.config.replay else None,
            "seed": self.config.seed,
            "derived": list(self.market.source.derived),
            "counts": dict(self.market.source.counts),
            "warnings": list(self.market.source.warnings),
            "listings": len(self.market.source.index),
            "control_port": self.control_port,
            "instances": [
                {
                    "name": row.name,
                    "rest_port": self.addresses[row.name].rest_port,
                    "websocket_port": self.addresses[row.name].websocket_port,
                    "sockets": len(hub.connections),
                    "dropped_frames": sum(one.dropped_frames for one in hub.connections),
                }
                for row, hub in zip(self.instances, self._hubs, strict=True)
            ],
        }

    def reset(self, name: str = "") -> None:
        """Clears the books of one instance, or of all."""
        for instance in self.instances:
            if name in ("", instance.name):
                instance.exchange.reset()

    def drop_sockets(self) -> None:
        """Resets the sockets of the instances whose sockets the test bench drops."""
        for hub in self._hubs:
            if self.faults.is_on("drop_socket", hub.instance.name):
                hub.drop_all()

    async def _run_market(self) -> None:
        if self.config.replay is not None:
            await self._run_replay()
        else:
            await self._run_live()

    async def _run_live(self) -> None:
        source = self.market.source
        while True:
            self._keep_appointments()
            if self.market.is_trading():
                self._move_prices(self.market.now_ns())
                wait_s = ((source.next_ns() or 0) - self.market.now_ns()) / NS_PER_S
            else:
                wait_s = SLEEP_MAX_S - (self.market.now_ns() / NS_PER_S) % SLEEP_MAX_S
            await asyncio.sleep(min(max(0.0, wait_s), SLEEP_MAX_S))

    async def _run_replay(self) -> None:
        """A recording on its own: market seconds pass `speed` times as fast as real ones."""
        source, speed = self.market.source, self.config.speed
        loop = asyncio.get_running_loop()
        began_s, began_ns = loop.time(), self.market.now_ns()
        while (due_ns := source.next_ns()) is not None:
            if speed:
                due_s = began_s + (due_ns - began_ns) / NS_PER_S / speed
                await asyncio.sleep(max(0.0, due_s - loop.time()))
            else:
                await asyncio.sleep(0)
            self._steps.move(due_ns)
            self._move_prices(due_ns)
            self._keep_appointments()
        await asyncio.Event().wait()

    def _move_prices(self, to_ns: int) -> None:
        """Lets out the ticks that someone reads or an order waits for."""
        watched: set[int] = set()
        for instance, hub in zip(self.instances, self._hubs, strict=True):
            watched.update(hub.wanted, instance.exchange.resting_listings)
        if watched != self._watched:
            self._watched = watched
            self.market.source.watch(watched)
        ticks = self.market.source.advance(to_ns)
        for instance in self.instances:
            instance.exchange.on_ticks(ticks)
            instance.exchange.keep_intervals()
        self._broadcaster.deliver(ticks)

    def _keep_appointments(self) -> None:
        minute = self.market.now_ns() // NS_PER_MINUTE
        if minute == self._minute:
            return
        self._minute = minute
        for instance in self.instances:
            keep_appointments(instance.exchange)

    # -- building

    def _bind(self, row: InstanceConfig) -> tuple[socket, socket]:
        """An instance's REST port and its WebSocket port."""
        return (
            self._listen(row.rest_port, f"sandbox REST port of {row.name}"),
            self._listen(row.websocket_port, f"sandbox WebSocket port of {row.name}"),
        )

    def _listen(self, port: int, what: str) -> socket:
        listener = listen(port, what)
        self._release.append(listener.close)
        return listener

    def _add_instance(
        self, number: int, row: InstanceConfig, rest: socket, sockets: socket
    ) -> None:
        config = self.config
        address = Address(rest.getsockname()[1], sockets.getsockname()[1])
        path = config.data_dir / f"sandbox_{row.name}.sqlite3" if config.data_dir else None
        store = Store(path)
        self._release.append(store.close)
        exchange = Exchange(Account(config.account, number), self.market, store)
        instance = Instance(row, exchange, self.faults)
        hub = Hub(instance, self._maker)
        # A stepped clock does not measure a caller's pace; a real one would make replays differ.
        limiter = None if config.stepped else RateLimiter(time.monotonic)
        pages = SessionPages(instance, address.websocket_url)
        self.addresses[row.name] = address
        self.instances.append(instance)
        self._hubs.append(hub)
        self._servers.append(AppServer(RestApp(instance, pages, limiter, config.limits), rest))
        self._servers.append(AppServer(WebSocketApp(hub), sockets, websocket=True))

    def _let_go(self) -> None:
        while self._release:
            self._release.pop()()

    def _end(self) -> None:
        if self._stopping is not None:
            self._stopping.set()
