"""Subscriptions over five sockets: how fast they are placed, and moved when a socket dies.

    python bench/shards.py [--runs N] [--json FILE]

The feed and its five shards are the real actors, here in one process; the broker is a stand-in of
Dhan in another, the one broker with five sockets. `placed` is from the desk's message to the last
request ready at a shard's socket; `carried` ends when the broker has seen the last of them, at its
pace of ten requests of a hundred a second. A dead socket is reset and not let in again while the
others carry 2,500 full packets a second each: `moved` ends when the broker has all of its
instruments on other sockets, five seconds of which are the grace of a blip; `lost` counts packets
of the other sockets that did not arrive.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import select
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from actors.actor import Actor, handler_name
from actors.feeds.feed import Feed
from actors.feeds.shard import Shard
from bench.kit import machine, options, table, tell
from domain.brokers import BrokerEndpoint
from domain.instruments import Kind, Listing
from domain.supervision.topology import Node
from messages.market import SubscribeListings
from persistence.database import MainBase, open_engine
from persistence.instruments import InstrumentStore
from tests.kit.feed_makers import DAY
from tests.kit.feed_servers import dhan_feed
from tests.kit.feed_servers.dhan_feed import FULL, DhanFeed, packets
from tests.kit.feed_servers.quotes import Quote
from tests.kit.recording_context import RecordingContext, make_runtime

SOCKETS, PLACED, MOVED = 5, 25_000, 20_000
RATE_S, PACKETS = 2_500, 40_000  # of each socket that lives, more than a drill takes
SEGMENT, EXCHANGE, MODE_DEPTH = 2, "NFO", 3
WITHIN_S = 60.0


def serve(pipe: Pipe) -> None:
    """The broker; answers one word at a time."""
    with DhanFeed() as server:
        pipe.send(server.url)
        for word, value in iter(pipe.recv, None):
            if word == "counts":
                pipe.send([len(one.subscriptions) for one in server.open_connections])
            elif word == "play":
                now_s = int(time.time())
                for one in server.open_connections:
                    _, token = next(iter(one.subscriptions))
                    quote = Quote(SEGMENT, token, Decimal(100), last_trade_s=now_s)
                    rows = (replace(quote, volume=number) for number in range(1, PACKETS + 1))
                    payloads = [packets(row, FULL)[0] for row in rows]
                    server.play(one, payloads, rate_s=RATE_S, messages=PACKETS)
                pipe.send(None)
            elif word == "kill":
                server.closed_door = True
                server.drop(server.open_connections[value])
                pipe.send(None)


class Stage:
    """The actors, their messages carried by hand, their clocks led by the real one."""

    def __init__(self, folder: Path, url: str, listings: int) -> None:
        names = [f"shard.alpha.{number}" for number in range(1, SOCKETS + 1)]
        children = tuple(Node(name=name, actor="a.Shard", instance="alpha") for name in names)
        branch = Node(name="shards.alpha", strategy="one_for_one", children=children)
        row = BrokerEndpoint("alpha", "http://h", url, True, False, "Alpha", adapter="dhan")
        runtime = make_runtime(
            folder,
            tree=Node(name="root", strategy="one_for_one", children=(branch,)),
            feed_sequence=("alpha",),
            keys={"alpha": f"{dhan_feed.CLIENT_ID}:{dhan_feed.TOKEN}"},
            broker=lambda _name: row,
        )
        self.ids = load(runtime.database_url, listings)
        self.received: dict[str, list[np.ndarray]] = {name: [] for name in names}
        self._actors: dict[str, Actor] = {}
        for name in ("feed.alpha", *names):
            now_ns = time.time_ns()
            context = RecordingContext(name, runtime, instance="alpha", now_ns=now_ns)
            self._actors[name] = (Feed if name == "feed.alpha" else Shard)(context, None)
        for actor in self._actors.values():
            actor.start()

    def want(self, ids: tuple[int, ...]) -> None:
        """What the subscription desk tells."""
        feed = self._actors["feed.alpha"]
        message = SubscribeListings(listing_ids=ids, modes=(MODE_DEPTH,) * len(ids))
        feed.context.deliver(feed, message)

    def turn(self, until: Callable[[], Any]) -> float:
        """Runs until something is so; seconds it took."""
        started_s = time.perf_counter()
        while not until():
            if time.perf_counter() - started_s > WITHIN_S:
                raise TimeoutError(f"not so within {WITHIN_S:.0f} s")
            self.turn_once()
        return time.perf_counter() - started_s

    def turn_once(self) -> None:
        """Timers, then descriptors, then messages."""
        watched = {}
        for actor in self._actors.values():
            actor.context.advance((time.time_ns() - actor.context.now_ns()) / 1e9)
            watched |= dict.fromkeys(actor.context._watched, actor)
        for descriptor in select.select(list(watched), [], [], 0.005)[0]:
            watched[descriptor].context.readable(descriptor)
        for name, actor in self._actors.items():
            context = actor.context
            told = context.told + [("", message) for message in context.announced]
            self.received.get(name, []).extend(columns for _, columns, _ in context.published)
            context.clear()
            for target, message in told:
                for other, hears in self._actors.items():
                    if target in ("", other) and hasattr(hears, handler_name(type(message))):
                        hears.context.deliver(hears, message)

    @property
    def live(self) -> int:
        """Shards whose socket stands."""
        return sum(shard._state == "live" for shard in self.shards)

    @property
    def shards(self) -> list[Shard]:
        """The five, in order."""
        return [actor for actor in self._actors.values() if isinstance(actor, Shard)]

    def close(self) -> None:
        """Ends every socket."""
        for actor in self._actors.values():
            actor.stop()


def load(database_url: str, count: int) -> tuple[int, ...]:
    """Listing ids of so many instruments in a new database."""
    engine = open_engine(database_url)
    MainBase.metadata.create_all(engine)
    rows = [
        Listing(0, EXCHANGE, f"S{number}", f"S{number}", Kind.EQUITY, 1, Decimal("0.05"), 0,
                token=str(number))
        for number in range(1, count + 1)
    ]  # fmt: skip
    store = InstrumentStore(engine)
    store.load(rows, "alpha", DAY)
    ids = tuple(store.load_index().by_id)
    engine.dispose()
    return ids


@contextlib.contextmanager
def drill(listings: int) -> Iterator[tuple[Stage, Callable[..., Any]]]:
    """Five live shards on a broker, and how to ask it."""
    near, far = multiprocessing.get_context("fork").Pipe()
    broker = multiprocessing.get_context("fork").Process(target=serve, args=(far,), daemon=True)
    broker.start()

    def ask(word: str, value: int = 0) -> Any:
        near.send((word, value))
        return near.recv()

    folder = Path(tempfile.mkdtemp(prefix="tomic-bench-"))
    stage = Stage(folder, near.recv(), listings)
    stage.turn(lambda: stage.live == SOCKETS)
    yield stage, ask
    stage.close()
    near.send(None)
    broker.join()
    shutil.rmtree(folder)


def place() -> dict[str, float]:
    """One run of placing."""
    with drill(PLACED) as (stage, ask):
        started_s = time.perf_counter()
        stage.want(stage.ids)
        stage.turn(lambda: sum(len(shard._carried) for shard in stage.shards) == PLACED)
        placed_s = time.perf_counter() - started_s
        stage.turn(lambda: sum(ask("counts")) == PLACED)
        counts = ask("counts")
        carried_s = time.perf_counter() - started_s
    return {"placed_s": placed_s, "carried_s": carried_s, "uneven": max(counts) - min(counts)}


def move() -> dict[str, float]:
    """One run of a socket's death."""
    with drill(MOVED) as (stage, ask):
        stage.want(stage.ids)
        stage.turn(lambda: sum(ask("counts")) == MOVED)
        ask("play")
        stage.turn(lambda: all(stage.received.values()))
        ask("kill", 0)
        moved_s = stage.turn(lambda: sum(ask("counts")) == MOVED)
        lost = sum(missing(batches) for batches in list(stage.received.values())[1:])
    return {"moved_s": moved_s, "lost": lost}


def missing(batches: list[np.ndarray]) -> int:
    """Packets that did not arrive between the first and the last, by their numbers."""
    numbers = np.concatenate(batches)["volume"]
    return int(numbers.max() - numbers.min() + 1 - len(numbers))


def main() -> None:
    """Prints the tables."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    runs = [place() | move() for _ in range(arguments.runs)]
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    worst = {name: max(run[name] for run in runs) for name in runs[0]}
    words = {
        "placed_s": (f"{PLACED:,} placed over {SOCKETS} shards, s", "0.5"),
        "carried_s": ("and carried by the broker, s", "5.0 is its pace"),
        "uneven": ("most less fewest", "1"),
        "moved_s": (f"a dead socket's {MOVED // SOCKETS:,} moved, s", "10"),
        "lost": ("packets the other sockets lost", "0"),
    }
    rows = [("what", "median", "worst", "goal")]
    rows += [(text, f"{median[name]:.3g}", f"{worst[name]:.3g}", goal)
             for name, (text, goal) in words.items()]  # fmt: skip
    table(f"Shards, medians of {arguments.runs}", rows)
    figures = {"median": median, "worst": worst, "runs": runs}
    tell(figures, machine("numpy", "websocket-client"), arguments.json)


if __name__ == "__main__":
    main()
