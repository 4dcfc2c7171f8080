"""The signal loop with a hand-moved clock: cycles, guards, cool-down, dry scans, the lease."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from actors.routing.signal_loop import LoopSettings, SignalLoop
from domain.clock import seconds
from domain.intents import (
    Bias,
    Refusal,
    ResolvedStructure,
    RouteDecision,
    Signal,
    SizedIntent,
    StrategyType,
)
from domain.orders import ENTRY_COMMAND, CommandRow, CommandStatus
from domain.readings import FreshnessMark, Phase, Regime
from domain.settings import Settings
from domain.stamps import Stamps
from messages.codec import to_plain
from messages.control import QualityScanned, ScanQuality, StartTrading, StopTrading
from messages.lifecycle import NodeRestarted
from messages.market import FreshnessMarked, SessionClosed, SessionOpened
from messages.trading import (
    CommandEnded,
    EvaluateSignal,
    OrderProposed,
    RegimeChanged,
    RouteSignals,
    ScanCompleted,
    ScanRequested,
    SignalRefused,
    SignalSetAside,
    SignalsRouted,
    TradingModeChanged,
)
from persistence.commands import CommandStore
from persistence.database import MainBase, open_engine
from persistence.lease import LeaseStore
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

REGIME = Regime(
    version=3, phase=Phase.CONGESTION, score=0, vix=18.0, vix_flags=(), as_of_ns=START_NS
)


def a_signal(number=1, instrument="NIFTY"):
    return Signal(
        correlation_id=f"c{number}", source="VOLATILITY", instrument=instrument,
        strategy=StrategyType.IRON_CONDOR, direction="SELL", bias=Bias.NEUTRAL, strength=70.0,
    )  # fmt: skip


def an_intent(signal):
    structure = ResolvedStructure("NIFTY", 26_000.0, (), 80.0, 78.0, 200.0, 0.0, 35.0, START_NS)
    return SizedIntent(
        strategy_id="TOMIC_IRON_CONDOR_NIFTY_20261120_1", strategy_tag="TOMIC_IRON_CONDOR_NIFTY",
        idempotency_key="k", correlation_id=signal.correlation_id, signal=signal,
        structure=structure, quantity=65, lots=1, product="NRML", loss_per_unit=120.0,
        margin_required=Decimal(50_000), sizing=(), regime_version=3, regime_phase="CONGESTION",
        regime_score=0, vix=18.0, entry_reason="", valid_until_ns=0,
    )  # fmt: skip


@pytest.fixture
def make(tmp_path):
    """Builds a loop on its own database; all guards are open after `open_guards`."""
    runtime = make_runtime(tmp_path)
    engine = open_engine(runtime.database_url)
    MainBase.metadata.create_all(engine)
    engine.dispose()

    def build(settings=None, **keys):
        runtime.settings = Settings(**keys)
        context = RecordingContext("signal_loop", runtime)
        loop = SignalLoop(context, settings or LoopSettings(scanners=("volatility_agent",)))
        loop.start()
        return loop, context

    return build


def open_guards(loop, context):
    """Session, mode, regime and start; then the clock passes the grace and a live tick comes."""
    now = context.now_ns()
    session = SessionOpened(
        day=None, opens_ns=now - seconds(3_600), closes_ns=now + seconds(20_000),
        intraday_exit_ns=0, square_off_ns=0,
    )  # fmt: skip
    context.deliver(loop, session)
    context.deliver(loop, TradingModeChanged(mode="active", killed=False, reason="", since_ns=now))
    context.deliver(loop, RegimeChanged(regime=REGIME))
    context.deliver(loop, StartTrading(by="test"))
    context.deliver(loop, FreshnessMarked(mark=a_mark(now)))


def a_mark(at_ns):
    return FreshnessMark(
        as_of_ns=at_ns, expires_ns=at_ns, quotes_ns=Stamps.of({"NIFTY": at_ns}), iv_ns={},
        vix_ns=at_ns, switched_ns=0, gate_open=True,
    )  # fmt: skip


def routed(cycle, *signals, dry=False):
    decisions = tuple(
        RouteDecision("VOLATILITY", s.instrument, s.strategy, "ACCEPT", "ONLY_VOL", "r", 104.0)
        for s in signals
    )
    return SignalsRouted(
        cycle=cycle, accepted=signals, decisions=decisions, diagnostics={"route_count": 1}, dry=dry
    )


def scanned(cycle, *signals, notes=(), source="volatility_agent", **more):
    return ScanCompleted(
        cycle=cycle, source=source, signals=signals, notes=notes, regime_version=3, **more
    )


def run_cycle(loop, context, *signals):
    """Answers the newest scan as agent and router would; gives its number."""
    cycle = context.heard(ScanRequested)[-1].cycle
    context.deliver(loop, scanned(cycle, *signals))
    context.deliver(loop, routed(cycle, *signals))
    return cycle


def after_grace(loop, context):
    """A loop with open guards, its grace over, waiting for the answers of its newest scan."""
    open_guards(loop, context)
    context.advance(2)
    run_cycle(loop, context)
    context.advance(59)
    return context.heard(ScanRequested)[-1].cycle


def test_cycle_asks_agents_then_router_then_risk(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    signal = a_signal()
    context.deliver(loop, scanned(cycle, signal))
    routing = context.told_to("conflict_router", RouteSignals)[-1]
    assert (routing.cycle, routing.signals, routing.regime) == (cycle, (signal,), REGIME)
    context.deliver(loop, routed(cycle, signal))
    [evaluated] = context.told_to("risk_agent", EvaluateSignal)
    assert (evaluated.signal, evaluated.fencing_number) == (signal, 1)
    assert context.reports[-1]["signals"]["enqueued_keys"] == ["NIFTY:IRON_CONDOR:SELL"]
    assert context.reports[-1]["signal_loop"]["cycles"] == 2


def test_first_cycle_comes_two_seconds_after_start_and_then_every_interval(make):
    loop, context = make()
    open_guards(loop, context)
    assert context.heard(ScanRequested) == []
    context.advance(2)
    assert len(context.heard(ScanRequested)) == 1
    run_cycle(loop, context)
    context.advance(58)  # the interval timer, 60 s after the actor's own start
    assert len(context.heard(ScanRequested)) == 2


def test_nothing_goes_to_risk_inside_the_grace(make):
    loop, context = make()
    open_guards(loop, context)
    context.advance(2)
    run_cycle(loop, context, a_signal())
    assert context.told_to("risk_agent") == []
    aside = context.heard(SignalSetAside)[-1]
    assert aside.refusal.code == "START_GRACE"
    assert context.reports[-1]["signals"]["dedupe_skipped_count"] == 1


def test_stopped_loop_scans_nothing_and_says_so(make):
    loop, context = make()
    open_guards(loop, context)
    context.deliver(loop, StopTrading(by="anna", reason="lunch"))
    context.advance(200)
    assert context.heard(ScanRequested) == []
    reasons = context.reports[-1]["diagnostics"]["no_action_reasons"]
    assert reasons[0] == "trading is stopped: lunch (anna)"


def test_halt_that_comes_during_a_scan_holds_its_signals(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, scanned(cycle, a_signal()))
    halt = TradingModeChanged(mode="halted", killed=True, reason="day loss", since_ns=1)
    context.deliver(loop, halt)
    context.deliver(loop, routed(cycle, a_signal()))
    assert context.told_to("risk_agent") == []
    assert context.heard(SignalSetAside)[-1].refusal.code == "KILLED"


def test_closed_market_scans_nothing(make):
    loop, context = make()
    open_guards(loop, context)
    context.deliver(loop, SessionClosed(day=None, reason="Diwali", next_opens_ns=0))
    context.advance(120)
    assert context.heard(ScanRequested) == []
    assert context.reports[-1]["market_session"]["holiday"] == "Diwali"
    assert context.reports[-1]["market_session"]["open"] is False


def test_late_agent_does_not_stop_the_cycle_and_is_named(make):
    loop, context = make()
    after_grace(loop, context)
    context.advance(5)
    assert context.told_to("conflict_router", RouteSignals)[-1].signals == ()
    assert "volatility_agent did not answer" in context.alerts[-1].text


def test_silent_router_ends_the_cycle_and_the_next_one_runs(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, scanned(cycle, a_signal()))
    context.advance(5)
    assert (
        context.reports[-1]["signal_loop"]["last_error"] == "conflict_router did not answer in time"
    )
    before = len(context.heard(ScanRequested))
    context.advance(60)
    assert len(context.heard(ScanRequested)) == before + 1


def test_answers_to_an_earlier_scan_are_ignored(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, scanned(cycle - 1, a_signal()))
    context.deliver(loop, routed(cycle - 1, a_signal()))
    assert context.told_to("risk_agent") == []


def test_loop_waits_for_all_its_scanners(make):
    loop, context = make(LoopSettings(scanners=("volatility_agent", "sniper_agent")))
    open_guards(loop, context)
    context.advance(2)
    context.deliver(loop, scanned(1, a_signal(1)))
    assert context.told_to("conflict_router") == []
    context.deliver(loop, scanned(1, a_signal(2, "BANKNIFTY"), source="sniper_agent"))
    assert len(context.told_to("conflict_router")[-1].signals) == 2


def test_an_agent_that_is_no_scanner_adds_nothing(make):
    loop, context = make(LoopSettings(scanners=("volatility_agent", "sniper_agent")))
    open_guards(loop, context)
    context.advance(2)
    context.deliver(loop, scanned(1, a_signal(1), source="strategy_engine"))
    context.deliver(loop, scanned(1, a_signal(2, "BANKNIFTY"), source="volatility_agent"))
    context.deliver(loop, scanned(1, source="sniper_agent"))
    (signal,) = context.told_to("conflict_router")[-1].signals
    assert signal.instrument == "BANKNIFTY"


def test_accepted_signal_rests_for_the_cooldown_and_a_refused_one_does_not(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, scanned(cycle, a_signal(1), a_signal(2, "BANKNIFTY")))
    context.deliver(loop, routed(cycle, a_signal(1), a_signal(2, "BANKNIFTY")))
    context.deliver(loop, OrderProposed(intent=an_intent(a_signal(1))))
    refusal = Refusal("CREDIT_TOO_THIN", "too thin")
    refused = SignalRefused(
        signal=a_signal(2, "BANKNIFTY"), result="invalid_signal", refusal=refusal
    )
    context.deliver(loop, refused)
    ended = CommandEnded(
        command_id=1, correlation_id="c1", strategy_id="s", status="DONE", is_exit=False
    )
    context.deliver(loop, ended)
    context.advance(60)
    context.clear()
    context.deliver(loop, scanned(loop._scan_count, a_signal(3), a_signal(4, "BANKNIFTY")))
    context.deliver(loop, routed(loop._scan_count, a_signal(3), a_signal(4, "BANKNIFTY")))
    assert [one.signal.correlation_id for one in context.told_to("risk_agent")] == ["c4"]
    assert context.heard(SignalSetAside)[-1].refusal.code == "COOLDOWN"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("DONE", "COOLDOWN"),
        ("FAILED", "COOLDOWN"),
        ("DEAD_LETTER", "COOLDOWN"),
        ("UNKNOWN_OUTCOME", "ENTRY_PENDING"),
    ],
)
def test_command_blocks_until_it_ends_and_unknown_is_no_end(make, status, code):
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, OrderProposed(intent=an_intent(a_signal(1))))
    ended = CommandEnded(
        command_id=1, correlation_id="c1", strategy_id="s", status=status, is_exit=False
    )
    context.deliver(loop, ended)
    context.deliver(loop, scanned(cycle, a_signal(2)))
    context.deliver(loop, routed(cycle, a_signal(2)))
    assert context.heard(SignalSetAside)[-1].refusal.code == code


def test_refusal_of_execution_frees_the_entry_but_not_the_cooldown(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, OrderProposed(intent=an_intent(a_signal(1))))
    refused = SignalRefused(
        signal=a_signal(1), result="invalid_signal", refusal=Refusal("STORAGE", "disk full")
    )
    context.deliver(loop, refused)
    context.deliver(loop, scanned(cycle, a_signal(2)))
    context.deliver(loop, routed(cycle, a_signal(2)))
    assert context.heard(SignalSetAside)[-1].refusal.code == "COOLDOWN"


def test_restart_of_risk_lets_its_lost_signals_go_again(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, scanned(cycle, a_signal(1)))
    context.deliver(loop, routed(cycle, a_signal(1)))
    context.deliver(loop, NodeRestarted(name="risk_agent", life=2, reason="", handles_orders=True))
    context.advance(60)
    run_cycle(loop, context, a_signal(2))
    ids = [one.signal.correlation_id for one in context.told_to("risk_agent", EvaluateSignal)]
    assert ids == ["c1", "c2"]


def test_same_refusal_five_cycles_in_a_row_alerts_once(make):
    loop, context = make(signal_reject_alert_threshold=5)
    after_grace(loop, context)
    for number in range(5):
        refused = SignalRefused(
            signal=a_signal(number), result="blocked_regime", refusal=Refusal("BLOWOFF", "no entry")
        )
        context.deliver(loop, refused)
        run_cycle(loop, context)
        if number < 4:
            assert context.alerts == []
        context.advance(60)
    assert [alert.text for alert in context.alerts] == ["NIFTY: refused 5 cycles in a row, BLOWOFF"]


def test_dry_scan_changes_nothing_and_answers_who_asked(make):
    loop, context = make()
    after_grace(loop, context)
    run_cycle(loop, context)
    context.clear()
    context.deliver(loop, ScanQuality(request="q1", reply_to="control_desk"))
    scan = context.heard(ScanRequested)[-1]
    assert scan.dry
    context.deliver(loop, scanned(scan.cycle, a_signal(), dry=True))
    assert context.told_to("conflict_router", RouteSignals)[-1].dry
    context.deliver(loop, routed(scan.cycle, a_signal(), dry=True))
    answer = context.told_to("control_desk", QualityScanned)[-1]
    assert answer.request == "q1"
    assert answer.snapshot["source"] == "api"
    assert answer.snapshot["cached"] is False
    assert answer.snapshot["signals"]["enqueued_count"] == 1
    assert context.told_to("risk_agent") == []
    assert context.heard(SignalSetAside) == []
    # The signal of the dry scan left no trace: the next cycle sends it.
    context.advance(60)
    run_cycle(loop, context, a_signal(2))
    assert len(context.told_to("risk_agent", EvaluateSignal)) == 1


def test_second_dry_scan_within_five_seconds_is_answered_from_the_first(make):
    loop, context = make()
    context.deliver(loop, ScanQuality(request="q1", reply_to="control_desk"))
    context.deliver(loop, ScanQuality(request="q2", reply_to="control_desk"))
    assert len(context.heard(ScanRequested)) == 1
    context.deliver(loop, scanned(1, dry=True))
    context.deliver(loop, routed(1, dry=True))
    assert [one.request for one in context.told_to("control_desk")] == ["q1", "q2"]
    context.advance(3)
    context.deliver(loop, ScanQuality(request="q3", reply_to="control_desk"))
    cached = context.told_to("control_desk", QualityScanned)[-1].snapshot
    assert (cached["cached"], cached["cached_age_s"]) == (True, 3.0)
    context.advance(2)
    context.deliver(loop, ScanQuality(request="q4", reply_to="control_desk"))
    assert len(context.heard(ScanRequested)) == 2


def test_dry_scan_answers_within_the_desks_patience_when_nobody_speaks(make):
    loop, context = make()
    context.deliver(loop, ScanQuality(request="q1", reply_to="control_desk"))
    context.advance(4)
    answer = context.told_to("control_desk", QualityScanned)[-1]
    assert (
        "volatility_agent did not answer the scan in time"
        in (answer.snapshot["diagnostics"]["no_action_reasons"])
    )
    assert context.alerts == []


def test_lease_of_another_instance_keeps_this_loop_off_with_an_alert(make):
    loop, context = make()
    database = context.runtime.database_url
    loop.stop()
    LeaseStore(open_engine(database)).take("elsewhere", context.now_ns(), 300)
    loop, context = make()
    open_guards(loop, context)
    context.advance(120)
    assert context.heard(ScanRequested) == []
    assert "elsewhere holds the control lease" in context.alerts[0].text
    assert context.reports[-1]["signal_loop"]["lease_held"] is False


def test_lease_is_renewed_while_the_loop_lives_and_free_after_it_stopped(make):
    loop, context = make()
    store = LeaseStore(open_engine(context.runtime.database_url))
    context.advance(300)
    lease = store.read()
    assert lease.fencing_number == 1
    assert lease.expires_ns > context.now_ns()
    loop.stop()
    assert store.take("elsewhere", context.now_ns(), 30).owner == "elsewhere"


def test_database_that_cannot_renew_stops_entries_when_the_lease_ends(make):
    loop, context = make(LoopSettings(scanners=("volatility_agent",), scan_deadline_s=100.0))
    after_grace(loop, context)
    broken = RuntimeError("database is locked")

    def fail(_now_ns):
        raise broken

    loop._keeper.hold = fail
    context.advance(31)
    assert "database is locked" in context.alerts[-1].text
    run_cycle(loop, context, a_signal())
    assert context.told_to("risk_agent") == []
    assert context.heard(SignalSetAside)[-1].refusal.code == "NOT_CONTROL_INSTANCE"


def an_entry(created_ns, number=1):
    signal = {"signal": to_plain(a_signal(number))}
    return CommandRow(
        event_type=ENTRY_COMMAND, idempotency_key=f"k{number}", correlation_id=f"c{number}",
        strategy_id=f"s{number}", strategy_tag="TOMIC_IRON_CONDOR_NIFTY", underlying="NIFTY",
        broker_name="alpha", source_agent="risk_agent", payload=json.dumps(signal),
        created_ns=created_ns,
    )  # fmt: skip


@pytest.mark.parametrize(("age_s", "goes_on"), [(230, False), (250, True)])
def test_a_new_life_keeps_the_cooldown_of_what_was_entered_before(make, age_s, goes_on):
    """An entry's clock of 300 s began with its row; 61 s go by until the cycle here."""
    loop, context = make()
    store = CommandStore(open_engine(context.runtime.database_url))
    row, _ = store.record(an_entry(context.now_ns() - seconds(age_s), 0), ())
    row = store.move(row, CommandStatus.PROCESSING)
    store.move(row, CommandStatus.DONE)
    loop.stop()
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, scanned(cycle, a_signal()))
    context.deliver(loop, routed(cycle, a_signal()))
    assert bool(context.told_to("risk_agent")) == goes_on
    codes = [one.refusal.code for one in context.heard(SignalSetAside)]
    assert codes == ([] if goes_on else ["COOLDOWN"])


def test_entry_alive_on_disk_holds_its_like_after_a_restart(make):
    loop, context = make()
    store = CommandStore(open_engine(context.runtime.database_url))
    store.record(an_entry(created_ns=1, number=0), ())
    loop.stop()
    loop, context = make()
    cycle = after_grace(loop, context)
    context.deliver(loop, scanned(cycle, a_signal(), a_signal(2, "BANKNIFTY")))
    context.deliver(loop, routed(cycle, a_signal(), a_signal(2, "BANKNIFTY")))
    assert context.heard(SignalSetAside)[-1].refusal.code == "ENTRY_PENDING"
    assert [one.signal.instrument for one in context.told_to("risk_agent")] == ["BANKNIFTY"]


def test_switched_off_loop_takes_no_lease(make):
    loop, context = make(signal_loop_enabled=False)
    open_guards(loop, context)
    context.advance(120)
    assert LeaseStore(open_engine(context.runtime.database_url)).read() is None
    assert context.heard(ScanRequested) == []
    assert "TOMIC_SIGNAL_LOOP_ENABLED" in context.reports[-1]["diagnostics"]["no_action_reasons"][0]


def test_snapshot_has_every_key_of_the_contract_but_risks_own(make):
    loop, context = make()
    after_grace(loop, context)
    run_cycle(loop, context, a_signal())
    snapshot = context.reports[-1]
    assert set(snapshot) >= {
        "generated_at", "timestamp_epoch", "runtime_started", "source", "cached", "cached_age_s",
        "startup_guard", "market_session", "regime", "feed", "coverage", "router", "agent_inputs",
        "diagnostics", "signals",
    }  # fmt: skip
    assert set(snapshot["signals"]) == {
        "held", "sniper_count", "volatility_count", "routed_count", "sniper_avg_score",
        "volatility_avg_strength", "routed_avg_priority", "routed_accept_rate_pct",
        "decision_breakdown", "enqueued_count", "dedupe_skipped_count", "enqueued_keys",
        "dedupe_keys", "top_sniper", "top_volatility", "top_routed", "router_decisions",
    }  # fmt: skip
    assert snapshot["signals"]["routed_accept_rate_pct"] == 100.0
    assert snapshot["signals"]["routed_avg_priority"] == 104.0  # 90 + 0.2 x 70
    assert set(snapshot["startup_guard"]) == {
        "grace_s", "elapsed_s", "require_live_tick_after_start", "live_tick_since_start",
        "runtime_started_at",
    }  # fmt: skip
    assert snapshot["regime"]["phase"] == "CONGESTION"


def test_reasons_name_the_notes_of_agents_when_there_is_no_signal(make):
    loop, context = make()
    cycle = after_grace(loop, context)
    note = Refusal("IV_NORMAL", "NIFTY: IV/HV 1.08 lies between 0.80 and 1.25; no premium edge")
    context.deliver(loop, scanned(cycle, notes=(note,)))
    context.deliver(loop, routed(cycle))
    reasons = context.reports[-1]["diagnostics"]["no_action_reasons"]
    assert "no signal in this cycle" in reasons
    assert reasons.index("no signal in this cycle") < reasons.index(note.text)
    assert len(reasons) <= 12


@pytest.mark.parametrize(
    "bad", [{"lease_s": 0}, {"scan_deadline_s": -1.0}, {"scanners": ()}, {"opening_block_s": -1.0}]
)
def test_settings_out_of_range_are_refused_with_a_sentence(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LoopSettings(**bad)


def test_replaced_regime_is_the_one_a_scan_carries(make):
    loop, context = make()
    open_guards(loop, context)
    context.deliver(loop, RegimeChanged(regime=replace(REGIME, version=9)))
    context.advance(2)
    assert context.heard(ScanRequested)[-1].regime.version == 9
