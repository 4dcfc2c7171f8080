"""Message: what every message carries, and the table of tags by which they travel.

The host stamps `id`, `cause` and `at_ns` when a message is told, so an actor never writes them. Ids
are `{actor}:{launch}.{life}:{n}`, which repeats exactly in a replay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Overflow(StrEnum):
    """What happens to a message whose target's outbox is full."""

    REFUSE = "refuse"  # `tell` raises MailboxFull; the only choice where money is concerned
    NEWEST_WINS = "newest_wins"  # replaces the waiting message of the same class and `subject`


@dataclass(frozen=True, kw_only=True)
class Message:
    """Base of all messages; subclasses add their fields and register under their class name."""

    VERSION: ClassVar[int] = 1
    OVERFLOW: ClassVar[Overflow] = Overflow.REFUSE
    FACT: ClassVar[bool] = True  # False for readings that come again: no journal keeps them
    URGENT: ClassVar[bool] = False  # goes before waiting mail of the same target
    TABLE: ClassVar[dict[str, type[Message]]] = {}

    id: str = field(default="", repr=False)
    cause: str = field(default="", repr=False)
    at_ns: int = field(default=0, repr=False)

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        Message.TABLE[cls.__name__] = cls

    @classmethod
    def is_recorded(cls) -> bool:
        """True for what the journal keeps: facts, not readings that come again."""
        return cls.FACT and cls.OVERFLOW is not Overflow.NEWEST_WINS

    @property
    def subject(self) -> str:
        """What a newest-wins message replaces its like by; the class alone unless overridden."""
        return ""
