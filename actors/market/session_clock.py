"""The session clock: says when the segment opens and closes, by the calendar.

Hears NodeRestarted, after which it tells the present state again; announces SessionOpened and
SessionClosed. On the sandbox the session is always open and begins anew with each day.
"""

from __future__ import annotations

from typing import Any

from actors.actor import Actor, Context
from actors.market.following import SEGMENT, current_session
from actors.runtime import is_always_open
from domain.calendar import TradingSession
from domain.clock import NS_PER_S, exchange_time
from messages.lifecycle import NodeRestarted
from messages.market import SessionClosed, SessionOpened

# Wall clocks jump (a machine that slept, a correction): no appointment is trusted for longer.
LOOK_AGAIN_S = 60.0


class SessionClock(Actor):
    """State: what it told last."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._told: SessionOpened | SessionClosed | None = None

    def start(self) -> None:
        self._look()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if self._told:
            self.context.remind(message.name, self._told)

    def _look(self) -> None:
        now_ns = self.context.now_ns()
        session = current_session(self.context.runtime, now_ns)
        if session and session.contains(now_ns):
            self._tell(self._opened(session))
            next_ns = session.closes_ns
        else:
            next_ns = self._next_opens_ns(session, now_ns)
            self._tell(self._closed(session, now_ns, next_ns))
        delay_s = (next_ns - now_ns) / NS_PER_S
        self.context.after(min(max(delay_s, 0.001), LOOK_AGAIN_S), self._look)

    def _tell(self, state: SessionOpened | SessionClosed) -> None:
        if state == self._told:
            return
        self._told = state
        self.context.announce(state)
        if isinstance(state, SessionOpened):
            body = {"open": True, "reason": "", "closes_ns": state.closes_ns}
        else:
            body = {"open": False, "reason": state.reason, "opens_ns": state.next_opens_ns}
        self.context.report(body | {"day": state.day.isoformat()})

    def _opened(self, session: TradingSession) -> SessionOpened:
        return SessionOpened(
            day=session.day,
            opens_ns=session.opens_ns,
            closes_ns=session.closes_ns,
            intraday_exit_ns=session.intraday_exit_ns,
            square_off_ns=session.square_off_ns,
            always_open=is_always_open(self.context.runtime),
        )

    def _closed(self, session: TradingSession | None, now_ns: int, next_ns: int) -> SessionClosed:
        calendar = self.context.runtime.calendars[SEGMENT]
        day = session.day if session else exchange_time(now_ns).date()
        reason = calendar.closed_reason(now_ns) or "outside the hours set by the operator"
        return SessionClosed(day=day, reason=reason, next_opens_ns=next_ns)

    def _next_opens_ns(self, session: TradingSession | None, now_ns: int) -> int:
        if session and now_ns < session.opens_ns:
            return session.opens_ns
        runtime = self.context.runtime
        following = runtime.calendars[SEGMENT].next_session(now_ns)
        narrowed = current_session(runtime, following.opens_ns)
        return narrowed.opens_ns if narrowed else following.opens_ns
