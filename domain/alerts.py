"""Which alerts reach a person, and when: once at the edge, then not again before a cool-down is
over (`tomic.md` 10.5).

An alert is of a key. Its first is passed on at once. What comes under the same key within the
cool-down is held, the newest only, and passed on when the cool-down ends, with how often it came;
one that is graver than what was last told does not wait. Market data is allowed to be silent
outside of the session: what is said of it then is not passed on, unless it is critical.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.clock import NS_PER_S, seconds

CRITICAL, RISK, SIGNAL, REGIME, INFO = LEVELS = ("CRITICAL", "RISK", "SIGNAL", "REGIME", "INFO")
SENT_LEVELS = (CRITICAL, RISK)  # to the telephone; the log gets all (`tomic.md` 2.1)
QUIET_TOPICS = ("feed", "shard")  # first words of keys that say nothing outside of the session
TOLD, COOLING, QUIET = "TOLD", "COOLING", "QUIET_OUTSIDE_SESSION"

PENDING_MAX = 200
MESSAGE_CHARACTERS_MAX = 4000  # a Telegram message takes 4096 (Bot API, sendMessage)
RETRY_FIRST_NS, RETRY_MAX_NS = seconds(1.0), seconds(300.0)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `level` is a word of LEVELS; `count` is how often it came since it was told."""

    level: str
    text: str
    key: str
    at_ns: int
    count: int = 1

    def line(self) -> str:
        """As a person reads it."""
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.level}: {self.text}{times}"


@dataclass(frozen=True, slots=True)
class KeyState:
    """What was told of a key last, and what is held until `told_ns` plus the cool-down."""

    told: Alert
    told_ns: int
    held: Alert | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to an alert now: its code and the sentence for the log; `alert` when it is
    passed on."""

    code: str
    reason: str
    alert: Alert | None = None


Book = Mapping[str, KeyState]


def hear(
    book: Book, alert: Alert, now_ns: int, *, cooldown_s: float, in_session: bool
) -> tuple[dict[str, KeyState], Verdict]:
    """The book after an alert, and what becomes of it. An alert without a key is its own."""
    alert = alert if alert.key else replace(alert, key=f"{alert.level}:{alert.text}")
    if not in_session and is_quiet(alert):
        text = "outside of the session market data may be silent; the alert stays in the log"
        return dict(book), Verdict(QUIET, text)
    state = book.get(alert.key)
    age_ns = now_ns - state.told_ns if state else 0
    cooling = state is not None and 0 <= age_ns < cooldown_s * NS_PER_S
    if state is not None and cooling and not _is_graver(alert, state.told):
        count = state.held.count + 1 if state.held else 1
        held = replace(state, held=replace(alert, count=count))
        left_s = cooldown_s - age_ns / NS_PER_S
        text = f"told {age_ns / NS_PER_S:.0f} s ago; the next word on it is due in {left_s:.0f} s"
        return {**book, alert.key: held}, Verdict(COOLING, text)
    return {**book, alert.key: KeyState(alert, now_ns)}, Verdict(TOLD, "", alert)


def release(
    book: Book, now_ns: int, *, cooldown_s: float
) -> tuple[dict[str, KeyState], list[Alert]]:
    """The book when cool-downs have ended, and what was held until then; keys that hold nothing are
    forgotten."""
    kept: dict[str, KeyState] = {}
    due: list[Alert] = []
    for key, state in book.items():
        if 0 <= now_ns - state.told_ns < cooldown_s * NS_PER_S:
            kept[key] = state
        elif state.held is not None:
            kept[key] = KeyState(state.held, now_ns)
            due.append(state.held)
    return kept, due


def is_quiet(alert: Alert) -> bool:
    """True for what is said of market data and is not critical."""
    topic = alert.key.replace(":", ".").split(".")[0]
    return topic in QUIET_TOPICS and alert.level != CRITICAL


def goes_out(alert: Alert) -> bool:
    """True for what a person is called for, beyond the log and the pages."""
    return alert.level in SENT_LEVELS


def _is_graver(alert: Alert, than: Alert) -> bool:
    return alert.level in LEVELS and LEVELS.index(alert.level) < LEVELS.index(than.level)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to send: its text, the alerts in it, and how many dropped ones it tells of."""

    text: str
    alerts: tuple[Alert, ...]
    dropped: int


@dataclass(frozen=True, slots=True)
class Outbox:
    """What waits to be sent, oldest first; the next attempt is not before `next_ns`. `dropped`
    counts those that found no room and that no message has told of."""

    pending: tuple[Alert, ...] = ()
    failures: int = 0
    next_ns: int = 0
    dropped: int = 0

    def added(self, alert: Alert) -> Outbox:
        """With one more; when there is no room the oldest one makes it, of those not critical
        first."""
        rows = [*self.pending, alert]
        if len(rows) <= PENDING_MAX:
            return replace(self, pending=tuple(rows))
        rows.remove(next((row for row in rows if row.level != CRITICAL), rows[0]))
        return replace(self, pending=tuple(rows), dropped=self.dropped + 1)

    def message(self, head: str) -> Message:
        """The next message: `head` and as many alerts as it takes, at least one."""
        lines = [head]
        alerts: list[Alert] = []
        if self.dropped:
            lines.append(f"{self.dropped} older alerts found no room; they stand in the log")
        size = sum(len(line) + 1 for line in lines)
        for alert in self.pending:
            line = alert.line()
            if alerts and size + len(line) > MESSAGE_CHARACTERS_MAX:
                break
            lines.append(line)
            alerts.append(alert)
            size += len(line) + 1
        return Message("\n".join(lines)[:MESSAGE_CHARACTERS_MAX], tuple(alerts), self.dropped)

    def sent(self, message: Message) -> Outbox:
        """That message went through."""
        rows = tuple(row for row in self.pending if row not in message.alerts)
        return Outbox(rows, dropped=self.dropped - message.dropped)

    def failed(self, now_ns: int, *, wait_s: float, lasting: bool) -> Outbox:
        """An attempt failed: the next comes after 1, 2, 4 ... 300 s, after what the server asked
        for when that is longer, and after 300 s at once when only a person can change it."""
        pause_ns = min(RETRY_FIRST_NS * 2 ** min(self.failures, 10), RETRY_MAX_NS)
        if lasting:
            pause_ns = RETRY_MAX_NS
        pause_ns = max(pause_ns, min(seconds(wait_s), RETRY_MAX_NS))
        return replace(self, failures=self.failures + 1, next_ns=now_ns + pause_ns)
