"""Receipts: the acknowledgements that a host owes its senders.

One that is sent alone wakes a sender who has nothing to do with it, at the very moment in which
somebody who was just told something needs the processor. So it waits a little, and travels with
mail that goes there anyhow.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from actors.hosting.inbox import Inbox
from actors.hosting.outbox import CREDITS
from actors.hosting.timers import HeapTimer, Timers
from actors.hosting.wire import Acknowledged, Address, Mail, Transport

SENT_WITHIN_NS = 5_000_000
OWED_LETTERS_MAX = CREDITS // 2  # with more a sender might soon have to wait for us


@dataclass
class _Owed:
    address: Address
    letters: int = 0


class Receipts:
    """What one life of an actor took and has not yet acknowledged."""

    def __init__(self, inbox: Inbox, transport: Transport, timers: Timers) -> None:
        self._inbox, self._transport, self._timers = inbox, transport, timers
        self._owed: dict[str, _Owed] = {}
        self._timer: HeapTimer | None = None

    def owe(self, mail: Mail, address: Address, *, at_once: bool = False) -> None:
        """The letters of this mail are handled: its sender is to hear of it."""
        if self._inbox.refuses(mail):
            return
        owed = self._owed.setdefault(mail.sender, _Owed(address))
        owed.address = address
        owed.letters += len(mail.letters)
        if at_once or owed.letters >= OWED_LETTERS_MAX:
            self.send()
        elif self._timer is None:
            self._timer = self._timers.once(time.monotonic_ns() + SENT_WITHIN_NS, self.send)

    def take(self, sender: str, address: Address) -> int:
        """For mail that goes to that address: up to which count its letters are handled; 0 when
        nothing is owed."""
        owed = self._owed.get(sender)
        if owed is None or owed.address != address:
            return 0
        del self._owed[sender]
        return self._inbox.last_count(sender)

    def send(self) -> None:
        """All that is owed, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        inbox = self._inbox
        for sender, owed in self._owed.items():
            frame = Acknowledged(inbox.name, inbox.life, inbox.last_count(sender))
            self._transport.send(owed.address, frame)
        self._owed.clear()
