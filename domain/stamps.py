"""Times by name, packed for the way: who looks at none of them pays for none.

A mark of freshness names each option that is followed, goes out each second and is heard by a dozen
actors of whom four ask for single names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_TIMES = np.dtype("<i8")


@dataclass(frozen=True, eq=False)
class Stamps(Mapping[str, int]):
    """Nanoseconds since the epoch by name. `names` are UTF-8, a line each, in the order of `times`,
    which are little-endian integers of 8 bytes."""

    names: bytes = b""
    times: bytes = b""

    @classmethod
    def of(cls, times: Mapping[str, int]) -> Stamps:
        """What that mapping tells."""
        return cls.packed(times, np.array(list(times.values()), _TIMES))

    @classmethod
    def packed(cls, names: Iterable[str], times: np.ndarray) -> Stamps:
        """Names, of which none holds a line break, and the time of each."""
        return cls("\n".join(names).encode(), times.astype(_TIMES).tobytes())

    @property
    def newest_ns(self) -> int:
        """The latest of all; 0 without any."""
        return int(np.frombuffer(self.times, _TIMES).max(initial=0))

    def __getitem__(self, name: str) -> int:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.times) // _TIMES.itemsize

    @cached_property
    def _by_name(self) -> dict[str, int]:
        times = np.frombuffer(self.times, _TIMES).tolist()
        names = self.names.decode().split("\n") if times else []
        return dict(zip(names, times, strict=True))
