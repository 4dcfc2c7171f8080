"""Postman: one actor's mail, both ways. Letters out through an outbox a target, letters in in
order.

What is told goes out at the end of the event that caused it, to who handles orders first; what
came in is acknowledged after it was handled. The board keeps, beyond the life of either side, how
far the target came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from actors.hosting import board as states
from actors.hosting.board import Board
from actors.hosting.inbox import Inbox
from actors.hosting.outbox import CREDITS, Letter, Outbox
from actors.hosting.receipts import Receipts
from actors.hosting.timers import Timers
from actors.hosting.wire import Acknowledged, Address, Known, Mail, Posted, Transport
from domain.supervision.topology import Node

REACHABLE = (states.RUNNING, states.STOPPING, states.WAITING)
MAIL_BYTES_MAX = 1_000_000  # a frame of four is too large; a letter of more goes alone
RESEND_AFTER_NS = 20_000_000_000  # the transport gives up after 15 s, without a word


class Postman:
    """Mail of one life of one actor."""

    def __init__(
        self,
        name: str,
        life: int,
        board: Board,
        transport: Transport,
        timers: Timers,
        *,
        nodes: dict[str, Node],
        order_path: frozenset[str],
        is_stepped: bool,
    ) -> None:
        self.inbox = Inbox(name, life)
        self.receipts = Receipts(self.inbox, transport, timers)
        self.dead_letters = 0
        self.on_dead: Callable[[str, Letter], None] = lambda target, letter: None
        self._name, self._life = name, life
        self._board, self._transport = board, transport
        self._nodes, self._order_path, self._is_stepped = nodes, order_path, is_stepped
        self._outboxes: dict[str, Outbox] = {}
        self._table: dict[str, tuple[int, Address]] = {}
        self._changed: dict[str, Outbox] = {}

    def post(self, target: str, letter: Letter) -> None:
        """Puts a letter for a node. Raises MailboxFull, KeyError for a name of no node."""
        outbox = self._outboxes.get(target)
        if outbox is None:
            room = self._nodes[target].mailbox_max
            credits = room if self._is_stepped else CREDITS
            outbox = Outbox(self._name, self._life, target, room, credits)
            self._outboxes[target] = outbox
            if target in self._table:
                self._move(outbox, *self._table[target])
        outbox.put(letter)
        self._changed[target] = outbox

    def learn(self, known: Known) -> None:
        """The directory tells of new lives."""
        for entry in known.entries:
            if entry.life > self._table.get(entry.name, (0, None))[0]:
                self._table[entry.name] = (entry.life, entry.address)
                if entry.name in self._outboxes:
                    self._move(self._outboxes[entry.name], entry.life, entry.address)

    def _move(self, outbox: Outbox, life: int, address: Address) -> None:
        begun, ended = self._board.progress(outbox.target, outbox.life, self._name)
        outbox.moved(life, address, begun, ended)
        self._changed[outbox.target] = outbox
        dead, outbox.dead_letters = outbox.dead_letters, []
        for letter in dead:
            self.on_dead(outbox.target, letter)

    def acknowledged(self, frame: Acknowledged) -> None:
        """A target's host has handled letters."""
        outbox = self._outboxes[frame.name]
        outbox.acknowledge(frame.life, frame.count)
        self._changed[frame.name] = outbox

    def accept(self, mail: Mail) -> list[Posted]:
        """Letters to handle now, in order."""
        return self.inbox.accept(mail) or []

    def begin(self, sender: str, count: int) -> None:
        """A letter goes into its handler."""
        self._board.begin_letter(self._name, sender, count)

    def end(self, sender: str, count: int) -> None:
        """A letter shall not come again."""
        self._board.end_letter(self._name, sender, count)

    def pump(self) -> None:
        """Hands over what credits allow."""
        now_ns = time.monotonic_ns()
        for outbox in sorted(self._changed.values(), key=self._is_later):
            self._send(outbox, outbox.take(now_ns))
            self._board.set_depth(self._name, outbox.target, len(outbox))
        self._changed.clear()

    def _is_later(self, outbox: Outbox) -> bool:
        return outbox.target not in self._order_path

    def resend_overdue(self) -> None:
        """Sends again what was not acknowledged for long; the receiver drops what it had."""
        now_ns = time.monotonic_ns()
        for outbox in self._outboxes.values():
            letters = outbox.overdue(now_ns - RESEND_AFTER_NS)
            for _, letter in letters:
                letter.handed_ns = now_ns
            self._send(outbox, letters)

    def _send(self, outbox: Outbox, letters: Iterable[tuple[int, Letter]]) -> None:
        for part in _mails(letters):
            mail = Mail(
                to=outbox.target,
                to_life=outbox.life,
                sender=self._name,
                sender_life=self._life,
                first=outbox.first,
                letters=tuple(
                    Posted(count, letter.sent_ns, letter.announced, letter.data, letter.round)
                    for count, letter in part
                ),
                handled=self.receipts.take(outbox.target, outbox.address),
            )
            self._transport.send(outbox.address, mail)

    def waiting_for(self, target: str) -> int:
        """Letters that a node has not yet handled."""
        return len(self._outboxes.get(target, ()))

    def has_handled(self, target: str) -> bool:
        """True when a node has handled every letter, as the board says: acknowledgements may still
        be on their way."""
        outbox = self._outboxes.get(target)
        if outbox is None:
            return True
        return outbox.is_handled(self._board.progress(target, outbox.life, self._name)[1])

    def waiting_for_living(self, *, for_good: bool) -> int:
        """Letters not yet handled by targets that can still handle them; one that has not come up
        when the tree stops never will. Nor will a dead sibling before who is restarted with it
        has ended."""
        reachable = REACHABLE if for_good else (states.RUNNING,)
        return sum(
            len(outbox)
            for outbox in self._outboxes.values()
            if self._board.get(outbox.target, "state") in reachable
        )


def _mails(letters: Iterable[tuple[int, Letter]]) -> Iterator[list[tuple[int, Letter]]]:
    """The letters in order, as many at a time as one frame takes."""
    part: list[tuple[int, Letter]] = []
    size = 0
    for count, letter in letters:
        if part and size + letter.size_bytes > MAIL_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append((count, letter))
        size += letter.size_bytes
    if part:
        yield part
