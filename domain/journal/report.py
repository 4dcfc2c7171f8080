"""The one-page report of a session: what was seen, decided, refused and earned, from its facts.

`decisions_sha256` covers the decisions in order, with the exchange's times and without any other
clock, so that two runs over the same recording can be held against each other.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.clock import exchange_time
from domain.journal.ledger import Ledger
from domain.journal.sentences import Repeats, decision_line, is_decision, structure_name
from domain.orders import Fill, Purpose

# What a run's own machine decides, not the market: left out of the hash. A message's id counts what
# its sender has said before it, of a slow disk as well.
MEASURED = ("latency_ms", "cleared_by")


class ReportBuilder:
    """Takes facts in order; `result` is JSON-ready."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._decisions = 0
        self._counts: Counter[str] = Counter()
        self._signals: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._code_texts: dict[str, str] = {}
        self._refused: set[tuple[Any, str]] = set()
        self._phases: list[dict[str, Any]] = []
        self._orders: set[str] = set()
        self._ledger = Ledger()
        self._taken_back = 0
        self._lines: list[str] = []
        self._repeats = Repeats()
        self._first_ns = self._last_ns = 0

    def add(self, kind: str, at_ns: int, body: Mapping[str, Any]) -> None:
        """One fact."""
        self._counts[kind] += 1
        handler = getattr(self, f"_on_{kind}", None)
        if handler:
            handler(at_ns, body)
        self._collect_refusals(body)
        if is_decision(kind):
            self._first_ns = self._first_ns or at_ns
            self._last_ns = at_ns
            self._hash(kind, at_ns, body)
            line = decision_line(kind, body)
            if line and not self._repeats.is_repeat(kind, body, at_ns):
                self._lines.append(f"{exchange_time(at_ns):%H:%M:%S}  {line}")

    def result(self, seen: Mapping[str, Any]) -> dict[str, Any]:
        """The report; `seen` are figures of the run that stand in no fact (ticks, bars,
        timings).
        """
        gross, charges = self._ledger.gross, self._ledger.charges
        return {
            "from": _when(self._first_ns),
            "to": _when(self._last_ns),
            **seen,
            "regime_changes": self._phases,
            "signals": dict(sorted(self._signals.items())),
            "refusals": {
                code: {"count": count, "example": self._code_texts[code]}
                for code, count in sorted(self._codes.items(), key=lambda row: (-row[1], row[0]))
            },
            "orders": len(self._orders),
            "fills": self._counts["OrderFilled"],
            "structures_opened": self._counts["StructureOpened"],
            "structures_closed": self._counts["StructureClosed"] - self._taken_back,
            "entries_taken_back": self._taken_back,
            "gross_pnl": str(gross),
            "charges": str(charges),
            "net_pnl": str(gross - charges),
            "facts": sum(self._counts.values()),
            "decisions": self._decisions,
            "decisions_sha256": self._digest.hexdigest(),
            "lines": self._lines,
        }

    def _hash(self, kind: str, at_ns: int, body: Mapping[str, Any]) -> None:
        kept = {key: value for key, value in body.items() if key not in MEASURED}
        text = json.dumps([kind, at_ns, kept], sort_keys=True, separators=(",", ":"))
        self._digest.update(text.encode())
        self._decisions += 1

    def _collect_refusals(self, body: Mapping[str, Any]) -> None:
        """A signal or an order that is refused, deferred and ended for one reason counts once; what
        a scan finds wanting counts each scan, but for those that people asked for.
        """
        found = [] if body.get("dry") else list(body.get("notes") or [])
        refusal = body.get("refusal")
        if refusal:
            subject = body.get("command_id") or body.get("signal", {}).get("correlation_id")
            once = (subject, refusal["code"])
            if subject is None or once not in self._refused:
                found.append(refusal)
                self._refused.add(once)
        for row in found:
            self._codes[row["code"]] += 1
            self._code_texts.setdefault(row["code"], row["text"])

    def _on_RegimeChanged(self, at_ns: int, body: Mapping[str, Any]) -> None:
        regime = body["regime"]
        if not self._phases or self._phases[-1]["phase"] != regime["phase"]:
            self._phases.append(
                {
                    "at": _when(at_ns),
                    **{key: regime[key] for key in ("phase", "score", "timeframe")},
                }
            )

    def _on_SignalRaised(self, _at_ns: int, body: Mapping[str, Any]) -> None:
        self._signals[body["signal"]["strategy"]] += 1

    def _on_OrderAccepted(self, _at_ns: int, body: Mapping[str, Any]) -> None:
        self._orders.add(body["client_order_id"])

    def _on_StructureClosed(self, _at_ns: int, body: Mapping[str, Any]) -> None:
        self._taken_back += not body["stood"]

    def _on_OrderFilled(self, _at_ns: int, body: Mapping[str, Any]) -> None:
        fill = Fill(**(body["fill"] | {"price": Decimal(body["fill"]["price"])}))
        self._ledger.add(fill, Purpose(body["purpose"]))


def _when(at_ns: int) -> str:
    return exchange_time(at_ns).isoformat(timespec="seconds") if at_ns else ""


def page(report: Mapping[str, Any]) -> list[str]:
    """The report as lines for a terminal."""
    lines = [
        f"Session      {report['from']} to {report['to']}",
        f"Market       {report.get('ticks', '?')} ticks, {report.get('bars', '?')} bars",
    ]
    if report.get("derived"):
        lines.append(f"Derived      {', '.join(report['derived'])} (the recording has none)")
    if report.get("interval_s"):
        lines.append(
            f"Prices       stand for {report['interval_s']:.0f} s each, the recording's interval"
        )
    phases = [
        f"{row['at'][11:16]} {row['phase'].lower()} ({row['timeframe']})"
        for row in report["regime_changes"]
    ]
    lines.append(f"Regime       {', '.join(phases) or 'none'}")
    signals = [f"{count} {structure_name(name)}" for name, count in report["signals"].items()]
    lines.append(f"Signals      {', '.join(signals) or 'none'}")
    lines.append(f"Refusals     {sum(row['count'] for row in report['refusals'].values())}")
    lines += [
        f"  {row['count']:>5}  {code}: {row['example']}" for code, row in report["refusals"].items()
    ]
    lines += [
        f"Orders       {report['orders']}, fills {report['fills']}, structures opened "
        f"{report['structures_opened']}, closed {report['structures_closed']}, "
        f"entries taken back {report['entries_taken_back']}",
        f"P&L          {report['net_pnl']} rupees after {report['charges']} of charges"
        + (f"; open {report['unrealized']}" if report.get("unrealized") not in (None, "0") else ""),
        f"Decisions    {report['decisions']}, sha256 {report['decisions_sha256'][:16]}...",
    ]
    if report.get("latency"):
        took = report["latency"]
        lines.append(
            f"Latency      a step of the market to all decided: p50 {took['step_ms_p50']:.1f} ms, "
            f"p99 {took['step_ms_p99']:.1f} ms over {took['steps']} steps"
        )
    lines += [f"Warning      {text}" for text in report.get("warnings", ())]
    return lines
