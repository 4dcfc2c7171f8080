"""What risk must not forget, on a real file."""

from __future__ import annotations

import pytest

from persistence.database import MainBase, open_engine
from persistence.latches import (
    Injection,
    Latch,
    delete_latch,
    end_entry,
    end_injection,
    insert_injection,
    number_entry,
    open_entries,
    open_injections,
    read_injection,
    read_latch,
    read_latches,
    write_latch,
)


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'tomic.db'}", durable=True)
    MainBase.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_a_latch_survives_and_is_replaced_whole(engine):
    assert read_latch(engine, "kill") is None
    write_latch(engine, Latch("kill", True, "2026-11-20", "loss", 5, 6, {"a": [1, "x"]}))
    assert read_latch(engine, "kill") == Latch(
        "kill", True, "2026-11-20", "loss", 5, 6, {"a": [1, "x"]}
    )
    write_latch(engine, Latch("kill", False, "2026-11-21", "", 7, 8))
    assert read_latch(engine, "kill") == Latch("kill", False, "2026-11-21", "", 7, 8, {})


def test_latches_are_found_by_the_beginning_of_their_name(engine):
    for name in ("watch:B", "watch:A", "watchman", "kill"):
        write_latch(engine, Latch(name))
    assert [row.name for row in read_latches(engine, "watch:")] == ["watch:A", "watch:B"]
    delete_latch(engine, "watch:A")
    delete_latch(engine, "watch:A")
    assert [row.name for row in read_latches(engine, "watch:")] == ["watch:B"]


def injection(correlation_id="c1", key="k1", **payload):
    return Injection(correlation_id, key, payload, {"id": correlation_id}, None, 1)


def test_a_repeated_key_finds_the_first_row(engine):
    first, is_new = insert_injection(engine, injection(lots=1))
    assert is_new
    standing, is_new = insert_injection(engine, injection("c2", lots=2))
    assert not is_new
    assert standing == first


def test_injections_without_a_key_do_not_meet(engine):
    assert insert_injection(engine, injection("c1", ""))[1]
    assert insert_injection(engine, injection("c2", ""))[1]
    assert not insert_injection(engine, injection("c1", ""))[1]


def test_a_result_is_written_once(engine):
    insert_injection(engine, injection())
    assert [row.correlation_id for row in open_injections(engine)] == ["c1"]
    assert end_injection(engine, "c1", {"result": "enqueued"})
    assert not end_injection(engine, "c1", {"result": "other"})
    assert not end_injection(engine, "nobody", {})
    assert open_injections(engine) == []
    assert read_injection(engine, "c1").result == {"result": "enqueued"}


def numbered(engine, correlation_id, day="20261120", tag="TOMIC_X"):
    row = number_entry(engine, correlation_id, tag, day=day, body={"m": "1"}, at_ns=3)
    return row.strategy_id


def test_entries_are_counted_by_day_and_kind(engine):
    assert numbered(engine, "a") == "TOMIC_X_20261120_1"
    assert numbered(engine, "b") == "TOMIC_X_20261120_2"
    assert numbered(engine, "c", tag="TOMIC_Y") == "TOMIC_Y_20261120_1"
    assert numbered(engine, "d", day="20261123") == "TOMIC_X_20261123_1"


def test_the_same_signal_gets_the_same_number_in_every_life(engine):
    first = numbered(engine, "a")
    numbered(engine, "b")
    assert numbered(engine, "a", day="20261123") == first


def test_an_ended_entry_is_no_longer_open_but_keeps_its_number(engine):
    first = numbered(engine, "a")
    end_entry(engine, first)
    assert open_entries(engine) == []
    assert numbered(engine, "b") == "TOMIC_X_20261120_2"
    assert [row.strategy_id for row in open_entries(engine)] == ["TOMIC_X_20261120_2"]
