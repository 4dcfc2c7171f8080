"""The control lease: one row says which instance runs the signal loop, and until when.

The fencing number goes up with every taking, so that an earlier holder that wakes up late finds its
own outdated (`design.md` 5, point 7). The row also keeps what a person last asked of the loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Engine, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from domain.clock import seconds
from persistence.database import MainBase


class ControlLeaseRow(MainBase):
    """The one row of each lease; `asked` is "", "start" or "stop"."""

    __tablename__ = "control_lease"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    fencing_number: Mapped[int]
    expires_ns: Mapped[int] = mapped_column(BigInteger)
    asked: Mapped[str] = mapped_column(default="")


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds it, under which number, until when; `asked` is what a person last wanted."""

    owner: str
    fencing_number: int
    expires_ns: int
    asked: str = ""

    def holds(self, owner: str, now_ns: int) -> bool:
        """True while that owner may act."""
        return self.owner == owner and now_ns < self.expires_ns


_TABLE = ControlLeaseRow.__table__


class LeaseStore:
    """Takes, renews and releases one named lease; safe among processes by one guarded UPDATE."""

    def __init__(self, engine: Engine, name: str = "signal_loop") -> None:
        self._engine = engine
        self._is_ours = _TABLE.c.name == name
        self._name = name

    def read(self) -> Lease | None:
        """The row as it stands; None before the first taking."""
        with self._engine.connect() as connection:
            row = connection.execute(select(_TABLE).where(self._is_ours)).first()
        return Lease(row.owner, row.fencing_number, row.expires_ns, row.asked) if row else None

    def take(self, owner: str, now_ns: int, duration_s: float) -> Lease:
        """Takes the lease where it is free, expired or this owner's; gives the row as it then stands.

        Whoever calls looks at `owner` of the answer: another's name means it was not to be had.
        """
        expires_ns = now_ns + seconds(duration_s)
        is_free = or_(_TABLE.c.owner == owner, _TABLE.c.expires_ns <= now_ns)
        taken = update(_TABLE).where(self._is_ours, is_free)
        values = {
            "owner": owner,
            "fencing_number": _TABLE.c.fencing_number + 1,
            "expires_ns": expires_ns,
        }
        self._ensure_row()
        with self._engine.begin() as connection:
            connection.execute(taken.values(**values))
        lease = self.read()
        assert lease is not None
        return lease

    def renew(self, lease: Lease, now_ns: int, duration_s: float) -> Lease:
        """Moves the end of a held lease; the answer shows another owner or number if it was lost."""
        changed = self._change(lease, expires_ns=now_ns + seconds(duration_s))
        return changed or lease

    def release(self, lease: Lease) -> None:
        """Ends a held lease now, so that another instance need not wait."""
        self._change(lease, expires_ns=0)

    def remember(self, lease: Lease, asked: str) -> None:
        """Keeps what a person asked of the loop, so that a restart does not forget a stop."""
        self._change(lease, asked=asked)

    def _change(self, lease: Lease, **values: object) -> Lease | None:
        holder = (_TABLE.c.owner == lease.owner, _TABLE.c.fencing_number == lease.fencing_number)
        with self._engine.begin() as connection:
            connection.execute(update(_TABLE).where(self._is_ours, *holder).values(**values))
        return self.read()

    def _ensure_row(self) -> None:
        if self.read() is not None:
            return
        empty = {"name": self._name, "owner": "", "fencing_number": 0, "expires_ns": 0, "asked": ""}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(_TABLE).values(**empty))
        except IntegrityError:
            # Another instance made the row between the look and the insert: the UPDATE decides.
            return
