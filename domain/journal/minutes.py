"""What happened in a minute, counted, and what of it is too much (`tomic.md` 2.3, 9.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.clock import NS_PER_MINUTE

COUNTS = (
    "orders_placed", "orders_filled", "orders_rejected", "stale_blocks", "failovers",
    "unhedged_incidents", "dead_letters", "lease_reclaims", "breaker_trips",
)  # fmt: skip
LATENCY_P99_MS_MAX = 500.0
REJECTS_SHARE_MAX = 0.10
REJECTS_JUDGED_FROM = 10  # one refusal of two orders is no rate
STALE_BLOCKS_AN_HOUR_MAX, LEASE_RECLAIMS_AN_HOUR_MAX = 20, 5
FAILOVERS_A_DAY_MAX = 3


@dataclass
class Minute:
    """The running minute, from `begins_ns` on. Latencies in milliseconds, slippage in ticks."""

    begins_ns: int
    counts: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    slippages: list[float] = field(default_factory=list)

    def count(self, name: str) -> None:
        """One more of that."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def filled(self, latency_ms: float, slippage_ticks: float) -> None:
        """A fill."""
        self.count("orders_filled")
        self.latencies_ms.append(latency_ms)
        self.slippages.append(slippage_ticks)

    def row(self) -> dict[str, Any] | None:
        """As the table keeps it; None for a minute in which nothing happened."""
        if not self.counts:
            return None
        counts = {name: self.counts.get(name, 0) for name in COUNTS}
        ended = counts["orders_filled"] + counts["orders_rejected"]
        took = sorted(self.latencies_ms)
        return {
            "minute_ns": self.begins_ns,
            **counts,
            "latency_avg_ms": sum(took) / len(took) if took else None,
            "latency_p99_ms": took[-(-99 * len(took) // 100) - 1] if took else None,
            "slippage_ticks": sum(self.slippages) / len(took) if took else None,
            "fill_rate": counts["orders_filled"] / ended if ended else None,
        }


def minute_of(at_ns: int) -> int:
    """The first moment of the minute."""
    return at_ns - at_ns % NS_PER_MINUTE


def faults_of(hour: Sequence[dict[str, Any]], day: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Sentences by a short key: what the rows of the last hour and of the day have too much of."""

    def total(rows: Sequence[dict[str, Any]], name: str) -> int:
        return sum(row[name] for row in rows)

    faults = {}
    slow = max((row["latency_p99_ms"] or 0.0 for row in hour), default=0.0)
    if slow > LATENCY_P99_MS_MAX:
        faults["latency"] = f"orders took {slow:.0f} ms to fill, limit {LATENCY_P99_MS_MAX:g} ms"
    refused, filled = total(hour, "orders_rejected"), total(hour, "orders_filled")
    ended = refused + filled
    if ended >= REJECTS_JUDGED_FROM and refused / ended > REJECTS_SHARE_MAX:
        faults["rejects"] = f"{refused} of {ended} orders of the last hour were refused"
    limits = (
        ("stale_blocks", hour, STALE_BLOCKS_AN_HOUR_MAX, "entries were blocked as stale this hour"),
        ("lease_reclaims", hour, LEASE_RECLAIMS_AN_HOUR_MAX, "orders changed hands this hour"),
        ("failovers", day, FAILOVERS_A_DAY_MAX, "feed failovers today"),
    )
    for name, rows, limit, text in limits:
        if total(rows, name) > limit:
            faults[name] = f"{total(rows, name)} {text}, limit {limit}"
    return faults
