"""Guards, the enqueue table, reject streaks."""

from dataclasses import replace

import pytest

from domain.clock import seconds
from domain.intents import Bias, Signal, StrategyType
from domain.routing.cycle import (
    EnqueueTable,
    GuardLimits,
    Guards,
    RejectStreaks,
    SessionView,
    dedupe_key,
    strategy_tag,
)

OPENS = seconds(10_000)
NOW = OPENS + seconds(900)
READY = Guards(
    now_ns=NOW,
    limits=GuardLimits(),
    session=SessionView(True, False, OPENS, OPENS + seconds(22_500)),
    started_ns=NOW - seconds(60),
    lease_held=True,
    mode="active",
    live_tick_ns=NOW,
)


def codes(holds):
    return [hold.code for hold in holds]


def test_nothing_holds_a_loop_that_is_ready():
    assert READY.scan_holds() == ()
    assert READY.entry_holds() == ()


@pytest.mark.parametrize(
    ("change", "scan", "entry"),
    [
        ({"started_ns": 0}, ["STOPPED"], ["STOPPED"]),
        ({"lease_held": False}, ["NOT_CONTROL_INSTANCE"], ["NOT_CONTROL_INSTANCE"]),
        ({"killed": True, "mode": "halted"}, ["KILLED"], ["KILLED"]),
        ({"mode": ""}, [], ["MODE_UNKNOWN"]),
        ({"mode": "halted"}, [], ["MODE_HALTED"]),
        ({"mode": "reducing"}, [], ["MODE_REDUCING"]),
        ({"session": SessionView(reason="weekend")}, ["MARKET_CLOSED"], ["MARKET_CLOSED"]),
        ({"now_ns": NOW - 1}, [], ["OPENING_BLOCK", "START_GRACE"]),
        ({"started_ns": NOW - seconds(59.9)}, [], ["START_GRACE"]),
        ({"live_tick_ns": 0}, [], ["NO_LIVE_TICK"]),
        ({"live_tick_ns": NOW - seconds(61)}, [], ["NO_LIVE_TICK"]),
        ({"limits": GuardLimits(enabled=False)}, ["LOOP_DISABLED"], ["LOOP_DISABLED"]),
    ],
)
def test_each_guard_holds_what_it_should(change, scan, entry):
    guards = replace(READY, **change)
    assert codes(guards.scan_holds()) == scan
    assert codes(guards.entry_holds()) == entry


def test_off_hours_override_lets_scan_but_never_enter():
    limits = GuardLimits(allow_offhours_scan=True)
    guards = replace(READY, limits=limits, session=SessionView(reason="after the close"))
    assert guards.scan_holds() == ()
    assert codes(guards.entry_holds()) == ["MARKET_CLOSED"]


def test_always_open_sandbox_has_no_opening_block():
    session = SessionView(True, True, NOW, NOW + seconds(1_000))
    assert replace(READY, session=session).entry_holds() == ()


def test_market_hours_can_be_left_unenforced():
    guards = replace(READY, limits=GuardLimits(enforce_hours=False), session=SessionView())
    assert guards.entry_holds() == ()


def test_live_tick_can_be_left_unasked():
    guards = replace(READY, limits=GuardLimits(require_live_tick=False), live_tick_ns=0)
    assert guards.entry_holds() == ()


def test_reasons_are_sentences_with_their_numbers():
    guards = replace(READY, started_ns=NOW - seconds(12))
    assert guards.entry_holds()[0].text == "12 of 60 s since start; no entries yet"
    guards = replace(READY, lease_held=False, lease_owner="there:/var")
    assert "there:/var" in guards.scan_holds()[0].text


def signal(number=1, strategy=StrategyType.IRON_CONDOR, instrument="NIFTY"):
    return Signal(
        correlation_id=f"c{number}", source="VOLATILITY", instrument=instrument, strategy=strategy,
        direction="SELL", bias=Bias.NEUTRAL,
    )  # fmt: skip


def hold_code(table, one, now_ns=NOW, tags=()):
    hold = table.hold(one, now_ns, tags)
    return hold.code if hold else None


@pytest.fixture
def table():
    return EnqueueTable(cooldown_s=300, answer_within_s=30)


def test_keys_and_tags():
    assert dedupe_key(signal()) == "NIFTY:IRON_CONDOR:SELL"
    assert dedupe_key(replace(signal(), direction="")) == "NIFTY:IRON_CONDOR:NA"
    assert strategy_tag(signal()) == "TOMIC_IRON_CONDOR_NIFTY"


def test_signal_with_risk_is_not_sent_again(table):
    table.sent(signal(1), NOW)
    assert hold_code(table, signal(2)) == "AWAITING_RISK"
    assert hold_code(table, signal(3, instrument="BANKNIFTY")) is None


def test_refusal_costs_no_cooldown(table):
    table.sent(signal(1), NOW)
    table.refused("c1")
    assert hold_code(table, signal(2)) is None


def test_cooldown_begins_when_risk_accepts_and_outlives_the_command(table):
    table.sent(signal(1), NOW)
    table.accepted(signal(1), NOW + seconds(5))
    assert hold_code(table, signal(2)) == "ENTRY_PENDING"
    table.ended("c1")
    assert hold_code(table, signal(2), NOW + seconds(304.9)) == "COOLDOWN"
    assert hold_code(table, signal(2), NOW + seconds(305)) is None


def test_command_alive_blocks_longer_than_the_cooldown(table):
    table.accepted(signal(1), NOW)
    assert hold_code(table, signal(2), NOW + seconds(10_000)) == "ENTRY_PENDING"


def test_open_position_of_the_tag_blocks(table):
    assert hold_code(table, signal(1), tags={"TOMIC_IRON_CONDOR_NIFTY"}) == "POSITION_OPEN"
    assert hold_code(table, signal(1), tags={"TOMIC_IRON_CONDOR_BANKNIFTY"}) is None


def test_entries_found_on_disk_block_after_a_restart(table):
    table.restore([("c9", "TOMIC_IRON_CONDOR_NIFTY")], [])
    assert hold_code(table, signal(1)) == "ENTRY_PENDING"
    table.ended("c9")
    assert hold_code(table, signal(1)) is None


def test_a_cooldown_goes_on_after_a_restart_from_when_it_began(table):
    table.restore([], [(signal(1), NOW - seconds(299))])
    assert hold_code(table, signal(2)) == "COOLDOWN"
    assert table.hold(signal(2), NOW + seconds(1), ()) is None


def test_unanswered_evaluation_is_given_up_after_its_deadline(table):
    table.sent(signal(1), NOW)
    table.prune(NOW + seconds(29))
    assert hold_code(table, signal(2)) == "AWAITING_RISK"
    table.prune(NOW + seconds(30))
    assert hold_code(table, signal(2)) is None


def test_new_life_of_risk_frees_what_was_with_it(table):
    table.sent(signal(1), NOW)
    table.forget_pending()
    assert hold_code(table, signal(2)) is None


def test_pruning_keeps_a_running_cooldown(table):
    table.accepted(signal(1), NOW)
    table.ended("c1")
    table.prune(NOW + seconds(299))
    assert hold_code(table, signal(2), NOW + seconds(299)) == "COOLDOWN"


def test_streak_is_told_at_n_and_2n_only():
    streaks = RejectStreaks(3)
    told = [streaks.count([("NIFTY", "SECTOR_HEAT")]) for _ in range(7)]
    assert [bool(one) for one in told] == [False, False, True, False, False, True, False]
    assert told[2] == (("NIFTY", "SECTOR_HEAT", 3),)


def test_streak_ends_with_a_cycle_without_refusal():
    streaks = RejectStreaks(2)
    streaks.count([("NIFTY", "X")])
    streaks.count([])
    assert streaks.count([("NIFTY", "X")]) == ()


def test_streaks_are_counted_by_reason_and_once_a_cycle():
    streaks = RejectStreaks(2)
    assert streaks.count([("NIFTY", "X"), ("NIFTY", "X")]) == ()
    assert streaks.count([("NIFTY", "Y")]) == ()
    assert streaks.count([("NIFTY", "Y")]) == (("NIFTY", "Y", 2),)
