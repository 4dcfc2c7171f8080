"""From a socket's bytes to packets, decoded where they lie.

Machine code walks frames that are one whole binary message each, in perfect order. From the first
other one on, what has been read goes the plain way: adapters.frame_reader makes messages of it, and
the broker's own decoder takes those, counts and explains.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from adapters.frame_reader import Aside, FrameReader
from adapters.machine_code import CODE, FULL, SHORT, address
from adapters.packets import PACKET_DTYPE, Batch, Tally
from adapters.token_table import TokenTable

READ_BYTES = 1 << 18  # more than a TLS record: none is left in the library, where no poll sees it
WIRE_BYTES = 1 << 20  # the fullest message of any feed we read, and a read


class Decoder(Protocol):
    """How one broker's messages are decoded."""

    broker: str
    shift_s: int  # how far ahead its last trade times are known to be

    def packets_in(self, message: bytes) -> int:
        """How many packets a message says it holds."""

    def decode(self, messages: list[bytes], tokens: TokenTable, received_ns: int) -> Batch:
        """Every packet of these messages."""


class PacketReader:
    """Holds what one socket told and nobody took yet: bytes, messages, packets."""

    def __init__(self, decoder: Decoder, packets_max: int) -> None:
        self.frames = 0  # so far
        self.is_full = False  # of packets, or of messages that must be taken first
        self._decoder, self._packets_max = decoder, packets_max
        self._walk = None if CODE is None else getattr(CODE, decoder.broker)
        self._wire = np.empty(WIRE_BYTES, np.uint8)
        self._bytes = memoryview(self._wire)
        self._first = self._end = 0  # of the bytes that wait
        self._read_ns = 0  # when their last came
        self._packets = np.empty(packets_max, PACKET_DTYPE)
        self._made = 0  # packets that wait
        self._walked = np.zeros(3, np.int64)  # bytes used, frames, what ended the walk
        self._places = tuple(map(address, (self._wire, self._packets, self._walked)))
        self._plain = FrameReader()
        self._messages: deque[tuple[int, bytes]] = deque()  # (received_ns, message)
        self._told = 0  # packets that they say they hold

    @property
    def holds_more(self) -> bool:
        """Whether there is more to take without another byte."""
        return self.is_full or bool(self._messages)

    def room(self) -> memoryview:
        """Where the socket's next bytes belong."""
        if self._first:
            waiting = self._bytes[self._first : self._end]
            self._bytes[: len(waiting)] = waiting
            self._first, self._end = 0, len(waiting)
        return self._bytes[self._end : self._end + READ_BYTES]

    def read(self, size: int = 0, received_ns: int = 0) -> list[Aside]:
        """Makes packets of what waits and of `size` bytes that came into the room; returns the
        frames beside them. Raises BadMarketData as FrameReader does."""
        if size:
            self._end += size
            self._read_ns = received_ns
        elif self._messages:
            self.is_full = True
            return []
        asides = self._split()
        self.is_full |= self._made + self._told >= self._packets_max
        return asides

    def take(self, tokens: TokenTable) -> list[Batch]:
        """What waits, in order, about as many packets as there may be; good until the next read."""
        batches = []
        if self._made:
            packets, self._made = self._packets[: self._made], 0
            tokens.name(packets)
            batches.append(Tally(self._decoder.broker).batch(packets))
        messages, count = [], 0
        received_ns = self._messages[0][0] if self._messages else 0
        while self._messages and count < self._packets_max:
            _, message = self._messages.popleft()
            messages.append(message)
            count += self._decoder.packets_in(message)
        self._told -= count
        if messages:
            batches.append(self._decoder.decode(messages, tokens, received_ns))
        return batches

    def _split(self) -> list[Aside]:
        """By machine code as far as it goes, then plainly."""
        self.is_full = False
        if self._walk and not self._messages and self._plain.is_empty:
            wire, packets, walked = self._places
            waiting = self._end - self._first
            self._made += self._walk(
                wire + self._first, waiting, packets + self._made * PACKET_DTYPE.itemsize,
                self._packets_max - self._made, self._read_ns, self._decoder.shift_s, walked,
            )  # fmt: skip
            used, frames, end = self._walked.tolist()
            self._first += used
            self.frames += frames
            if end == SHORT and waiting - used <= WIRE_BYTES - READ_BYTES:
                return []
            self.is_full = end == FULL and self._made > 0
            if self.is_full:
                return []
        return self._split_plainly()

    def _split_plainly(self) -> list[Aside]:
        messages, asides = self._plain.read(bytes(self._bytes[self._first : self._end]))
        rest = self._plain.give_back(WIRE_BYTES - READ_BYTES)
        self._bytes[: len(rest)] = rest
        self._first, self._end = 0, len(rest)
        self._messages.extend((self._read_ns, message) for message in messages)
        self._told += sum(map(self._decoder.packets_in, messages))
        self.frames += len(messages) + len(asides)
        return asides
