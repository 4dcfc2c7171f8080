"""notifier: brings alerts to a person: all to its log, the grave ones to the telephone.

Hears AlertRaised, TradingModeChanged and the session; sends through a messenger, again and again
until it goes through. What waits is kept in the `latches` row of its name. Twin: alerts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from actors.actor import Actor, Context
from adapters.catalogue import open_messenger
from adapters.ports import Delivery, Messenger
from domain import alerts
from domain.alerts import CRITICAL, INFO, RISK, Alert, KeyState, Outbox
from domain.clock import exchange_time
from domain.settings import Settings
from messages.lifecycle import AlertRaised
from messages.market import SessionClosed, SessionOpened
from messages.trading import TradingModeChanged
from persistence.database import open_engine
from persistence.latches import Latch, read_latch, write_latch

LOOK_EVERY_S = 1.0  # only while something is held or waits
MESSENGER = "telegram"  # whose token it is, in the runtime's keys
LOG_LEVELS = {CRITICAL: "CRITICAL", RISK: "WARNING"}


@dataclass(frozen=True)
class NotifierSettings:
    """`url`: root of the Telegram Bot API, or of a server that speaks it."""

    url: str = "https://api.telegram.org"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url={self.url!r} must begin with http:// or https://")


class Notifier(Actor):
    """State: what was told of each key and when, and what waits to be sent."""

    SETTINGS = NotifierSettings
    STEPPED = False  # a person's clock, not the recorded one

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._book: dict[str, KeyState] = {}
        self._outbox = Outbox()
        self._in_session = True  # until the session clock says otherwise
        self._killed: bool | None = None
        self._is_sending = self._looks = False
        self._sent, self._error = 0, ""
        self._head = "TOMIC (sandbox)" if context.runtime.sandbox else "TOMIC"
        self._cooldown_s: float = context.runtime.settings.alert_cooldown_s
        self._messenger, self._channel = self._open()

    def _open(self) -> tuple[Messenger | None, str]:
        """The messenger, and in words where grave alerts go."""
        runtime = self.context.runtime
        settings: Settings = runtime.settings
        token = runtime.keys.get(MESSENGER, "")
        if runtime.replay:
            return None, "log: a replay calls nobody"
        if not settings.telegram_alerts:
            return None, "log: TOMIC_TELEGRAM_ALERTS is false"
        if not token or not settings.telegram_chat_id:
            return None, "log: TELEGRAM_BOT_TOKEN or TELEGRAM_CHAT_ID is not set"
        return open_messenger(self.settings.url, token, settings.telegram_chat_id), "telegram"

    def start(self) -> None:
        if self._messenger:
            self._engine = open_engine(self.context.runtime.database_url)
            self._recall()
        self._pump()
        self._report()

    # -- what it hears --

    def on_alert_raised(self, message: AlertRaised) -> None:
        self._take(Alert(message.level, message.text, message.dedupe_key, message.at_ns))

    def on_trading_mode_changed(self, message: TradingModeChanged) -> None:
        before, self._killed = self._killed, message.killed
        if before is None and message.killed and self.context.life == 1:
            self._raise(CRITICAL, f"Trading is still stopped: {message.reason}", "kill")
        elif before and not message.killed:
            self._raise(INFO, "Trading resumed: the kill latch is cleared", "kill:cleared")

    def on_session_opened(self, _message: SessionOpened) -> None:
        self._in_session = True

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._in_session = False

    # -- what it does --

    def _raise(self, level: str, text: str, key: str) -> None:
        """An alert of its own: told to all others, who then do not tell it back."""
        self.context.alert(level, text, key)
        self._take(Alert(level, text, key, self.context.now_ns()))

    def _take(self, alert: Alert) -> None:
        self._book, verdict = alerts.hear(
            self._book, alert, self.context.now_ns(),
            cooldown_s=self._cooldown_s, in_session=self._in_session,
        )  # fmt: skip
        if verdict.alert:
            self._pass_on(verdict.alert)
        else:
            self.context.log.info("{} {} ({})", verdict.code, alert.line(), verdict.reason)
        self._look_later()
        self._report()

    def _pass_on(self, alert: Alert) -> None:
        self.context.log.log(LOG_LEVELS.get(alert.level, "INFO"), "{}", alert.line())
        if self._messenger and alerts.goes_out(alert):
            self._outbox = self._outbox.added(alert)
            self._keep()
            self._pump()

    def _look_later(self) -> None:
        waits = self._outbox.pending or any(row.held for row in self._book.values())
        if waits and not self._looks:
            self._looks = True
            self.context.after(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        self._looks = False
        self._book, due = alerts.release(
            self._book, self.context.now_ns(), cooldown_s=self._cooldown_s
        )
        for alert in due:
            self._pass_on(alert)
        self._pump()
        self._look_later()
        self._report()

    # -- the telephone --

    def _pump(self) -> None:
        """Sends the next message, one at a time, when its time has come."""
        messenger, now_ns = self._messenger, self.context.now_ns()
        if not messenger or self._is_sending or not self._outbox.pending:
            return
        if now_ns < self._outbox.next_ns <= now_ns + alerts.RETRY_MAX_NS:
            self._look_later()
            return
        message = self._outbox.message(self._head)
        self._is_sending = True
        self.context.work(
            lambda: messenger.send(message.text), lambda got: self._done(message, got)
        )

    def _done(self, message: alerts.Message, result: Delivery | Exception) -> None:
        self._is_sending = False
        if isinstance(result, Exception):  # its text may carry the address, and that the token
            result = Delivery(False, type(result).__name__)
        if result.delivered:
            self._outbox = self._outbox.sent(message)
            self._sent += len(message.alerts)
            self._error = ""
            self._keep()
            self._pump()
        else:
            now_ns = self.context.now_ns()
            self._outbox = self._outbox.failed(now_ns, wait_s=result.wait_s, lasting=result.lasting)
            self._error = result.reason
            self.context.log.warning(
                "{} alerts were not sent, attempt {}: {}",
                len(message.alerts), self._outbox.failures, result.reason,
            )  # fmt: skip
        self._look_later()
        self._report()

    # -- what must not be forgotten --

    def _keep(self) -> None:
        now_ns, outbox = self.context.now_ns(), self._outbox
        body = {
            "pending": [dataclasses.asdict(row) for row in outbox.pending],
            "dropped": outbox.dropped,
        }
        latch = Latch(
            name=self.context.name,
            engaged=bool(outbox.pending),
            day=exchange_time(now_ns).date().isoformat(),
            updated_ns=now_ns,
            body=body,
        )
        self.context.work(lambda: write_latch(self._engine, latch), self._kept)

    def _kept(self, result: Any) -> None:
        if isinstance(result, Exception):  # it is sent all the same while this life lasts
            self.context.log.warning("alerts that wait are not on disk: {}", result)

    def _recall(self) -> None:
        latch = read_latch(self._engine, self.context.name)
        body = (latch.body if latch else None) or {}
        pending = tuple(Alert(**row) for row in body.get("pending", []))
        self._outbox = Outbox(pending, dropped=int(body.get("dropped", 0)))

    def _report(self) -> None:
        self.context.report(
            {
                "channel": self._channel,
                "sent": self._sent,
                "pending": len(self._outbox.pending),
                "dropped": self._outbox.dropped,
                "held": sum(row.held is not None for row in self._book.values()),
                "failures": self._outbox.failures,
                "last_error": self._error,
            }
        )
