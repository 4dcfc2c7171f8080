"""The tick bus: columnar batches over pyzmq, one PUB socket a publisher, sequence numbers a topic.

A batch is one message of four parts: topic, msgpack header, msgpack meta, raw columns. Queues are
bounded by high-water marks; what is dropped at one shows as a gap in the sequence, which the
subscriber counts. A publisher of ticks keeps its last-price table too, and writes it first: a
subscriber that missed ticks is handed from there, as one batch more, the newest of each listing
that ticked meanwhile.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import zmq

from adapters.price_table import PriceReader, PriceWriter, table_path
from domain.clock import NS_PER_S
from domain.prices import BAR_DTYPE, CHAIN_DTYPE, TICK_DTYPE

SCHEMA_VERSION = 1
# At 4 kB a batch this is 40 MB a subscriber: some seconds of the busiest feed, then it is better
# to drop.
BATCHES_QUEUED_MAX = 10_000
DRAIN_MAX = 1_000
LAGS_KEPT = 1_024  # of the newest batches of a source, for its quantiles
_EVENTS, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)
_DTYPES = {"tick": TICK_DTYPE, "bar": BAR_DTYPE, "chain": CHAIN_DTYPE}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class Batch(NamedTuple):
    """One columnar batch as a subscriber gets it.

    `sequence` counts per source and topic from 1; `missed` is how many batches were lost before it.
    `meta` is small and msgpack-ready. `recovered` is what the last-price table told of ticks that
    were lost; its sequence is that of the newest batch taken.
    """

    topic: str
    source: str
    sequence: int
    sent_ns: int
    columns: np.ndarray
    meta: Mapping[str, Any]
    missed: int = 0
    recovered: bool = False


@dataclass(slots=True)
class _Heard:
    """How far one topic of one source was taken: its newest batch, and when its newest tick was
    received. `lost_ns`: ticks received from then on were lost; None when none were."""

    epoch: str
    sequence: int
    tick_ns: int = 0
    lost_ns: int | None = None


@dataclass(slots=True)
class SourceCounters:
    """What a subscriber took from one source, lost of it and recovered, and how late it came.

    `waiting_max` is the most batches that one drain found; a lag is from the receive stamp of a
    batch's first tick, or from its sending, to its drain.
    """

    batches: int = 0
    rows: int = 0
    missed: int = 0
    recovered: int = 0
    waiting: int = 0
    waiting_max: int = 0
    lags_ns: deque[int] = field(default_factory=lambda: deque(maxlen=LAGS_KEPT))

    def figures(self) -> dict[str, float]:
        """As metrics: counts since the start, lags in milliseconds of the newest batches."""
        lags_ns = list(self.lags_ns) or [0]
        p50, p99 = np.percentile(lags_ns, [50, 99], method="inverted_cdf") * 1_000 / NS_PER_S
        return {
            "batches": self.batches,
            "rows": self.rows,
            "gaps": self.missed,
            "recovered": self.recovered,
            "waiting_max": self.waiting_max,
            "lag_ms_p50": float(p50),
            "lag_ms_p99": float(p99),
        }


@dataclass(slots=True)
class BusCounters:
    """What a subscriber took, lost and refused; `refused` counts by reason."""

    batches: int = 0
    rows: int = 0
    missed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    sources: dict[str, SourceCounters] = field(default_factory=dict)


class TickPublisher:
    """One source's PUB socket at `<run_dir>/<source>.ipc`, and its last-price table once it has
    ticks; made after the fork, used by one thread."""

    def __init__(self, run_dir: Path, source: str) -> None:
        self._source = source
        self._table_path = table_path(run_dir, source)
        self._prices: PriceWriter | None = None
        # Tells subscribers that a source was born again and counts from 1.
        self._epoch = os.urandom(8).hex()
        self._sequences: dict[str, int] = {}
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, BATCHES_QUEUED_MAX)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(_address(run_dir, source))

    def publish(
        self, topic: str, columns: np.ndarray, meta: Mapping[str, Any], sent_ns: int
    ) -> int:
        """Sends a batch without waiting and returns its sequence within `topic`.

        Raises ValueError for columns that are none of TICK_DTYPE, BAR_DTYPE, CHAIN_DTYPE, and
        BlockingIOError while another process writes this source's table.
        """
        name = _NAMES.get(columns.dtype)
        if name is None:
            raise ValueError(f"columns of dtype {columns.dtype} do not travel on the bus")
        if name == "tick":
            if self._prices is None:
                self._prices = PriceWriter(self._table_path)
            self._prices.write(columns)
        sequence = self._sequences[topic] = self._sequences.get(topic, 0) + 1
        header = (
            SCHEMA_VERSION, self._source, self._epoch, sequence, sent_ns, name, len(columns),
        )  # fmt: skip
        raw = np.ascontiguousarray(columns).view(np.uint8).data
        parts = (topic.encode(), msgpack.packb(header), msgpack.packb(dict(meta)), raw)
        self._socket.send_multipart(parts, zmq.NOBLOCK)
        return sequence

    def close(self) -> None:
        """Closes the socket; what is still queued is dropped. The table stays for its readers."""
        self._socket.close()
        if self._prices:
            self._prices.close()
            self._prices = None


class TickSubscriber:
    """One SUB socket on many sources, present or still to come; used by one thread."""

    def __init__(self, run_dir: Path, sources: Iterable[str]) -> None:
        self.counters = BusCounters()
        self._run_dir = run_dir
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._tables: dict[str, PriceReader] = {}
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, BATCHES_QUEUED_MAX)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        for source in sources:
            self._socket.connect(_address(run_dir, source))
        self.descriptor: int = self._socket.getsockopt(zmq.FD)

    def subscribe(self, prefix: str) -> None:
        """Takes all topics that begin with `prefix`; drain once afterwards, the descriptor is
        edge-triggered."""
        self._socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())

    def drain(self, batches_max: int = DRAIN_MAX, *, now_ns: int = 0) -> list[Batch]:
        """What has arrived, oldest first; after it, what a gap in it lost, from the last-price
        table. `batches_max` or more means that there may be more: drain again, for the
        edge-triggered descriptor will not tell of the rest.

        Lags are counted to `now_ns`, on the clock of the receive stamps; to 0, none are.
        """
        batches: list[Batch] = []
        # To ask whether there is more costs less than an exception that says there is none.
        while len(batches) < batches_max and self._socket.get(_EVENTS) & _READABLE:
            batch = self._read(self._socket.recv_multipart(zmq.NOBLOCK, copy=False))
            if batch:
                batches.append(batch)
                self._note(batch, now_ns)
        for source in self.counters.sources.values():
            source.waiting_max = max(source.waiting_max, source.waiting)
            source.waiting = 0
        return batches + self._recover(now_ns)

    def figures(self) -> dict[str, dict[str, float]]:
        """By source: what came, what was lost, how late it came."""
        return {name: source.figures() for name, source in self.counters.sources.items()}

    def sequence(self, source: str, topic: str) -> int:
        """The newest sequence drained of that source and topic; 0 when none was."""
        heard = self._heard.get((source, topic))
        return heard.sequence if heard else 0

    def close(self) -> None:
        """Closes the socket and its descriptor."""
        self._socket.close()

    def _read(self, parts: list[zmq.Frame]) -> Batch | None:
        try:
            topic, header, meta, raw = parts
            version, source, epoch, sequence, sent_ns, name, rows = msgpack.unpackb(header.buffer)
            if version != SCHEMA_VERSION or name not in _DTYPES:
                self._refuse("dtype" if version == SCHEMA_VERSION else "schema_version")
                return None
            columns = np.frombuffer(raw.buffer, _DTYPES[name])
            columns.flags.writeable = False
            if len(columns) != rows:
                raise ValueError(f"{len(columns)} rows, told {rows}")
            words = msgpack.unpackb(meta.buffer)
        except (ValueError, TypeError):
            self._refuse("frame")
            return None
        name = topic.bytes.decode()
        missed = self._missed((source, name), epoch, sequence, columns)
        return Batch(name, source, sequence, sent_ns, columns, words, missed)

    def _note(self, batch: Batch, now_ns: int) -> None:
        self.counters.batches += 1
        self.counters.rows += len(batch.columns)
        self.counters.missed += batch.missed
        source = self.counters.sources.setdefault(batch.source, SourceCounters())
        source.batches += 1
        source.rows += len(batch.columns)
        source.missed += batch.missed
        source.waiting += 1
        if now_ns:
            has_ticks = len(batch.columns) and batch.columns.dtype == TICK_DTYPE
            since_ns = int(batch.columns["received_ns"][0]) if has_ticks else batch.sent_ns
            source.lags_ns.append(now_ns - since_ns)

    def _missed(self, key: tuple[str, str], epoch: str, sequence: int, columns: np.ndarray) -> int:
        heard = self._heard.get(key)
        if heard is None:  # nothing is known of what a source sent before it was first heard
            heard = self._heard[key] = _Heard(epoch, sequence - 1)
        missed = sequence - heard.sequence - 1 if heard.epoch == epoch else 0
        if columns.dtype == TICK_DTYPE:
            # What a source sent between its last batch that came and its death is known to nobody.
            if (missed or heard.epoch != epoch) and heard.lost_ns is None:
                heard.lost_ns = heard.tick_ns
            if len(columns):
                heard.tick_ns = int(columns["received_ns"][-1])
        heard.epoch, heard.sequence = epoch, sequence
        return missed

    def _recover(self, now_ns: int) -> list[Batch]:
        """Of each topic that lost ticks the newest of the listings that ticked meanwhile.

        A listing that ticked after the newest batch taken is left out: that tick is on its way, or
        lost in a later gap.
        """
        found = []
        for (source, topic), heard in self._heard.items():
            if heard.lost_ns is None:
                continue
            try:
                if source not in self._tables:
                    self._tables[source] = PriceReader(table_path(self._run_dir, source))
                prices = self._tables[source].snapshot()
            except (OSError, ValueError, TimeoutError):
                self._refuse("price_table")  # the next drain tries again
                continue
            # A clock that was set back says nothing of before and after: then all is new.
            since_ns = heard.lost_ns if heard.lost_ns <= heard.tick_ns else 0
            stamps = prices["received_ns"]
            rows = prices[(stamps >= since_ns) & (stamps <= heard.tick_ns)]
            heard.lost_ns = None
            if len(rows):
                rows.flags.writeable = False
                self.counters.sources[source].recovered += len(rows)
                found.append(Batch(topic, source, heard.sequence, now_ns, rows, {}, recovered=True))
        return found

    def _refuse(self, reason: str) -> None:
        self.counters.refused[reason] = self.counters.refused.get(reason, 0) + 1


def _address(run_dir: Path, source: str) -> str:
    return f"ipc://{run_dir / source}.ipc"
