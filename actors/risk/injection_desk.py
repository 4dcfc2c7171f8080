"""Signals that people injected: each a row before its answer, so that no life forgets one, and one
first result whoever asks again (`tomic.md` 13.6)."""

from __future__ import annotations

from typing import Any

from actors.actor import Context
from domain.intents import Signal
from messages.codec import from_plain, to_plain
from messages.control import InjectSignal, SignalInjected
from persistence.database import open_engine
from persistence.latches import Injection, end_injection, insert_injection, open_injections


class InjectionDesk:
    """State: the injected signals that have no result yet, by correlation id, as their rows."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._engine = open_engine(context.runtime.database_url)
        self.open: dict[str, Signal] = {
            row.correlation_id: from_plain(Signal, dict(row.signal))
            for row in open_injections(self._engine)
        }

    def take(self, message: InjectSignal) -> bool:
        """Writes the row and answers; True for a new one, which is to be judged."""
        signal = message.signal
        row = Injection(
            correlation_id=signal.correlation_id,
            idempotency_key=signal.idempotency_key,
            payload=message.payload,
            signal=to_plain(signal),
            result=None,
            at_ns=self._context.now_ns(),
        )
        standing, is_new = insert_injection(self._engine, row)
        conflict = not is_new and dict(standing.payload) != dict(message.payload)
        if is_new:
            self.open[signal.correlation_id] = signal
        answer = SignalInjected(
            request=message.request,
            correlation_id=standing.correlation_id,
            duplicate=not is_new,
            conflict=conflict,
            pending=len(self.open),
            first_result=dict(standing.result or {}) if not conflict else {},
        )
        self._context.tell(message.reply_to, answer)
        return is_new

    def end(self, correlation_id: str, result: dict[str, Any]) -> None:
        """Its result, on the row; nothing for a signal that was not injected or has one."""
        if self.open.pop(correlation_id, None):
            end_injection(self._engine, correlation_id, result)
