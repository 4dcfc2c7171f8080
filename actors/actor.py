"""Actor and Context: all an actor can do. Plain objects; only actors/host.py knows what carries
them.

An actor hears what it has a method for: `on_regime_changed` hears RegimeChanged. `tell` speaks to
one actor by name, `announce` to every actor that hears the message (the recorder hears all).
Handlers run one at a time and must not block: what blocks goes through `work`. A surprise raises,
and the host ends the process; its supervisor starts a new one by the same path as the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from actors.runtime import Runtime
from adapters.tick_bus import Batch
from messages.base import Message
from messages.lifecycle import ReportsWanted

Report = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class NoSettings:
    """For actors without settings."""


class Timer(Protocol):
    """What `after` and `every` give back."""

    def cancel(self) -> None:
        """The callback will not run any more."""


class Context(Protocol):
    """An actor's whole world. In a replay its clock is the recorded one and `work` runs in
    place.
    """

    name: str  # of the node in topology.yaml: "executor.zerodha"
    instance: str  # what a for_each instance serves: "zerodha"; "" otherwise
    life: int  # 1 at the first start, +1 at each restart
    runtime: Runtime
    log: Any  # loguru logger bound to the name; secrets are masked by its sink
    runtime_ends: bool  # in `drain`: the whole runtime stops; else this actor has a new life soon

    def now_ns(self) -> int:
        """Wall clock."""

    def monotonic_ns(self) -> int:
        """For ages and durations."""

    def tell(self, target: str, message: Message) -> None:
        """To one actor by name. MailboxFull when its outbox is full and the class says refuse."""

    def announce(self, message: Message) -> None:
        """A fact, to every actor that hears its class (never back to the sender)."""

    def remind(self, target: str, message: Message) -> None:
        """A fact that still stands, to an actor whose new life has not heard it, if it hears its
        class. No news: nobody else hears it, and it is not recorded again."""

    def has_handled(self, target: str) -> bool:
        """True when `target` has handled all that this life told it before this event."""

    def send_now(self) -> None:
        """What was told so far leaves now, not at the end of this event: others work meanwhile."""

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Runs `callback` once, on this actor's thread."""

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Runs `callback` again and again, with 10 % jitter (none in a replay)."""

    def work(self, call: Callable[[], Any], done: Callable[[Any], None], *, lane: str = "") -> None:
        """Runs blocking `call` in this actor's worker thread, then `done(result)` on the actor's
        thread. An exception of `call` arrives as the result. Calls of one lane run in order; each
        lane has a thread of its own, so that one that hangs holds up no other lane."""

    def publish(self, topic: str, columns: np.ndarray, meta: Mapping[str, Any]) -> None:
        """One batch on the bus; the class must name the topic's first word in PUBLISHES."""

    def subscribe(self, topic: str, handler: Callable[[Batch], None]) -> None:
        """All batches whose topic begins with `topic`, from every publisher in the tree."""

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Runs `callback` whenever the descriptor is readable; drain it to the end."""

    def unwatch(self, descriptor: int) -> None:
        """The descriptor is watched no more."""

    def report(self, body: Report) -> None:
        """What the status board shows of this actor; JSON-ready; the newest wins, at most one a
        second. It leaves when this event's mail has left; what is costly to put together is given
        as a function, which is asked then.
        """

    def report_again(self) -> None:
        """The newest report goes to a status board that has not seen it."""

    def alert(self, level: str, text: str, dedupe_key: str = "") -> None:
        """Announces AlertRaised and logs it."""


def handler_name(kind: type[Message]) -> str:
    """`RegimeChanged` -> `on_regime_changed`."""
    return "on_" + re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


class Actor:
    """Base of all actors.

    SETTINGS  dataclass of this actor's settings: types, defaults, and `__post_init__` checks that
              raise ValueError with a sentence; topology.yaml is checked against it.
    PUBLISHES first words of the bus topics this class publishes ("ticks", "bars", "chain").
    STEPPED   False for actors that stand outside the recorded clock of a replay (web, exchange).
    HEARS_ALL True for the recorder: it is told every announced fact through `on_message`.
    """

    SETTINGS: ClassVar[type] = NoSettings
    PUBLISHES: ClassVar[tuple[str, ...]] = ()
    STEPPED: ClassVar[bool] = True
    HEARS_ALL: ClassVar[bool] = False

    def __init__(self, context: Context, settings: Any) -> None:
        self.context = context
        self.settings = settings

    def start(self) -> None:
        """Called once before the first message: read back what must not be forgotten. May take
        seconds only where it must; the actor counts as ready when it returns."""

    def drain(self) -> bool:
        """Called when the tree stops, last child first, or when this actor is restarted while it
        lives. True when nothing is left to finish; the host asks again until then or until
        `shutdown_s` is over."""
        return True

    def stop(self) -> None:
        """Called once after drain, before the process ends: close files and sockets."""

    def on_reports_wanted(self, _message: ReportsWanted) -> None:
        self.context.report_again()

    def has_market_step(self, number: int) -> bool:
        """In a replay: True when this actor has all the market data of that step (shards
        override).
        """
        return True

    @classmethod
    def heard(cls) -> tuple[str, ...]:
        """Names of the message classes this actor has a handler for."""
        return tuple(
            name for name, kind in sorted(Message.TABLE.items()) if hasattr(cls, handler_name(kind))
        )
