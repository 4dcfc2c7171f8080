"""Facts and audit are durable, in order, told once, and a changed byte shows."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from persistence.database import JournalBase, open_engine
from persistence.journal import JournalStore


@pytest.fixture
def store(tmp_path: Path) -> JournalStore:
    engine = open_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    JournalBase.metadata.create_all(engine)
    return JournalStore(engine)


def add(store: JournalStore, number: int, kind: str = "OrderFilled") -> int:
    return store.append_fact(f"actor:1:{number}", "", kind, at_ns=number, body={"number": number})


def test_facts_come_back_in_the_order_they_were_told(store: JournalStore) -> None:
    for number in (5, 3, 9):
        add(store, number)
    assert [fact.body["number"] for fact in store.facts()] == [5, 3, 9]


def test_a_repeated_message_is_no_second_fact(store: JournalStore) -> None:
    assert add(store, 1) > 0
    assert add(store, 1) == 0
    assert add(store, 2) > 0
    assert store.count_facts() == 2
    assert store.verify() == []


def test_a_new_life_goes_on_with_the_chain(tmp_path: Path, store: JournalStore) -> None:
    add(store, 1)
    reopened = JournalStore(open_engine(f"sqlite:///{tmp_path / 'journal.db'}"))
    add(reopened, 2)
    assert reopened.verify() == []


def test_a_changed_byte_breaks_the_chain_at_its_row(tmp_path: Path, store: JournalStore) -> None:
    for number in range(1, 6):
        add(store, number)
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("UPDATE facts SET body = replace(body, '3', '8') WHERE id = 3")
    connection.close()
    assert [(row.table, row.row) for row in store.verify()] == [("facts", 3)]


def test_a_removed_row_breaks_the_chain(tmp_path: Path, store: JournalStore) -> None:
    for number in range(1, 4):
        add(store, number)
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("DELETE FROM facts WHERE id = 2")
    connection.close()
    assert [row.row for row in store.verify()] == [3]


def test_audit_is_filtered_by_category_newest_first(store: JournalStore) -> None:
    for number, category in enumerate(("CONTROL", "RISK", "CONTROL")):
        store.append_audit(
            f"m{number}", category, "Act", at_ns=number, details={}, by="me", address=""
        )
    assert [row["message_id"] for row in store.audit(10, "CONTROL")] == ["m2", "m0"]
    assert len(store.audit(2)) == 2
    assert store.verify() == []


ENTRY = {
    "event_id": "S:entry:journal", "correlation_id": "c", "strategy_id": "S", "strategy_tag": "T",
    "instrument": "NIFTY", "exchange": "NFO", "direction": "SELL", "quantity": 65,
    "entry_price": 45.0, "entry_reason": "why", "entry_reason_meta": "{}",
    "regime_phase": "CONGESTION", "regime_score": 0, "vix_at_entry": 16.0, "sizing_chain": "[]",
    "fill_rate": 1.0,
    "entry_ns": 1_000_000_000,
}  # fmt: skip


def test_a_trade_is_written_once_and_renewed_until_its_close(store: JournalStore) -> None:
    store.write_entry(ENTRY)
    store.write_entry(ENTRY | {"quantity": 130, "entry_price": 44.5})
    (row,) = store.entries()
    assert (row["quantity"], row["entry_price"], row["exit_price"]) == (130, 44.5, None)
    assert row["pcr_at_entry"] is None


def test_a_trade_is_opened_once_and_closed_once(store: JournalStore) -> None:
    amounts = {"gross": Decimal("100.00"), "charges": Decimal("20.50"), "net": Decimal("79.50")}
    end = {"reason": "tp_hit", "detail": "", "exit_price": 20.5, "amounts": amounts}
    store.write_entry(ENTRY)
    store.write_entry(ENTRY)
    assert store.close_entry("S", at_ns=61_000_000_000, **end)
    assert not store.close_entry("S", at_ns=99_000_000_000, **end | {"reason": "external"})
    (row,) = store.entries()
    assert (row["pnl"], row["exit_reason"], row["hold_duration_s"]) == ("79.50", "tp_hit", 60)
