"""`--replay DAY --expect`: what may be replayed, where it begins otherwise, and what it proves."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.runtime import ReplayPlan, fingerprint
from domain.clock import NS_PER_S
from domain.errors import ConfigurationFault
from domain.instruments import Kind, Listing
from domain.prices import TICK_DTYPE
from domain.settings import Settings
from domain.tape import BEGIN, END, FACT, LISTINGS, SCHEMA, TICKS, TapedRun, pack, pack_listings
from launch.command_line import parse
from launch.taped import expect, from_whole_tree, recorded_notes, replay_plan, taped_notes
from persistence.database import JournalBase, MarketBase, open_engine
from persistence.journal import JournalStore
from persistence.market import MarketStore
from persistence.tape import COLUMNS, TapeWriter, run_folder
from tests.kit.recorded_session import write_session
from tests.kit.recording_context import make_runtime

T0 = 1_787_119_020 * NS_PER_S  # 2026-08-19 11:27 at the exchange
INDEX = Listing(1, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)
MODE = {"mode": "active", "killed": False, "reason": "", "since_ns": T0}


def write_day(data_dir: Path, launch: int = 4, *, listings: bool = True) -> Path:
    """A run of one tick and one decision, and half a minute after the tick its end."""
    folder = run_folder(data_dir, date(2026, 8, 19), launch)
    writer = TapeWriter(folder, 0)
    head = {
        "schema": SCHEMA, "after": ["", ""], "continues": False, "launch": launch, "stepped": True,
        "always_open": True, "fingerprint": fingerprint(make_runtime(data_dir)),
        "standing": {"open positions": 2, "closed trades": 0},
    }  # fmt: skip
    writer.append(BEGIN, T0, head)
    if listings:
        writer.append(LISTINGS, T0, {}, pack_listings([INDEX]))
    ticks = np.zeros(1, TICK_DTYPE)
    ticks["received_ns"], ticks["listing"] = T0 + NS_PER_S, 1
    writer.append(TICKS, T0 + NS_PER_S, {"rows": 1}, pack(ticks))
    body = {"id": 1, "message_id": "m", "cause": "", "kind": "TradingModeChanged", "body": MODE}
    writer.append(FACT, T0, body)
    writer.append(END, T0 + 31 * NS_PER_S, {})
    return folder


def plan_of(*words: str) -> ReplayPlan:
    plan = replay_plan(parse(["--replay", *words]))
    assert plan
    return plan


def test_a_day_is_replayed_by_its_newest_run_and_a_run_by_its_own_folder(tmp_path: Path) -> None:
    first, second = write_day(tmp_path, 4), write_day(tmp_path, 10)
    newest = plan_of(str(first.parent), "--expect")
    assert (newest.file, newest.expect, newest.always_open) == (second, True, True)
    assert newest.interval_ns == 30 * NS_PER_S  # the last price stood so long
    named = plan_of(str(first))
    assert (named.file, named.expect) == (first, False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--replay", "{}/nothing"], "is no file, and no journaled day"),
        (["--replay", "{}/journal"], "holds no journaled run, and no recording"),
        (["--replay", "{}/prices.csv", "--expect"], "holds prices alone"),
        (["--replay", "{}", "--expect"], "holds prices alone"),
        (["--expect"], "--expect compares a --replay of a journaled day"),
        (["--replay", "{}/journal", "--history", "{}"], "--history goes with a file"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_sentence(
    tmp_path: Path, words: list[str], told: str
) -> None:
    (tmp_path / "prices.csv").touch()
    (tmp_path / "journal").mkdir()
    with pytest.raises(ConfigurationFault, match=told):
        replay_plan(parse([word.format(tmp_path) for word in words]))


def test_a_tape_that_is_not_what_was_written_proves_nothing_and_is_refused(tmp_path: Path) -> None:
    folder = write_day(tmp_path)
    data = (folder / COLUMNS).read_bytes()
    (folder / COLUMNS).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ConfigurationFault, match=r"is broken at record \d: its block"):
        plan_of(str(folder))


def test_a_run_that_ended_before_its_master_came_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="ended before it knew what is listed"):
        plan_of(str(write_day(tmp_path, listings=False)))


def replayed(tmp_path: Path, **more: Any) -> Any:
    """The runtime of a replay of the day, with empty databases."""
    runtime = make_runtime(tmp_path, replay=plan_of(str(write_day(tmp_path)), "--expect"), **more)
    JournalBase.metadata.create_all(open_engine(runtime.journal_url))
    MarketBase.metadata.create_all(open_engine(runtime.market_url))
    return runtime


def test_where_a_replay_begins_otherwise_is_said(tmp_path: Path) -> None:
    runtime = replayed(tmp_path)
    runtime.settings = dataclasses.replace(runtime.settings, capital=Decimal(5))
    assert taped_notes(runtime) == (
        "replays the run 2026-08-19/0004 of a replay",
        "the run began with 2 open positions, and a replay begins with none",
        "decides otherwise: settings capital: 1000000 then, 5 now",
    )


def test_the_volatilities_of_the_days_before_are_handed_over(tmp_path: Path) -> None:
    runtime = replayed(tmp_path)
    run = dataclasses.replace(
        runtime.replay.taped, volatilities=(("NIFTY", date(2026, 8, 18), 0.2),)
    )
    runtime.replay = dataclasses.replace(runtime.replay, taped=run)
    taped_notes(runtime)
    store = MarketStore(open_engine(runtime.market_url))
    assert store.iv_history("NIFTY") == [(date(2026, 8, 18), 0.2)]


@pytest.mark.parametrize(
    ("mode", "same", "told"),
    [
        ("active", True, "Decisions: 1 same, 0 missing, 0 extra, 0 changed"),
        ("halted", False, "Decisions: 0 same, 1 missing, 1 extra, 0 changed"),
    ],
)
def test_a_replay_is_as_expected_when_its_decisions_are_those_of_the_tape(
    tmp_path: Path, mode: str, same: bool, told: str
) -> None:
    runtime = replayed(tmp_path)
    store = JournalStore(open_engine(runtime.journal_url))
    store.append_fact("m", "", "TradingModeChanged", at_ns=T0, body=MODE | {"mode": mode})
    is_same, lines = expect(runtime)
    assert (is_same, lines[-1]) == (same, told)


def test_a_run_in_real_time_is_replayed_from_when_all_of_its_tree_ran(tmp_path: Path) -> None:
    run = plan_of(str(write_day(tmp_path))).taped
    assert isinstance(run, TapedRun)
    assert from_whole_tree(run).begin_ns == T0
    begun = dataclasses.replace(run.facts[0], kind="StartTrading", at_ns=T0 + 7)
    assert from_whole_tree(dataclasses.replace(run, facts=(begun,))).begin_ns == T0 + 7


def test_recorded_underlyings_that_nobody_follows_are_named(tmp_path: Path) -> None:
    for name in ("nifty", "banknifty", "finnifty"):
        write_session(tmp_path / f"{name}.csv", minutes=2, strikes=2)
    plan = plan_of(str(tmp_path))
    assert plan.interval_ns == 60 * NS_PER_S
    assert plan.recorded == ("BANKNIFTY", "FINNIFTY", "NIFTY")
    followed = Settings(feed_underlyings=(("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "INDIAVIX")))
    (note,) = recorded_notes(plan, followed)
    assert note == "recorded, and not among TOMIC_FEED_UNDERLYINGS: BANKNIFTY, FINNIFTY"
    whole = dataclasses.replace(plan, recorded=("NIFTY",))
    assert recorded_notes(whole, followed) == recorded_notes(None, followed) == ()
