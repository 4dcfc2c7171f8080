"""recorder: every fact in order, on disk, hash-chained; the audit trail beside it.

Hears all announced messages. Tells nobody; writes the sentence of each decision to
`log/decisions.log`, which the terminal follows. A handled fact is durable: the host acknowledges
after the row is written, so what a dead recorder had not written is told again to its next life and
found by its id. On a disk that takes nothing facts wait in its memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

from actors.actor import Actor
from actors.journal.write_queue import WriteQueue
from domain.clock import exchange_time
from domain.journal.sentences import Repeats, decision_line
from messages.base import Message
from messages.codec import to_plain
from persistence.database import open_engine
from persistence.journal import JournalStore

STAMP = ("id", "cause", "at_ns")
AUDITED = {
    "StartTrading": "CONTROL",
    "StopTrading": "CONTROL",
    "PauseTrading": "CONTROL",
    "ResumeTrading": "CONTROL",
    "RestartNode": "CONTROL",
    "ApproveCommand": "CONTROL",
    "ManageDeadLetter": "DEAD_LETTER",
    "DecideOutcome": "EXECUTION",
    "OutcomeDecided": "EXECUTION",
    "TradingModeChanged": "RISK",
    "SignalRefused": "RISK",
    "BreakerTripped": "RISK",
    "InjectSignal": "SIGNAL",
    "OrderProposed": "EXECUTION",
    "OrderFilled": "EXECUTION",
    "OrderRejected": "EXECUTION",
    "OrderUnknown": "EXECUTION",
    "CommandEnded": "EXECUTION",
    "CloseStructure": "EXECUTION",
}


class Recorder(Actor):
    """Writes what everyone announces."""

    HEARS_ALL = True

    def start(self) -> None:
        self._store = JournalStore(open_engine(self.context.runtime.journal_url))
        path = Path(self.context.runtime.data_dir) / "log" / "decisions.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lines: TextIO = path.open("a", encoding="utf-8")
        self._facts = self._store.count_facts()
        self._repeats = Repeats()
        self._writes = WriteQueue(self.context)
        self._report()

    def on_message(self, message: Message) -> None:
        """Any announced fact."""
        self._writes.put(lambda: self._write(message))

    # Commands that control_desk tells to one actor alone; the audit trail has them from it.
    on_resume_trading = on_inject_signal = on_manage_dead_letter = on_message
    on_approve_command = on_close_structure = on_decide_outcome = on_desk_request = on_message

    def _write(self, message: Message) -> None:
        kind, body = type(message).__name__, to_plain(message)
        for key in STAMP:
            body.pop(key)
        added = self._store.append_fact(
            message.id, message.cause, kind, at_ns=message.at_ns, body=body
        )
        if kind in AUDITED:
            self._audit(message, kind, body)
        if not added:
            return
        self._facts += 1
        self._say(kind, body, message.at_ns)
        if self._facts % 50 == 1:
            self._report()

    def stop(self) -> None:
        self._lines.close()

    def _audit(self, message: Message, kind: str, body: dict[str, Any]) -> None:
        """`by` is `name@address` where a person asked, else the name of an actor."""
        who, _, address = str(body.get("by") or message.id.split(":")[0]).partition("@")
        self._store.append_audit(
            message.id,
            AUDITED[kind],
            kind,
            at_ns=message.at_ns,
            details=body,
            by=who,
            address=address,
        )

    def _say(self, kind: str, body: dict[str, Any], at_ns: int) -> None:
        line = decision_line(kind, body)
        if line and not self._repeats.is_repeat(kind, body, at_ns):
            try:
                self._lines.write(f"{exchange_time(at_ns):%H:%M:%S}  {line}\n")
                self._lines.flush()
            except OSError as failure:  # for the eye only: the fact stands in the journal
                self.context.log.warning("decisions.log cannot be written: {}", failure)

    def _report(self) -> None:
        self.context.report({"facts": self._facts})
