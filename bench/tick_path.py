"""The way of a tick, whole: bytes on a real WebSocket to the consumers' bars.

    python bench/tick_path.py [--broker B] [--sockets N] [--rate N] [--seconds S] [--consumers C]
                              [--symbols N] [--slow-ms N] [--runs N] [--json FILE]

Processes, as in the runtime: a sender (full packets with prices and times moving: Kite's 500 a
message, SmartAPI's and Dhan's one), a hub a socket (the native stream: decode once, last-price
table, bus) and the consumers, each with minute bars of all symbols. `--rate 0` sends as fast as
the hubs read. The sender does not hold a hub to a broker's limit of instruments a socket. Lags are
from the receive stamp at the socket to the end of a consumer's fold. `--slow-ms` makes the last
consumer sleep after each drain: it loses batches, and `newest` says for how many listings it ends
with the newest price all the same.
"""

from __future__ import annotations

import multiprocessing
import resource
import select
import socket
import statistics
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
from websockets.server import ServerProtocol

from adapters.machine_bars import walker
from adapters.price_table import PriceReader, table_path
from adapters.tick_bus import TickPublisher, TickSubscriber
from bench.kit import REPEATS, machine, options, table, tell
from domain.calendar import TradingSession
from domain.clock import NS_PER_S
from domain.instruments import InstrumentIndex, Kind, Listing
from domain.market.bars import MinuteBars
from domain.prices import MODE_DEPTH, TICK_DTYPE
from tests.kit.feed_servers import dhan_feed, kite_feed, smartapi_feed
from tests.kit.feed_servers.quotes import Level, Quote
from tests.kit.native_feeds import CASES

TOPIC = "ticks.bench"
PACKETS_A_SEND = 500
# Of a row: (byte, dtype) of price and volume, (byte, dtype, units a second) of its times.
MOVES = {
    "kite": ((6, ">u4"), (18, ">u4"), ((46, ">u4", 1), (62, ">u4", 1))),
    "smartapi": ((47, "<i8"), (71, "<i8"), ((39, "<i8", 1_000), (127, "<i8", 1))),
    "dhan": ((12, "<f4"), (26, "<u4"), ((18, "<u4", 1),)),
}
SEGMENT = 2  # the derivatives of the NSE, by each of these brokers
PAUSE_S = 0.0005
QUIET_S = 0.5  # nothing more comes
PROBE_S = 0.02
STARTS_WITHIN_S = 120.0
HOUR_NS = 3_600 * NS_PER_S


@dataclass(frozen=True)
class Asked:
    """The words of the command line."""

    broker: str
    sockets: int
    rate: float
    seconds: float
    consumers: int
    symbols: int
    slow_ms: float


def make_index(symbols: int, broker: str = "kite") -> InstrumentIndex:
    """Listings 1 and up by the broker's tokens: Kite's hold the segment in the lowest byte."""
    return InstrumentIndex([
        Listing(
            number, "NFO", f"S{number}", "S", Kind.FUTURE, lot_size=1, tick_size=Decimal("0.05"),
            freeze_quantity=1_000, expiry=date(2026, 12, 29),
            token=str(number << 8 | SEGMENT if broker == "kite" else number),
        )
        for number in range(1, symbols + 1)
    ])  # fmt: skip


# -- the sender --


class Frames:
    """The WebSocket frames of one broker's full packets, a row a symbol, whose price, volume and
    times move."""

    def __init__(self, broker: str, first: int, symbols: int) -> None:
        packets = [self._packet(broker, number) for number in range(first, first + symbols)]
        self._broker = broker
        self._rows = np.frombuffer(bytearray(b"".join(packets)), np.uint8).reshape(symbols, -1)
        self._price, self._volume, self._times = MOVES[broker]
        self._place, self._turn = 0, 0

    def next(self) -> tuple[bytes, int]:
        """The bytes of the next symbols in turn, and of how many."""
        if self._place == len(self._rows):
            self._place, self._turn = 0, self._turn + 1
        rows = self._rows[self._place : self._place + PACKETS_A_SEND]
        self._place += len(rows)
        self._put(rows, *self._price, 10_000 + self._turn % 2 * 5)
        self._put(rows, *self._volume, self._turn)
        for at, kind, unit in self._times:
            self._put(rows, at, kind, int(time.time() * unit))
        payload = rows.tobytes()
        if self._broker == "kite":
            payload = framed(struct.pack(">H", len(rows)) + payload)
        return payload, len(rows)

    def _put(self, rows: np.ndarray, at: int, kind: str, value: int) -> None:
        raw = np.array([value], kind).view(np.uint8)
        rows[:, at : at + len(raw)] = raw

    def _packet(self, broker: str, number: int) -> bytes:
        token = number << 8 | SEGMENT if broker == "kite" else number
        level = Level(75, Decimal(100), 1)
        quote = Quote(
            SEGMENT, token, Decimal(100), bids=(level,) * 5, asks=(level,) * 5, oi=1, oi_high=1,
            oi_low=1, last_qty=1,
        )  # fmt: skip
        if broker == "kite":
            packet = kite_feed.packet(quote, "full")
            return struct.pack(">H", len(packet)) + packet
        packed = smartapi_feed.packet(quote, smartapi_feed.SNAP_QUOTE)
        return framed(
            packed if broker == "smartapi" else dhan_feed.packets(quote, dhan_feed.FULL)[0]
        )


def framed(payload: bytes) -> bytes:
    """One WebSocket message (RFC 6455, 5.2)."""
    if len(payload) < 65_536:
        return struct.pack(">BBH", 0x82, 126, len(payload)) + payload
    return struct.pack(">BBQ", 0x82, 127, len(payload)) + payload


def send(listener: socket.socket, asked: Asked, out: Connection) -> None:
    """Waits for a subscription on each socket, then sends to all in turn; tells how many packets
    left."""
    share = asked.symbols // asked.sockets
    made = [Frames(asked.broker, 1 + n * share, share) for n in range(asked.sockets)]
    lines = [(welcome(listener), frames) for frames in made]
    sent = 0
    began_s = time.monotonic()
    while (passed_s := time.monotonic() - began_s) < asked.seconds:
        if asked.rate and sent > passed_s * asked.rate:
            time.sleep(PAUSE_S)
            continue
        for connection, frames in lines:
            raw, packets = frames.next()
            connection.sendall(raw)
            sent += packets
    out.send({"offered": sent, "seconds": time.monotonic() - began_s, "cpu_s": cpu_s()})
    out.recv()  # until the hubs have read all
    for connection, _ in lines:
        connection.close()


def welcome(listener: socket.socket) -> socket.socket:
    """The next client, once it has asked for something."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    protocol, events = ServerProtocol(max_size=None), []
    while not events:
        protocol.receive_data(connection.recv(65_536))
        events = protocol.events_received()
    protocol.send_response(protocol.accept(events[0]))
    connection.sendall(b"".join(protocol.data_to_send()))
    connection.recv(1 << 20)
    return connection


# -- the hub --


def carry(url: str, asked: Asked, number: int, folder: Path, stop: Connection) -> None:
    """Reads a socket, writes its table, publishes, until it is told to stop."""
    index = make_index(asked.symbols, asked.broker)
    case = CASES[asked.broker]
    stream = case.open(url, case.key, index, clock=time.time_ns)
    publisher = TickPublisher(folder, source(number))
    ticks_out = batches = 0
    while not stop.poll(PROBE_S):  # until every consumer has heard one
        publisher.publish(TOPIC, np.zeros(0, TICK_DTYPE), {}, time.time_ns())
    stop.recv()
    stream.open()
    spent_s = cpu_s()
    while select.select([stream.descriptor], [], [], QUIET_S)[0] or not stop.poll():
        ticks, events = stream.take()
        if ("authenticated", "") in events:
            listings = list(index.by_id.values())
            stream.subscribe(listings[:1], [MODE_DEPTH])
        if len(ticks):
            publisher.publish(TOPIC, ticks, {}, time.time_ns())
            ticks_out, batches = ticks_out + len(ticks), batches + 1
    stop.recv()
    stop.send({"published": ticks_out, "batches": batches, "cpu_s": cpu_s() - spent_s,
               "refused": dict(stream.counters.refused)})  # fmt: skip
    stop.recv()  # until the consumers are done
    stream.close()
    publisher.close()


def source(number: int) -> str:
    """The name under which a hub publishes."""
    return f"shard.{number}"


# -- a consumer --


def consume(asked: Asked, folder: Path, slow_s: float, stop: Connection) -> None:
    """Folds every tick into minute bars; tells what came, what was lost and how late."""
    now_ns = time.time_ns()
    bars = MinuteBars(walker)
    bars.begin(
        TradingSession(date(2026, 11, 20), *(now_ns + hours * HOUR_NS for hours in (-1, 1, 1, 1))),
        now_ns,
    )
    bars.add(np.arange(1, asked.symbols + 1), now_ns)
    sources = [source(number) for number in range(asked.sockets)]
    subscriber = TickSubscriber(folder, sources)
    subscriber.subscribe(TOPIC)
    heard: set[str] = set()
    while heard != set(sources):
        select.select([subscriber.descriptor], [], [], PROBE_S)
        heard |= {batch.source for batch in subscriber.drain()}
    stop.send("ready")
    lags_ns: list[int] = []
    newest = np.zeros(asked.symbols + 1)
    spent_s = cpu_s()
    while select.select([subscriber.descriptor], [], [], QUIET_S)[0] or not stop.poll():
        for batch in subscriber.drain():
            if not len(batch.columns):
                continue
            bars.fold(batch.columns)
            newest[batch.columns["listing"]] = batch.columns["ltp"]
            if not batch.recovered:
                lags_ns.append(time.time_ns() - int(batch.columns["received_ns"][0]))
        bars.close(time.time_ns())
        if slow_s:
            time.sleep(slow_s)
    counters = subscriber.counters
    quantiles = np.percentile(lags_ns or [0], [50, 99, 99.9]) / 1e6
    tables = [PriceReader(table_path(folder, name)).snapshot() for name in sources]
    stop.send({
        "ticks": counters.rows, "gaps": counters.missed, "cpu_s": cpu_s() - spent_s,
        "recovered": sum(row.recovered for row in counters.sources.values()),
        "lag_ms": [round(float(value), 3) for value in quantiles],
        "pss_mb": psutil.Process().memory_full_info().pss / 1e6,
        "accepted": bars.counters["accepted"],
        "newest": sum(int(np.count_nonzero(newest[rows["listing"]] == rows["ltp"]))
                      for rows in tables),
    })  # fmt: skip
    subscriber.close()


def cpu_s() -> float:
    """Of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# -- all together --


def run(asked: Asked) -> dict[str, Any]:
    """One measurement."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as path, socket.create_server(("127.0.0.1", 0)) as listener:
        folder = Path(path)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        hubs = [start(context, carry, url, asked, n, folder) for n in range(asked.sockets)]
        slow_s = [0.0] * (asked.consumers - 1) + [asked.slow_ms / 1e3]
        readers = [start(context, consume, asked, folder, each_s) for each_s in slow_s]
        for _, pipe in readers:
            if not pipe.poll(STARTS_WITHIN_S):
                raise SystemExit("a consumer did not start")
            pipe.recv()
        sender = start(context, send, listener, asked)
        for _, pipe in hubs:
            pipe.send("go")
        sent = sender[1].recv()
        for _, pipe in hubs:
            pipe.send("stop")
        carried = [pipe.recv() for _, pipe in hubs]
        for _, pipe in readers:
            pipe.send("stop")
        heard = [pipe.recv() for _, pipe in readers]
        for _, pipe in (sender, *hubs):
            pipe.send("end")
        for process, _ in (sender, *hubs, *readers):
            process.join(STARTS_WITHIN_S)
    return {"sent": sent, "hubs": carried, "consumers": heard}


def figures_of(result: dict[str, Any]) -> dict[str, float]:
    """What a run comes to."""
    sent, hubs, heard = result["sent"], result["hubs"], result["consumers"]
    seconds, slowest = sent["seconds"], min(row["ticks"] for row in heard)
    published = sum(row["published"] for row in hubs)
    hub_s, reader_s = (sum(row["cpu_s"] for row in rows) for rows in (hubs, heard))
    return {
        "offered, ticks/s": sent["offered"] / seconds,
        "delivered to the slowest, ticks/s": slowest / seconds,
        "offered but not delivered to the slowest": sent["offered"] - slowest,
        "batches lost, all consumers": sum(row["gaps"] for row in heard),
        "prices recovered, all consumers": sum(row["recovered"] for row in heard),
        "listings whose newest price the last consumer has": heard[-1]["newest"],
        "refused": sum(sum(row["refused"].values()) for row in hubs),
        **{f"lag of the slowest {name}, ms": max(row["lag_ms"][n] for row in heard)
           for n, name in enumerate(("p50", "p99", "p99.9"))},
        "cores: sender": sent["cpu_s"] / seconds,
        "cores: all hubs": hub_s / seconds,
        "cores: all consumers": reader_s / seconds,
        "hub, processor ns a tick": hub_s / max(published, 1) * 1e9,
        "PSS of the largest consumer, MB": max(row["pss_mb"] for row in heard),
    }  # fmt: skip


def start(context: Any, work: Any, *arguments: Any) -> tuple[Any, Connection]:
    """A process and our end of its pipe."""
    ours, its = context.Pipe()
    process = context.Process(target=work, args=(*arguments, its), daemon=True)
    process.start()
    its.close()
    return process, ours


def main() -> None:
    """Measures and prints."""
    parser = options(__doc__)
    parser.add_argument("--broker", choices=CASES, default="kite")
    parser.add_argument("--sockets", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1_000_000, help="ticks/s; 0: a flood")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--consumers", type=int, default=4)
    parser.add_argument("--symbols", type=int, default=25_000)
    parser.add_argument("--slow-ms", type=float, default=0.0, help="of the last consumer's sleeps")
    parser.add_argument("--runs", type=int, default=REPEATS)
    given = vars(parser.parse_args())
    file, runs = given.pop("json"), given.pop("runs")
    asked = Asked(**given)
    measured = [figures_of(run(asked)) for _ in range(runs)]
    figures = {name: statistics.median(row[name] for row in measured) for name in measured[0]}
    rows = [("what", "median"), *((name, f"{value:,.3g}" if value < 100 else f"{value:,.0f}")
                                  for name, value in figures.items())]  # fmt: skip
    title = f"The way of a tick: {asked.broker}, {asked.sockets} sockets, {asked.rate:,.0f} ticks/s"
    table(f"{title}, medians of {runs}", rows)
    tell(given | figures | {"runs": measured}, machine("numpy", "pyzmq", "websocket-client"), file)


if __name__ == "__main__":
    main()
