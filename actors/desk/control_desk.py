"""control_desk: the one door for what people (and later flows) ask of the runtime.

Hears DeskRequest from the status board; tells the actor concerned, waits for its word where there
is one, and answers DeskAnswered with an HTTP status and a body. Keeps whether entries
may be made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.actor import Actor
from domain.injection import signal_from_payload
from domain.intents import Signal
from domain.settings import Settings
from messages.base import Message
from messages.books import ReadPositions
from messages.codec import to_plain
from messages.control import (
    ApproveCommand,
    CloseRecorded,
    DeadLetterManaged,
    DecideOutcome,
    DeskAnswered,
    DeskRequest,
    InjectSignal,
    ManageDeadLetter,
    OutcomeDecided,
    PauseTrading,
    QualityScanned,
    ResumeAnswered,
    ResumeTrading,
    ScanQuality,
    SignalInjected,
    StartTrading,
    StopTrading,
    TradingResumed,
)
from messages.lifecycle import NodeRestarted, RestartNode
from messages.trading import CloseStructure, TradingModeChanged
from persistence.database import open_engine
from persistence.settings import RESUMED_NS, RUNNING, SettingStore

ANSWER_WITHIN_S = 5.0
SIGNAL_LOOP, RISK, GATE, EXECUTION = "signal_loop", "risk_agent", "breaker_gate", "execution_agent"
BOARD, RECORDER = "status_board", "recorder"


class ControlDesk(Actor):
    """Turns requests into commands and their outcomes into answers."""

    def start(self) -> None:
        self._waiting: dict[str, str] = {}
        self._pausing: dict[str, str] = {}
        self._injections = 0
        self._mode = "halted"
        self._killed = False
        self._settings = SettingStore(open_engine(self.context.runtime.database_url))
        auto_start = self.context.runtime.settings.auto_start
        first_life = self.context.life == 1
        self._running = auto_start if first_life else self._settings.read(RUNNING, auto_start)
        self._actions: dict[str, Callable[[DeskRequest], None]] = {
            "start": self._start_trading,
            "stop": self._stop_trading,
            "pause": self._pause,
            "resume": self._resume,
            "restart_node": self._restart_node,
            "inject_signal": self._inject,
            "close_structure": self._close_structure,
            "approve": self._approve,
            "dead_letter": self._dead_letter,
            "decide_outcome": self._decide_outcome,
            "scan": self._scan,
            "read_positions": self._read_positions,
        }
        self._settings.write(RUNNING, self._running)
        if self._running:
            self.context.announce(StartTrading(by="auto start"))
        self._report()

    # -- what people ask --

    def on_desk_request(self, message: DeskRequest) -> None:
        action = self._actions.get(message.action)
        if action is None:
            self._answer(message.request, 404, "UNKNOWN_ACTION", f"no action {message.action!r}")
            return
        if message.action != "scan":  # which changes nothing
            self.context.tell(RECORDER, message)
        action(message)

    def _start_trading(self, message: DeskRequest) -> None:
        if self._killed:
            text = "the kill latch is set; resume first, once its cause is gone"
            self._answer(message.request, 409, "KILLED", text)
            return
        self._set_running(True, message.by, "")
        self._answer(message.request, 200, "", "TOMIC runtime started")

    def _stop_trading(self, message: DeskRequest) -> None:
        self._set_running(False, message.by, "stopped by a person")
        self._answer(message.request, 200, "", "TOMIC runtime stopped; positions stay guarded")

    def _set_running(self, running: bool, by: str, reason: str) -> None:
        self._running = running
        self._settings.write(RUNNING, running)
        order = StartTrading(by=by) if running else StopTrading(by=by, reason=reason)
        self.context.announce(order)
        self._report()

    def _pause(self, message: DeskRequest) -> None:
        reason = str(message.body.get("reason") or "Manual pause")
        self.context.announce(PauseTrading(by=message.by, reason=reason))
        if self._killed:
            self._answer(message.request, 200, "", "TOMIC is paused already; it stays paused")
            return
        self._pausing[message.request] = reason
        self._expect(message.request, GATE)

    def _resume(self, message: DeskRequest) -> None:
        if not self._running:
            self._answer(message.request, 409, "NOT_RUNNING", "the runtime is stopped; start it")
            return
        self._expect(message.request, GATE)
        self._order(
            GATE, ResumeTrading(by=message.by, reply_to=self.context.name, request=message.request)
        )

    def _restart_node(self, message: DeskRequest) -> None:
        name, reason = (
            str(message.body["name"]),
            str(message.body.get("reason") or "asked by a person"),
        )
        if self.context.runtime.tree.find(name) is None:
            self._answer(message.request, 404, "UNKNOWN_NODE", f"no node {name!r} in the tree")
            return
        self.context.announce(RestartNode(name=name, reason=reason, by=message.by))
        self._answer(message.request, 202, "", f"{name} is being restarted")

    def _inject(self, message: DeskRequest) -> None:
        if self._takes_no_entries(message.request, "no signal is taken"):
            return
        self._injections += 1
        outcome = signal_from_payload(
            message.body, self.context.now_ns(), sequence=self._injections
        )
        if not isinstance(outcome, Signal):
            details = [{"field": fault.field, "message": fault.message} for fault in outcome]
            text = "; ".join(f"{fault.field}: {fault.message}" for fault in outcome)
            self._answer(message.request, 400, "INVALID_SIGNAL", text, details=details)
            return
        self._expect(message.request, RISK)
        self._order(
            RISK,
            InjectSignal(
                signal=outcome,
                payload=message.body,
                reply_to=self.context.name,
                request=message.request,
                by=message.by,
            ),
        )

    def _takes_no_entries(self, request: str, so: str) -> bool:
        """True when no entry may be made now, which is then the answer."""
        if self._running and not self._killed:
            return False
        state = "paused" if self._killed else "stopped"
        self._answer(request, 409, "NOT_RUNNING", f"the runtime is {state}; {so}")
        return True

    def _close_structure(self, message: DeskRequest) -> None:
        strategy_id = str(message.body["strategy_id"])
        reason = str(message.body.get("reason") or "manual")
        # Who asks again after a close was given up means it; one that is under way goes first.
        key = f"{strategy_id}:close:manual:{self.context.now_ns()}"
        self._expect(message.request, EXECUTION)
        self._order(
            EXECUTION,
            CloseStructure(
                strategy_id=strategy_id,
                reason=reason,
                key=key,
                by=message.by,
                request=message.request,
                reply_to=self.context.name,
            ),
        )

    def _approve(self, message: DeskRequest) -> None:
        if self._takes_no_entries(message.request, "entries that waited for a word were ended"):
            return
        self._order(
            EXECUTION,
            ApproveCommand(
                command_id=int(message.body["command_id"]),
                approved=bool(message.body["approved"]),
                by=message.by,
            ),
        )
        self._answer(message.request, 202, "", "handed to execution")

    def _dead_letter(self, message: DeskRequest) -> None:
        if self._killed and message.body["action"] == "retry":
            text = "the runtime is paused; resume first, then the order may be tried again"
            self._answer(message.request, 409, "PAUSED", text)
            return
        self._expect(message.request, EXECUTION)
        self._order(
            EXECUTION,
            ManageDeadLetter(
                command_id=int(message.body["command_id"]),
                action=str(message.body["action"]),
                by=message.by,
                reply_to=self.context.name,
                request=message.request,
            ),
        )

    def _decide_outcome(self, message: DeskRequest) -> None:
        self._expect(message.request, EXECUTION)
        self._order(
            EXECUTION,
            DecideOutcome(
                client_order_id=str(message.body["order"]),
                word=str(message.body["word"]),
                broker_order_id=str(message.body["broker_order_id"]),
                reason=str(message.body["reason"]),
                by=message.by,
                request=message.request,
            ),
        )

    def _scan(self, message: DeskRequest) -> None:
        self._expect(message.request, SIGNAL_LOOP)
        self.context.tell(
            SIGNAL_LOOP, ScanQuality(request=message.request, reply_to=self.context.name)
        )

    def _read_positions(self, message: DeskRequest) -> None:
        """Each trading broker's book is read now; what differs is the reconciler's to say."""
        for broker in self.context.runtime.brokers:
            if broker.executes:
                self.context.tell(f"account_sync.{broker.name}", ReadPositions(reason="a person"))
        self._answer(message.request, 202, "", "the brokers' positions are being read")

    # -- what they say to it --

    def on_resume_answered(self, message: ResumeAnswered) -> None:
        if message.cleared:
            self._settings.write(RESUMED_NS, self.context.now_ns())
            self.context.announce(TradingResumed())
            self._settle(message.request, 200, "", "TOMIC resumed")
        else:
            self._settle(message.request, 409, "STILL_HALTED", message.reason)

    def on_signal_injected(self, message: SignalInjected) -> None:
        if message.conflict:
            text = "this idempotency_key came before with another payload"
            self._settle(message.request, 409, "IDEMPOTENCY_CONFLICT", text)
            return
        body = {
            "pending_signals": message.pending,
            "correlation_id": message.correlation_id,
            "duplicate": message.duplicate,
            **message.first_result,
        }
        self._settle(message.request, 202, "", "signal accepted for evaluation", **body)

    def on_dead_letter_managed(self, message: DeadLetterManaged) -> None:
        code = "" if message.http_status < 400 else "DEAD_LETTER"
        self._settle(message.request, message.http_status, code, message.text)

    def on_close_recorded(self, message: CloseRecorded) -> None:
        self._settle(message.request, message.http_status, message.code, message.text)

    def on_outcome_decided(self, message: OutcomeDecided) -> None:
        self._settle(message.request, message.http_status, message.code, message.text)

    def on_quality_scanned(self, message: QualityScanned) -> None:
        self._settle(message.request, 200, "", "", data=to_plain(message.snapshot))

    def on_trading_mode_changed(self, message: TradingModeChanged) -> None:
        self._mode, self._killed = message.mode, message.killed
        if self._killed:
            for request, reason in self._pausing.items():
                self._settle(request, 200, "", f"TOMIC paused: {reason}")
            self._pausing.clear()
        self._report()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name == SIGNAL_LOOP and self._running:
            self.context.announce(StartTrading(by="restart of the signal loop"))

    # -- answers --

    def _order(self, whom: str, command: Message) -> None:
        """Tells a person's command to the one who carries it out, and to the audit trail."""
        self.context.tell(whom, command)
        self.context.tell(RECORDER, command)

    def _expect(self, request: str, whom: str) -> None:
        self._waiting[request] = whom
        self.context.after(ANSWER_WITHIN_S, lambda: self._give_up(request))

    def _give_up(self, request: str) -> None:
        whom = self._waiting.get(request)
        if whom is None:
            return
        text = f"{whom} did not answer in {ANSWER_WITHIN_S:.0f} s; nothing proves that it was done"
        if self._pausing.pop(request, ""):
            text = text.replace("it was done", "trading is paused")
        self._settle(request, 503, "NO_ANSWER", text)

    def _settle(self, request: str, status: int, code: str, text: str, **more: Any) -> None:
        if self._waiting.pop(request, None) is not None:
            self._answer(request, status, code, text, **more)

    def _answer(self, request: str, status: int, code: str, text: str, **more: Any) -> None:
        body: dict[str, Any] = {"status": "success" if status < 400 else "error", "message": text}
        if code:
            body["code"] = code
        self.context.tell(
            BOARD, DeskAnswered(request=request, http_status=status, body=body | more)
        )

    def _report(self) -> None:
        settings: Settings = self.context.runtime.settings
        self.context.report(
            {
                "running": self._running,
                "mode": settings.mode,
                "trading_mode": self._mode,
                "killed": self._killed,
            }
        )
