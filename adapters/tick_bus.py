"""The tick bus: columnar batches over pyzmq, one PUB socket a publisher, sequence numbers a topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Batch:
    """One columnar batch as a subscriber gets it.

    `sequence` counts per source and topic from 1; `missed` is how many batches were lost before it.
    `meta` is small and msgpack-ready.
    """

    topic: str
    source: str
    sequence: int
    sent_ns: int
    columns: np.ndarray
    meta: Mapping[str, Any]
    missed: int = 0
