"""Rate limits: a moving window a caller and endpoint group, in memory (`openalgo.md` 1.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW_S = 1.0


class RateLimiter:
    """Counts calls of the last second; `monotonic_s` is a clock that never goes back."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def refusal(self, caller: str, group: str, per_s: int) -> str:
        """Empty when the call is taken, else the limit in words; a refused call is not counted."""
        now_s = self._monotonic_s()
        calls = self._calls.setdefault((caller, group), deque(maxlen=per_s))
        while calls and now_s - calls[0] >= WINDOW_S:
            calls.popleft()
        if len(calls) >= per_s:
            return f"{per_s} per 1 second"
        calls.append(now_s)
        return ""
