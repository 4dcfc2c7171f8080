"""The signal loop: asks for opinions, lets the router choose, and sends what may go on to risk.

Tells ScanRequested, RouteSignals, EvaluateSignal, SignalSetAside and the quality snapshot. Hears
their answers, the session, the gate's mode, the regime, the feed, and what became of each signal.
Holds the control lease: without it this instance enters nothing. Twins: cycle, quality.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from actors.actor import Actor, Context, Timer
from domain.clock import NS_PER_S, seconds
from domain.intents import Refusal, Signal
from domain.orders import CommandStatus
from domain.readings import Regime
from domain.routing.conflicts import REJECT
from domain.routing.cycle import EnqueueTable, GuardLimits, Guards, RejectStreaks, SessionView
from domain.routing.quality import (
    CycleResult,
    FeedView,
    LoopFigures,
    LoopView,
    loop_status,
    quality_snapshot,
)
from messages.codec import from_plain
from messages.control import QualityScanned, ScanQuality, StartTrading, StopTrading
from messages.lifecycle import NodeRestarted
from messages.market import (
    FeedStateChanged,
    FeedSwitched,
    FreshnessMarked,
    SessionClosed,
    SessionOpened,
)
from messages.trading import (
    CommandEnded,
    EvaluateSignal,
    OrderProposed,
    PositionChanged,
    RegimeChanged,
    RouteSignals,
    ScanCompleted,
    ScanRequested,
    SignalRefused,
    SignalSetAside,
    SignalsRouted,
    TradingModeChanged,
)
from persistence.commands import CommandStore
from persistence.database import open_engine
from persistence.lease import Lease, LeaseKeeper, LeaseStore

ROUTER, RISK = "conflict_router", "risk_agent"
# A status with which a command may still come to life; every other one ends it.
STILL_ALIVE = (CommandStatus.UNKNOWN_OUTCOME, CommandStatus.AWAITING_APPROVAL)


@dataclass(frozen=True)
class LoopSettings:
    """`scanners` are the agents a cycle waits for; seconds (`tomic.md` 2.3, 6.6)."""

    scanners: tuple[str, ...] = ("sniper_agent", "volatility_agent")
    opening_block_s: float = 900.0
    first_cycle_s: float = 2.0
    scan_deadline_s: float = 5.0
    dry_scan_deadline_s: float = 2.0
    dry_scan_every_s: float = 5.0
    evaluation_deadline_s: float = 30.0
    lease_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            may_be_zero = name in ("opening_block_s", "first_cycle_s", "dry_scan_every_s")
            if name.endswith("_s") and (value < 0 or (value == 0 and not may_be_zero)):
                raise ValueError(f"{name} must be greater than 0, not {value}")
        if not self.scanners:
            raise ValueError("scanners must name at least one agent")


@dataclass
class Scan:
    """One scan on its way; `asked` are the (request, reply_to) pairs that wait for its snapshot."""

    number: int
    dry: bool
    regime: Regime
    result: CycleResult
    asked: list[tuple[str, str]] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)
    is_routed: bool = False
    timer: Timer | None = None


class SignalLoop(Actor):
    """One cycle at a time; all it knows of others is the last it heard."""

    SETTINGS = LoopSettings
    settings: LoopSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._keys = keys = context.runtime.settings
        self._guards = Guards(0, GuardLimits.of(keys, settings.opening_block_s))
        self._table = EnqueueTable(keys.signal_enqueue_cooldown_s, settings.evaluation_deadline_s)
        self._streaks = RejectStreaks(keys.signal_reject_alert_threshold)
        self._risk_rejects: list[tuple[str, str]] = []
        self._canonical = next(iter(context.runtime.feed_sequence), "")
        self._feeds: dict[str, FeedView] = {}
        self._marks = (0, False, "")  # quotes seen, entry gate open, why not
        self._view = LoopView(feed=FeedView(broker=self._canonical))
        self._figures = LoopFigures(keys.signal_loop_interval_s, keys.signal_enqueue_cooldown_s)
        self._scans: dict[int, Scan] = {}
        self._scan_count = self._last_dry_ns = 0
        self._snapshot: dict[str, Any] = {}
        self._lease: Lease | None = None
        self._owner = context.runtime.installation

    def start(self) -> None:
        engine = open_engine(self.context.runtime.database_url)
        self._keeper = LeaseKeeper(LeaseStore(engine), self._owner, self.settings.lease_s)
        self._restore(CommandStore(engine))
        if self._keys.signal_loop_enabled:
            self._renew_lease()
            self.context.every(self.settings.lease_s / 3, self._renew_lease)
        self.context.every(self._keys.signal_loop_interval_s, self._begin_cycle)
        self._report(CycleResult())

    def stop(self) -> None:
        self._keeper.release()

    def _restore(self, commands: CommandStore) -> None:
        """What an earlier life knew of entries: which are on their way, which may not come again
        so soon.
        """
        alive = [row for row in commands.open_commands() if not row.is_exit]
        since_ns = self.context.now_ns() - seconds(self._keys.signal_enqueue_cooldown_s)
        self._table.restore(
            [(row.correlation_id, row.strategy_tag) for row in alive],
            [
                (from_plain(Signal, json.loads(row.payload)["signal"]), row.created_ns)
                for row in commands.entries_since(since_ns)
            ],
        )

    # -- people --

    def on_start_trading(self, _message: StartTrading) -> None:
        if self._guards.started_ns:
            return
        self._guards = replace(self._guards, started_ns=self.context.now_ns())
        self.context.after(self.settings.first_cycle_s, self._begin_cycle)
        self.context.after(self._keys.startup_enqueue_grace_s + 1, self._begin_cycle)

    def on_stop_trading(self, message: StopTrading) -> None:
        reason = f"{message.reason} ({message.by})"
        self._guards = replace(self._guards, started_ns=0, stop_reason=reason)
        self._report(CycleResult())

    def on_scan_quality(self, message: ScanQuality) -> None:
        asked = (message.request, message.reply_to)
        running = next((scan for scan in self._scans.values() if scan.dry), None)
        age_s = (self.context.now_ns() - self._last_dry_ns) / NS_PER_S
        if running:
            running.asked.append(asked)
        elif self._last_dry_ns and age_s < self.settings.dry_scan_every_s:
            answer = self._snapshot | {"cached": True, "cached_age_s": round(age_s, 1)}
            self._answer([asked], answer)
        else:
            self._last_dry_ns = self.context.now_ns()
            self._scan(dry=True, asked=[asked])

    # -- what the loop must know --

    def on_session_opened(self, message: SessionOpened) -> None:
        session = SessionView(True, message.always_open, message.opens_ns, message.closes_ns)
        self._guards = replace(self._guards, session=session)

    def on_session_closed(self, message: SessionClosed) -> None:
        self._guards = replace(self._guards, session=SessionView(reason=message.reason))

    def on_trading_mode_changed(self, message: TradingModeChanged) -> None:
        self._guards = replace(
            self._guards, mode=message.mode, killed=message.killed, mode_reason=message.reason
        )

    def on_regime_changed(self, message: RegimeChanged) -> None:
        self._view = replace(self._view, regime=message.regime)

    def on_freshness_marked(self, message: FreshnessMarked) -> None:
        mark = message.mark
        newest_ns = max(mark.quotes_ns.newest_ns, self._guards.live_tick_ns)
        self._guards = replace(self._guards, live_tick_ns=newest_ns)
        self._marks = (len(mark.quotes_ns), mark.gate_open, mark.gate_reason)
        self._show_feed()

    def on_feed_state_changed(self, message: FeedStateChanged) -> None:
        self._feeds[message.broker] = FeedView(
            broker=message.broker,
            state=message.state,
            reason=message.reason,
            listings=message.listings,
            connected=message.connected,
            last_message_ns=message.last_message_ns,
        )
        self._show_feed()

    def on_feed_switched(self, message: FeedSwitched) -> None:
        self._canonical = message.to_broker
        self._show_feed()

    def on_position_changed(self, message: PositionChanged) -> None:
        self._view = replace(self._view, book=message.book)

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name == RISK:
            self._table.forget_pending()

    # -- the cycle --

    def _begin_cycle(self) -> None:
        if any(not scan.dry for scan in self._scans.values()):
            return
        self._table.prune(self.context.now_ns())
        if self._now().scan_holds():
            self._report(CycleResult())
            return
        now_ns, cycles = self.context.now_ns(), self._figures.cycles + 1
        self._figures = replace(self._figures, cycles=cycles, last_cycle_ns=now_ns)
        self._scan(dry=False, asked=[])

    def _scan(self, *, dry: bool, asked: list[tuple[str, str]]) -> None:
        self._scan_count += 1
        source = "api" if dry else "loop"
        scan = Scan(self._scan_count, dry, self._view.regime, CycleResult(source=source), asked)
        self._scans[scan.number] = scan
        self.context.announce(ScanRequested(cycle=scan.number, regime=scan.regime, dry=dry))
        self._await(scan, lambda: self._scan_is_late(scan))

    def on_scan_completed(self, message: ScanCompleted) -> None:
        scan = self._scans.get(message.cycle)
        if scan is None or scan.is_routed or message.source in scan.heard:
            return
        if message.source not in self.settings.scanners:  # every agent hears the question
            return
        scan.heard.add(message.source)
        scan.result = scan.result.with_answer(message.signals, message.notes, message.inputs)
        if scan.heard >= set(self.settings.scanners):
            self._route(scan)

    def _scan_is_late(self, scan: Scan) -> None:
        missing = ", ".join(sorted(set(self.settings.scanners) - scan.heard))
        self._note_fault(scan, f"{missing} did not answer the scan in time")
        self._route(scan)

    def _route(self, scan: Scan) -> None:
        scan.is_routed = True
        signals, dry = scan.result.signals, scan.dry
        self.context.tell(
            ROUTER,
            RouteSignals(cycle=scan.number, signals=signals, regime=scan.regime, dry=dry),
        )
        self._await(scan, lambda: self._routing_is_late(scan))

    def _routing_is_late(self, scan: Scan) -> None:
        self._note_fault(scan, f"{ROUTER} did not answer in time")
        self._finish(scan)

    def on_signals_routed(self, message: SignalsRouted) -> None:
        scan = self._scans.get(message.cycle)
        if scan is None:
            return
        scan.result = scan.result.with_routing(
            message.accepted, message.decisions, message.diagnostics
        )
        self._enqueue(scan)
        if not scan.dry:
            self._count_rejects(scan)
        self._finish(scan)

    def _enqueue(self, scan: Scan) -> None:
        now_ns = self.context.now_ns()
        holds = self._now().entry_holds()
        tags = self._view.open_tags
        enqueued: list[Signal] = []
        held: list[tuple[Signal, Refusal]] = []
        for signal in scan.result.accepted:
            hold = holds[0] if holds else self._table.hold(signal, now_ns, tags)
            if hold:
                held.append((signal, hold))
                continue
            enqueued.append(signal)
            if not scan.dry:
                self._table.sent(signal, now_ns)
                number = self._figures.fencing_number
                self.context.tell(RISK, EvaluateSignal(signal=signal, fencing_number=number))
        scan.result = replace(scan.result, enqueued=tuple(enqueued), held=tuple(held))
        if scan.dry:
            return
        self._figures = replace(self._figures, last_enqueued=len(enqueued), last_skips=len(held))
        for signal, hold in held:
            self.context.announce(SignalSetAside(signal=signal, refusal=hold))

    def _finish(self, scan: Scan) -> None:
        if scan.timer:
            scan.timer.cancel()
        self._scans.pop(scan.number, None)
        self._answer(scan.asked, self._report(scan.result))

    def _count_rejects(self, scan: Scan) -> None:
        rejects = [
            (row.instrument, row.code) for row in scan.result.decisions if row.action == REJECT
        ]
        for instrument, code, count in self._streaks.count(rejects + self._risk_rejects):
            text = f"{instrument}: refused {count} cycles in a row, {code}"
            self.context.alert("RISK", text, f"reject:{instrument}:{code}:{count}")
        self._risk_rejects = []

    # -- what became of signals --

    def on_order_proposed(self, message: OrderProposed) -> None:
        self._table.accepted(message.intent.signal, self.context.now_ns())

    def on_signal_refused(self, message: SignalRefused) -> None:
        self._table.refused(message.signal.correlation_id)
        self._risk_rejects.append((message.signal.instrument, message.refusal.code))

    def on_command_ended(self, message: CommandEnded) -> None:
        if not message.is_exit and message.status not in STILL_ALIVE:
            self._table.ended(message.correlation_id)

    # -- small helpers --

    def _now(self) -> Guards:
        now_ns, lease = self.context.now_ns(), self._lease
        return replace(
            self._guards,
            now_ns=now_ns,
            lease_held=lease is not None and lease.holds(self._owner, now_ns),
            lease_owner=lease.owner if lease else "",
        )

    def _await(self, scan: Scan, is_late: Callable[[], None]) -> None:
        if scan.timer:
            scan.timer.cancel()
        deadline = self.settings.dry_scan_deadline_s if scan.dry else self.settings.scan_deadline_s
        scan.timer = self.context.after(deadline, is_late)

    def _note_fault(self, scan: Scan, text: str) -> None:
        scan.result = scan.result.with_fault(text)
        self._figures = replace(self._figures, last_error=text)
        if not scan.dry:
            self.context.alert("RISK", f"signal loop: {text}", "signal_loop_error")

    def _show_feed(self) -> None:
        seen = self._feeds.get(self._canonical, FeedView(broker=self._canonical))
        self._view = replace(self._view, feed=seen.with_marks(*self._marks))

    def _answer(self, asked: list[tuple[str, str]], snapshot: dict[str, Any]) -> None:
        for request, reply_to in asked:
            self.context.tell(reply_to, QualityScanned(request=request, snapshot=snapshot))

    def _report(self, result: CycleResult) -> dict[str, Any]:
        guards = self._now()
        self._snapshot = quality_snapshot(result, guards, self._view)
        self.context.report(self._snapshot | {"signal_loop": loop_status(guards, self._figures)})
        return self._snapshot

    # -- the control lease --

    def _renew_lease(self) -> None:
        now_ns = self.context.now_ns()
        self.context.work(lambda: self._keeper.hold(now_ns), self._keep_lease)

    def _keep_lease(self, answer: Lease | Exception) -> None:
        if isinstance(answer, Exception):
            # The lease runs out by itself; until then its holder may act, and then nobody may.
            self.context.alert("RISK", f"control lease not renewed: {answer}", "control_lease")
            return
        self._lease = answer
        self._figures = replace(self._figures, fencing_number=answer.fencing_number)
        if answer.owner != self._owner:
            text = f"the signal loop stays off here: {answer.owner} holds the control lease"
            self.context.alert("RISK", text, "control_lease")
