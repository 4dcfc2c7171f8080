"""Outbox: the letters for one target, with credits, so that a wedged neighbour costs only his own
mail.

At most so many letters are with the transport at a time as there are credits; the target's host
acknowledges after handling. The rest waits here, bounded, urgent first, and is sent again to the
target's next life. In a replay no letter waits for credits: its round waits for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from adapters.tick_bus import Batch
from domain.errors import MailboxFull

# enough to keep a target busy while an acknowledgement travels; 25 wedged targets fill 200 slots
CREDITS = 8
DEATHS_MAX = 1  # a letter in hand at more deaths than this is what killed them
LIFE_COUNTS = 1 << 32  # counts of one life of a sender; they must grow over its lives


@dataclass(slots=True)
class Letter:
    """One message to one target. `data` is what travels."""

    kind: str
    data: Any
    sent_ns: int
    subject: str = ""
    newest_wins: bool = False
    urgent: bool = False
    announced: bool = False
    round: int = 0
    handed_ns: int = 0
    deaths: int = 0

    @property
    def size_bytes(self) -> int:
        """Of what travels, without what wraps it."""
        return self.data.columns.nbytes if isinstance(self.data, Batch) else len(self.data)


@dataclass
class Outbox:
    """Mail of one life of `sender` for `target`; `room` is the target's `mailbox_max`. So many
    letters may be with the transport as `credits` says."""

    sender: str
    sender_life: int
    target: str
    room: int
    credits: int = CREDITS
    life: int = 0
    address: Any = None
    first: int = 0
    replaced: int = 0
    dead_letters: list[Letter] = field(default_factory=list)
    _count: int = 0
    _waiting: deque[Letter] = field(default_factory=deque)
    _in_flight: dict[int, Letter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._count = self.sender_life * LIFE_COUNTS
        self.first = self._count + 1

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight)

    def put(self, letter: Letter) -> None:
        """Adds a letter. When full, a newest-wins letter takes the place of its like, or of the
        oldest newest-wins letter; any other raises MailboxFull."""
        if len(self) >= self.room:
            self._make_room(letter)
            return
        self._append(letter)

    def _append(self, letter: Letter) -> None:
        if not letter.urgent:
            self._waiting.append(letter)
            return
        behind = sum(1 for other in self._waiting if other.urgent)
        self._waiting.insert(behind, letter)

    def _make_room(self, letter: Letter) -> None:
        like = oldest = None
        for position, other in enumerate(self._waiting):
            if other.newest_wins and oldest is None:
                oldest = position
            if other.newest_wins and (other.kind, other.subject) == (letter.kind, letter.subject):
                like = position
                break
        if letter.newest_wins and like is not None:
            self._waiting[like] = letter
        elif (letter.newest_wins or letter.urgent) and oldest is not None:
            del self._waiting[oldest]
            self._append(letter)
        else:
            raise MailboxFull(
                f"{letter.kind} was not told to {self.target}: its mailbox of {self.room} is full"
            )
        self.replaced += 1

    def take(self, now_ns: int) -> list[tuple[int, Letter]]:
        """Letters to hand to the transport now, with their counts."""
        taken = []
        while self.address is not None and self._waiting and len(self._in_flight) < self.credits:
            letter = self._waiting.popleft()
            self._count += 1
            letter.handed_ns = now_ns
            self._in_flight[self._count] = letter
            taken.append((self._count, letter))
        return taken

    def acknowledge(self, life: int, count: int) -> None:
        """The target has handled all letters up to `count`."""
        if life == self.life:
            for done in [number for number in self._in_flight if number <= count]:
                del self._in_flight[done]

    def is_handled(self, ended: int) -> bool:
        """True when the target, which has ended letters up to that count, has ended all."""
        return not self._waiting and all(count <= ended for count in self._in_flight)

    def moved(self, life: int, address: Any, begun: int, ended: int) -> None:
        """The target has a new life. What its last one did not end goes again, in order, before the
        rest; a letter that was in hand at too many deaths becomes a dead letter."""
        if life <= self.life:
            return
        again = []
        for count, letter in self._in_flight.items():
            if self.life and count <= ended:
                continue
            if self.life and count <= begun:
                letter.deaths += 1
            (self.dead_letters if letter.deaths > DEATHS_MAX else again).append(letter)
        self._waiting.extendleft(reversed(again))
        self._in_flight.clear()
        self.life, self.address, self.first = life, address, self._count + 1

    def overdue(self, before_ns: int) -> list[tuple[int, Letter]]:
        """All letters in flight, when the oldest was handed over before that time: to be sent
        again, for the transport drops what it could not deliver without a word."""
        if not self._in_flight or next(iter(self._in_flight.values())).handed_ns >= before_ns:
            return []
        return list(self._in_flight.items())
