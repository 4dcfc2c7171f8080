"""Inbox: puts letters of each sender in order, drops what came twice, refuses mail meant for
others."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.hosting.wire import Mail, Posted


@dataclass
class _Stream:
    life: int
    next_count: int
    held: dict[int, Posted] = field(default_factory=dict)


@dataclass
class Inbox:
    """What one life of an actor takes in."""

    name: str
    life: int
    refused: int = 0
    repeated: int = 0
    _streams: dict[str, _Stream] = field(default_factory=dict)

    def accept(self, mail: Mail) -> list[Posted] | None:
        """The letters that are due now, in the sender's order; None when the mail is not for this
        life or from an earlier life of the sender (ports and names come back)."""
        if self.refuses(mail):
            self.refused += 1
            return None
        stream = self._streams.get(mail.sender)
        if stream is None or mail.sender_life > stream.life:
            stream = self._streams[mail.sender] = _Stream(mail.sender_life, mail.first)
        for letter in mail.letters:
            if letter.count < stream.next_count or letter.count in stream.held:
                self.repeated += 1
            else:
                stream.held[letter.count] = letter
        due = []
        while stream.next_count in stream.held:
            due.append(stream.held.pop(stream.next_count))
            stream.next_count += 1
        return due

    def refuses(self, mail: Mail) -> bool:
        """Whether it is not for this life, or from an earlier life of the sender."""
        stream = self._streams.get(mail.sender)
        stale = stream is not None and mail.sender_life < stream.life
        return stale or (mail.to, mail.to_life) != (self.name, self.life)

    def last_count(self, sender: str) -> int:
        """Count of the last letter given out of that sender."""
        return self._streams[sender].next_count - 1
