"""Proof of the journal for people: that its chains of hashes hold, or where they do not."""

from __future__ import annotations

from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from persistence.journal import AuditRow, FactRow, JournalStore


def prove(url: str) -> tuple[bool, list[str]]:
    """Whether the journal is whole, and the lines that say so."""
    engine = create_engine(url)
    try:
        found = JournalStore(engine).verify()
        with engine.connect() as connection:
            facts, audits = (
                connection.execute(select(func.count()).select_from(table)).scalar()
                for table in (FactRow, AuditRow)
            )
    except SQLAlchemyError as failure:
        return False, [f"the journal cannot be read: {str(failure).splitlines()[0]}"]
    finally:
        engine.dispose()
    if not found:
        return True, [f"the journal is whole: {facts} facts, {audits} rows of the audit trail"]
    return False, [
        f"the journal is broken at {row.table}, row {row.row}: {row.text}" for row in found
    ]
