"""WebSocket frames as a client reads them, many at a time (RFC 6455, 5). Pure: bytes in, messages
out.

A market data server sends up to a hundred thousand small messages a second. A library that reads
one message a call asks the kernel two or three times for each; here whatever the socket held is
walked once.
"""

from __future__ import annotations

import numpy as np

from domain.errors import BadMarketData

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUED = 0
FINAL = 0x80
MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # thirty times the fullest message of any feed we read
CONTROL_BYTES_MAX = 125
_WHOLE_BINARY = FINAL | BINARY
_LENGTH_16, _LENGTH_64 = 126, 127

RUN_MIN = 64

Aside = tuple[int, bytes]  # opcode and payload of what is no market data


class FrameReader:
    """Holds what of a frame has not come yet, and the parts of a fragmented message."""

    def __init__(self) -> None:
        self._rest = b""
        self._parts: list[bytes] = []
        self._opcode = 0  # of the fragmented message; 0 while there is none

    def read(self, data: bytes) -> tuple[list[bytes], list[Aside]]:
        """Whole binary messages, and beside them texts, pings, pongs and closes, each in order.

        Raises BadMarketData for bytes that are no frames of a server; the socket is then of no
        more use.
        """
        if self._rest:
            data = self._rest + data
        messages: list[bytes] = []
        asides: list[Aside] = []
        at, size = 0, len(data)
        runs, before = True, 0
        while size - at >= 2:
            first, length, start = data[at], data[at + 1], at + 2
            if length == _LENGTH_16:
                start += 2
                length = int.from_bytes(data[at + 2 : start], "big")
            elif length == _LENGTH_64:
                start += 8
                length = int.from_bytes(data[at + 2 : start], "big")
            elif length > _LENGTH_64:
                raise BadMarketData("a frame of the server is masked")
            if length > MESSAGE_BYTES_MAX:
                raise BadMarketData(f"a frame of {length} bytes")
            end = start + length
            if end > size:
                break
            if first == _WHOLE_BINARY and not self._opcode:
                messages.append(data[start:end])
                if runs and end - at == before and size - end >= RUN_MIN * before:
                    run = _run(data, data[at:start], end, before)
                    messages += run
                    runs = len(run) >= RUN_MIN  # else looking costs more than it saves
                    end += len(run) * before
                before = start - at + length
            else:
                self._set_apart(first, data[start:end], messages, asides)
            at = end
        self._rest = data[at:]
        return messages, asides

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing of a frame or of a message in parts."""
        return not self._rest and not self._opcode

    def give_back(self, bytes_max: int) -> bytes:
        """What has come of a frame, which it forgets; nothing when that is longer."""
        if len(self._rest) > bytes_max:
            return b""
        rest, self._rest = self._rest, b""
        return rest

    def _set_apart(
        self, first: int, payload: bytes, messages: list[bytes], asides: list[Aside]
    ) -> None:
        """Control frames, texts and fragments."""
        opcode, is_final = first & 0x0F, bool(first & FINAL)
        if first & 0x70 or opcode not in (CONTINUED, TEXT, BINARY, CLOSE, PING, PONG):
            raise BadMarketData(f"a frame that begins with 0x{first:02x}")
        if opcode >= CLOSE:
            if not is_final or len(payload) > CONTROL_BYTES_MAX:
                raise BadMarketData("a control frame that is long or in parts")
            asides.append((opcode, payload))
            return
        if bool(self._opcode) != (opcode == CONTINUED):
            raise BadMarketData("parts of two messages are mixed")
        self._opcode = self._opcode or opcode
        self._parts.append(payload)
        if sum(map(len, self._parts)) > MESSAGE_BYTES_MAX:
            raise BadMarketData("a message without an end")
        if is_final:
            whole, opcode = b"".join(self._parts), self._opcode
            self._parts.clear()
            self._opcode = 0
            if opcode == BINARY:
                messages.append(whole)
            else:
                asides.append((opcode, whole))


def _run(data: bytes, header: bytes, at: int, whole: int) -> list[bytes]:
    """The payloads of the frames from `at` on that have this very header, up to the first that has
    not; each is `whole` bytes with its header. One packet a message makes long runs of them."""
    count = (len(data) - at) // whole
    rows = np.frombuffer(data, np.uint8, count * whole, at).reshape(count, whole)
    same = (rows[:, : len(header)] == np.frombuffer(header, np.uint8)).all(axis=1)
    run = count if same.all() else int(same.argmin())
    first = at + len(header)
    return [data[start : start + whole - len(header)]
            for start in range(first, first + run * whole, whole)]  # fmt: skip
