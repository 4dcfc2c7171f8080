"""`--verify-journal`, as a user types it."""

from __future__ import annotations

import sqlite3
from datetime import date
from pathlib import Path

import pytest

import system
from domain.tape import BEGIN, TICKS
from persistence.database import JournalBase, open_engine
from persistence.journal import JournalStore
from persistence.tape import TapeWriter, run_folder


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """The command line, on a folder whose journal holds three facts."""
    engine = open_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    JournalBase.metadata.create_all(engine)
    store = JournalStore(engine)
    for number in range(3):
        store.append_fact(f"m{number}", "", "Noted", at_ns=number, body={"number": number})
    engine.dispose()
    return ["--verify-journal", "--data-dir", str(tmp_path), "--env-file", str(tmp_path / "env")]


def test_a_whole_journal_is_one_line_and_exit_0(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert system.main(words) == 0
    assert capsys.readouterr().out == "the journal is whole: 3 facts, 0 rows of the audit trail\n"


def test_a_changed_journal_names_the_row_and_exits_with_1(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("UPDATE facts SET body = replace(body, '1', '8') WHERE id = 2")
    connection.close()
    assert system.main(words) == 1
    assert "broken at facts, row 2" in capsys.readouterr().out


def test_a_journal_that_is_no_database_is_a_sentence_and_exit_1(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all" * 100)
    assert system.main(words) == 1
    assert "the journal cannot be read" in capsys.readouterr().out


def test_a_folder_without_a_journal_is_not_made_and_told(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert system.main([*words[:2], str(elsewhere), *words[3:]]) == 1
    assert "there is no journal in" in capsys.readouterr().out
    assert not elsewhere.exists()


def test_a_changed_byte_of_a_tape_is_found_too(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path, date(2026, 8, 19), 1)
    writer = TapeWriter(folder, 0)
    writer.append(BEGIN, 1, {"schema": 1, "after": ["", ""]})
    writer.append(TICKS, 2, {"rows": 0}, b"columns")
    assert system.main(words) == 0
    assert "1 tapes are whole: 2 records" in capsys.readouterr().out
    (folder / "columns.bin").write_bytes(b"c0lumns")
    assert system.main(words) == 1
    assert "the tape 2026-08-19/0001 is broken at record 2" in capsys.readouterr().out
