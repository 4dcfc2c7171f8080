"""Metrics in Prometheus' text format, made from the cached parts at each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

NODE_GAUGES = {
    "restarts": "restarts since the start",
    "uptime_s": "seconds since the last start",
    "mailbox": "messages waiting",
    "mailbox_high": "most messages that ever waited",
    "handled": "messages handled in this life",
    "dead_letters": "messages of this life that nobody will handle",
    "mail_refused": "letters meant for another life or name",
    "busy_pct": "share of time in handlers, percent",
    "rss_mb": "resident memory, megabytes",
    "last_heartbeat_age_s": "seconds since the last heartbeat",
}
BUS_GAUGES = {
    "batches": "batches taken in this life",
    "rows": "ticks, bars and chain rows taken in this life",
    "gaps": "batches that the bus dropped on their way",
    "recovered": "prices that were lost so and were read from the last-price table",
    "waiting_max": "most batches that waited for one drain",
    "lag_ms_p50": "milliseconds from receipt to drain, median of the newest batches",
    "lag_ms_p99": "milliseconds from receipt to drain, 99th percentile of the newest batches",
}


def exposition(data: Mapping[str, Any], tree: Mapping[str, Any]) -> tuple[str, str]:
    """(text, content type) of all metrics."""
    registry = CollectorRegistry()
    registry.register(_Parts(data, tree))
    return generate_latest(registry).decode(), CONTENT_TYPE_LATEST


class _Parts(Collector):
    """One scrape's view of the parts."""

    def __init__(self, data: Mapping[str, Any], tree: Mapping[str, Any]) -> None:
        self._data, self._tree = data, tree

    def collect(self) -> Iterator[Metric]:
        yield from self._nodes()
        yield from self._breakers()
        yield from self._freshness()
        for family in ("orders", "queue", "ws_data", "market_bridge"):
            yield from _flat(f"tomic_{family}", self._data.get(family, {}))
        for family, label in (("feeds", "feed"), ("shards", "shard")):
            yield from _labelled(f"tomic_{label}", label, self._data.get(family, {}))
        yield from self._bus()

    def _nodes(self) -> Iterator[Metric]:
        rows = list(_walk(self._tree)) if self._tree else []
        up = GaugeMetricFamily("tomic_actor_up", "1 while the actor runs", labels=["actor"])
        for node in rows:
            up.add_metric([node["name"]], float(node["state"] in ("running", "paused")))
        yield up
        for key, text in NODE_GAUGES.items():
            gauge = GaugeMetricFamily(f"tomic_actor_{key}", text, labels=["actor"])
            for node in rows:
                if isinstance(node.get(key), (int, float)):
                    gauge.add_metric([node["name"]], float(node[key]))
            yield gauge

    def _bus(self) -> Iterator[Metric]:
        for key, text in BUS_GAUGES.items():
            gauge = GaugeMetricFamily(f"tomic_bus_{key}", text, labels=["subscriber", "source"])
            for subscriber, sources in self._data.get("bus", {}).items():
                for source, figures in sources.items():
                    gauge.add_metric([subscriber, source], float(figures[key]))
            yield gauge

    def _freshness(self) -> Iterator[Metric]:
        """One family for all: thousands of options must not be thousands of metric names."""
        text = "seconds since it was last seen, -1 never"
        gauge = GaugeMetricFamily("tomic_freshness_age_s", text, labels=["of"])
        for name, age_s in self._data.get("freshness", {}).items():
            gauge.add_metric([name], float(age_s))
        yield gauge

    def _breakers(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily("tomic_breaker_tripped", "1 while tripped", labels=["breaker"])
        for name, row in self._data.get("circuit_breakers", {}).get("breakers", {}).items():
            gauge.add_metric([name], float(bool(row.get("tripped"))))
        yield gauge


def _walk(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("children", ()):
        yield from _walk(child)


def _name(text: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in text).lower()


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[Metric]:
    for key, value in sorted(values.items()):
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}_{_name(key)}", value)
        elif isinstance(value, (bool, int, float)):
            yield GaugeMetricFamily(f"{prefix}_{_name(key)}", key, value=float(value))


def _labelled(prefix: str, label: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    keys = sorted({key for row in rows.values() for key, value in row.items() if _is_number(value)})
    for key in keys:
        gauge = GaugeMetricFamily(f"{prefix}_{_name(key)}", key, labels=[label])
        for name, row in rows.items():
            if _is_number(row.get(key)):
                gauge.add_metric([name], float(row[key]))
        yield gauge


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))
