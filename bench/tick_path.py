"""The way of a tick, whole: bytes on a real WebSocket to the consumers' bars.

    python bench/tick_path.py [--rate N] [--seconds S] [--consumers C] [--symbols N] [--json FILE]

Processes, as in the runtime: a sender (Kite's binary protocol, full packets, 500 a message, prices
and times moving), a hub (the native stream: decode once, last-price table, bus) and the consumers,
each with minute bars of all symbols. `--rate 0` sends as fast as the hub reads. The sender does not
hold the hub to a broker's limit of instruments a socket. Lags are from the receive stamp at the
socket to the end of a consumer's fold.
"""

from __future__ import annotations

import multiprocessing
import resource
import select
import socket
import struct
import sys
import tempfile
import time
from datetime import date
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
from websockets.server import ServerProtocol

from adapters.kite.stream import kite_stream
from adapters.price_table import PriceReader, table_path
from adapters.tick_bus import TickPublisher, TickSubscriber
from bench.kit import machine, options, table, tell
from domain.calendar import TradingSession
from domain.clock import NS_PER_S
from domain.instruments import InstrumentIndex, Kind, Listing
from domain.market.bars import MinuteBars
from domain.prices import MODE_DEPTH, TICK_DTYPE

SOURCE, TOPIC = "kite", "ticks.kite"
PACKETS_A_MESSAGE = 500
PACKET = np.dtype([("length", ">u2"), ("words", ">u4", (46,))])
TOKEN, LAST_PRICE, VOLUME, LAST_TRADE, EXCHANGE = 0, 1, 4, 11, 15
PAUSE_S = 0.0005
QUIET_S = 0.5  # nothing more comes
PROBE_S = 0.02
STARTS_WITHIN_S = 30.0
HOUR_NS = 3_600 * NS_PER_S


def make_index(symbols: int) -> InstrumentIndex:
    """Listings with Kite's tokens: the segment in the lowest byte."""
    return InstrumentIndex([
        Listing(
            number, "NFO", f"S{number}", "S", Kind.FUTURE, lot_size=1, tick_size=Decimal("0.05"),
            freeze_quantity=1_000, expiry=date(2026, 12, 29), token=str(number << 8 | 2),
        )
        for number in range(1, symbols + 1)
    ])  # fmt: skip


# -- the sender --


def make_packets(symbols: int) -> np.ndarray:
    """A full packet a symbol; prices in paise."""
    packets = np.zeros(symbols, PACKET)
    packets["length"] = 184
    words = packets["words"]
    words[:, TOKEN] = np.arange(1, symbols + 1) << 8 | 2
    words[:, LAST_PRICE] = 10_000 + np.arange(symbols)
    for level in range(10):
        words[:, 16 + 3 * level] = 75
        words[:, 17 + 3 * level] = words[:, LAST_PRICE] + level
    return packets


def framed(packets: np.ndarray) -> bytes:
    """One WebSocket message of these packets; its length takes eight bytes (RFC 6455, 5.2)."""
    payload = struct.pack(">H", len(packets)) + packets.tobytes()
    return struct.pack(">BBQ", 0x82, 127, len(payload)) + payload


def send(listener: socket.socket, symbols: int, rate: float, for_s: float, out: Connection) -> None:
    """Waits for a subscription, then sends; tells how many packets left."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    protocol, events = ServerProtocol(max_size=None), []
    while not events:
        protocol.receive_data(connection.recv(65_536))
        events = protocol.events_received()
    protocol.send_response(protocol.accept(events[0]))
    connection.sendall(b"".join(protocol.data_to_send()))
    connection.recv(1 << 20)
    packets, place, sent = make_packets(symbols), 0, 0
    words = packets["words"]
    began_s = time.monotonic()
    while (passed_s := time.monotonic() - began_s) < for_s:
        if rate and sent > passed_s * rate:
            time.sleep(PAUSE_S)
            continue
        part = slice(place, min(place + PACKETS_A_MESSAGE, symbols))
        words[part, LAST_PRICE] ^= 1
        words[part, VOLUME] += 1
        words[part, LAST_TRADE] = words[part, EXCHANGE] = int(time.time())
        connection.sendall(framed(packets[part]))
        sent += part.stop - part.start
        place = part.stop % symbols
    out.send({"offered": sent, "seconds": time.monotonic() - began_s, "cpu_s": cpu_s()})
    out.recv()  # until the hub has read all
    connection.close()


# -- the hub --


def carry(url: str, symbols: int, folder: Path, stop: Connection) -> None:
    """Reads the socket, writes the table, publishes, until it is told to stop."""
    index = make_index(symbols)
    stream = kite_stream(url, "key:token", index, clock=time.time_ns)
    publisher = TickPublisher(folder, SOURCE)
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


# -- a consumer --


def consume(symbols: int, folder: Path, stop: Connection) -> None:
    """Folds every tick into minute bars; tells what came, what was lost and how late."""
    now_ns = time.time_ns()
    bars = MinuteBars()
    bars.begin(
        TradingSession(date(2026, 11, 20), *(now_ns + hours * HOUR_NS for hours in (-1, 1, 1, 1))),
        now_ns,
    )
    bars.add(np.arange(1, symbols + 1), now_ns)
    subscriber = TickSubscriber(folder, [SOURCE])
    subscriber.subscribe(TOPIC)
    while not subscriber.drain():
        select.select([subscriber.descriptor], [], [], PROBE_S)
    stop.send("ready")
    lags_ns: list[int] = []
    spent_s = cpu_s()
    while select.select([subscriber.descriptor], [], [], QUIET_S)[0] or not stop.poll():
        for batch in subscriber.drain():
            if not len(batch.columns):
                continue
            bars.fold(batch.columns)
            lags_ns.append(time.time_ns() - int(batch.columns["received_ns"][0]))
        bars.close(time.time_ns())
    counters = subscriber.counters
    quantiles = np.percentile(lags_ns or [0], [50, 99, 99.9]) / 1e6
    stop.send({
        "ticks": counters.rows, "gaps": counters.missed, "cpu_s": cpu_s() - spent_s,
        "lag_ms": [round(float(value), 3) for value in quantiles],
        "pss_mb": psutil.Process().memory_full_info().pss / 1e6,
        "accepted": bars.counters["accepted"],
    })  # fmt: skip
    subscriber.close()


def cpu_s() -> float:
    """Of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# -- all together --


def run(rate: float, for_s: float, consumers: int, symbols: int) -> dict[str, Any]:
    """One measurement."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as path, socket.create_server(("127.0.0.1", 0)) as listener:
        folder = Path(path)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        hub = start(context, carry, url, symbols, folder)
        readers = [start(context, consume, symbols, folder) for _ in range(consumers)]
        for _, pipe in readers:
            if not pipe.poll(STARTS_WITHIN_S):
                raise SystemExit("a consumer did not start")
            pipe.recv()
        sender = start(context, send, listener, symbols, rate, for_s)
        hub[1].send("go")
        sent = sender[1].recv()
        hub[1].send("stop")
        carried = hub[1].recv()
        for _, pipe in readers:
            pipe.send("stop")
        heard = [pipe.recv() for _, pipe in readers]
        in_table = int(np.count_nonzero(PriceReader(table_path(folder, SOURCE)).snapshot()["ltp"]))
        for _, pipe in (sender, hub):
            pipe.send("end")
        for process, _ in (sender, hub, *readers):
            process.join(STARTS_WITHIN_S)
    return {"rate": rate, "sent": sent, "hub": carried, "consumers": heard, "in_table": in_table}


def start(context: Any, work: Any, *arguments: Any) -> tuple[Any, Connection]:
    """A process and our end of its pipe."""
    ours, its = context.Pipe()
    process = context.Process(target=work, args=(*arguments, its), daemon=True)
    process.start()
    its.close()
    return process, ours


def show(result: dict[str, Any]) -> None:
    """The table of one run."""
    sent, hub, heard = result["sent"], result["hub"], result["consumers"]
    slowest = min(heard, key=lambda row: row["ticks"])
    seconds = sent["seconds"]
    rows = [
        ("what", "measured"),
        ("offered, ticks/s", f"{sent['offered'] / seconds:,.0f}"),
        ("delivered to the slowest, ticks/s", f"{slowest['ticks'] / seconds:,.0f}"),
        ("offered but not delivered to the slowest", f"{sent['offered'] - slowest['ticks']:,}"),
        ("batches lost, all consumers", str(sum(row["gaps"] for row in heard))),
        ("refused", str(hub["refused"] or "none")),
        ("lag of the slowest p50 / p99 / p99.9, ms",
         " / ".join(f"{max(row['lag_ms'][n] for row in heard):.2f}" for n in range(3))),
        ("cores: sender / hub", f"{sent['cpu_s'] / seconds:.2f} / {hub['cpu_s'] / seconds:.2f}"),
        ("cores: each consumer", " ".join(f"{row['cpu_s'] / seconds:.2f}" for row in heard)),
        ("PSS of the largest consumer, MB", f"{max(row['pss_mb'] for row in heard):.0f}"),
        ("listings in the table", f"{result['in_table']:,}"),
    ]  # fmt: skip
    table("The way of a tick", rows)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rate", type=float, default=1_000_000, help="ticks/s; 0: a flood")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--consumers", type=int, default=4)
    parser.add_argument("--symbols", type=int, default=25_000)
    arguments = parser.parse_args()
    result = run(arguments.rate, arguments.seconds, arguments.consumers, arguments.symbols)
    show(result)
    tell(result, machine("numpy", "pyzmq", "websocket-client"), arguments.json)


if __name__ == "__main__":
    main()
