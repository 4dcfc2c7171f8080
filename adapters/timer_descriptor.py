"""A timer as a descriptor (timerfd, Linux), so that one `poll` waits for a socket and for time."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress

_LIBC = ctypes.CDLL(None, use_errno=True)
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK and TFD_CLOEXEC are these


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Schedule(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("first", _Timespec))


class TimerDescriptor:
    """Readable every `period_s` seconds once one is set; `descriptor` is to be watched."""

    def __init__(self) -> None:
        self.descriptor = _checked(_LIBC.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS))
        self._period_s = 0.0

    def set(self, period_s: float) -> None:
        """The next time is a period from now; a period that is set already goes on."""
        if period_s == self._period_s:
            return
        self._period_s = period_s
        seconds, rest = divmod(period_s, 1)
        every = _Timespec(int(seconds), int(rest * 1e9))
        schedule = _Schedule(every, every)
        _checked(_LIBC.timerfd_settime(self.descriptor, 0, ctypes.byref(schedule), None))

    def clear(self) -> None:
        """No longer readable until the next period is over."""
        with suppress(BlockingIOError):  # it need not have been readable
            os.read(self.descriptor, 8)

    def close(self) -> None:
        """Ends it."""
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
