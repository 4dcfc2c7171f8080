"""The control lease: one row says which instance runs the signal loop, and until when.

The fencing number goes up with every taking, so that an earlier holder that wakes up late finds its
own outdated (`design.md` 5, point 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from domain.clock import seconds
from domain.errors import LeaseLost
from persistence.database import MainBase
from persistence.statement import Statement

SIGNAL_LOOP = "signal_loop"


class ControlLeaseRow(MainBase):
    """The one row of each lease."""

    __tablename__ = "control_lease"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    fencing_number: Mapped[int]
    expires_ns: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds it, under which number, until when."""

    owner: str
    fencing_number: int
    expires_ns: int

    def holds(self, owner: str, now_ns: int) -> bool:
        """True while that owner may act."""
        return self.owner == owner and now_ns < self.expires_ns


_TABLE: Any = ControlLeaseRow.__table__
_HELD = Statement(
    select(_TABLE.c.owner, _TABLE.c.fencing_number).where(_TABLE.c.name == bindparam("of_name"))
)


@dataclass(frozen=True, slots=True)
class Fence:
    """Under what something was decided: who held the control lease, and its number then."""

    owner: str
    fencing_number: int

    def check(self, connection: Connection) -> None:
        """Within a writing transaction: raises LeaseLost when another has taken the lease since. A
        next life of the same owner's loop stands by what the last one decided."""
        for owner, number in _HELD.rows(connection, of_name=SIGNAL_LOOP):
            if owner != self.owner and number > self.fencing_number:
                raise LeaseLost(
                    f"{owner} took the control lease (number {number}) after this "
                    f"entry was decided under number {self.fencing_number}"
                )


class LeaseStore:
    """Takes, renews and releases one named lease; safe among processes by one guarded UPDATE."""

    def __init__(self, engine: Engine, name: str = SIGNAL_LOOP) -> None:
        self._engine = engine
        self._is_ours = _TABLE.c.name == name
        self._name = name

    def read(self) -> Lease | None:
        """The row as it stands; None before the first taking."""
        with self._engine.connect() as connection:
            row = connection.execute(select(_TABLE).where(self._is_ours)).first()
        return Lease(row.owner, row.fencing_number, row.expires_ns) if row else None

    def take(self, owner: str, now_ns: int, duration_s: float) -> Lease:
        """Takes the lease where it is free, expired or this owner's; gives the row as it is then.

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
        """Moves the end of a held lease; the answer shows another holder if it was lost."""
        changed = self._change(lease, expires_ns=now_ns + seconds(duration_s))
        return changed or lease

    def release(self, lease: Lease) -> None:
        """Ends a held lease now, so that another instance need not wait."""
        self._change(lease, expires_ns=0)

    def _change(self, lease: Lease, **values: object) -> Lease | None:
        holder = (_TABLE.c.owner == lease.owner, _TABLE.c.fencing_number == lease.fencing_number)
        with self._engine.begin() as connection:
            connection.execute(update(_TABLE).where(self._is_ours, *holder).values(**values))
        return self.read()

    def _ensure_row(self) -> None:
        if self.read() is not None:
            return
        empty = {"name": self._name, "owner": "", "fencing_number": 0, "expires_ns": 0}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(_TABLE).values(**empty))
        except IntegrityError:
            # Another instance made the row between the look and the insert: the UPDATE decides.
            return


class LeaseKeeper:
    """One owner's hand on a lease; `hold` blocks and belongs to one worker thread."""

    def __init__(self, store: LeaseStore, owner: str, duration_s: float) -> None:
        self._store, self._owner, self._duration_s = store, owner, duration_s
        self._lease: Lease | None = None
        self._is_fenced_off = False

    def hold(self, now_ns: int) -> Lease:
        """Renews what is held, else takes what is free; the answer may name another owner.

        Raises RuntimeError once a newer life of the same owner has taken it: this one must not act.
        """
        if not self._is_fenced_off:
            self._lease = self._renewed(now_ns)
        if self._is_fenced_off or self._lease is None:
            raise RuntimeError("a newer life of this loop holds the control lease")
        return self._lease

    def release(self) -> None:
        """Lets go, so that another instance need not wait for the end."""
        if self._lease and self._lease.owner == self._owner and not self._is_fenced_off:
            self._store.release(self._lease)

    def _renewed(self, now_ns: int) -> Lease:
        held = self._lease
        if held is None or not held.holds(self._owner, now_ns):
            return self._store.take(self._owner, now_ns, self._duration_s)
        lease = self._store.renew(held, now_ns, self._duration_s)
        is_newer = lease.fencing_number != held.fencing_number
        self._is_fenced_off = is_newer and lease.owner == self._owner
        return lease
