"""A signal is sized or refused, in that order of checks, with a code and a sentence each time."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from decimal import Decimal

import pytest

from actors.risk.risk_agent import RiskAgent, RiskSettings
from domain.calendar import ExchangeCalendar, SessionHours
from domain.events import Event, EventCalendar, EventKind
from domain.intents import Refusal
from domain.intents import StrategyType as S
from domain.positions import BookSnapshot
from domain.readings import Correlation, FreshnessMark, Phase, StrategyOdds, VixFlag
from domain.settings import Settings
from domain.stamps import Stamps
from messages.books import (
    MarginQuoted,
    MarginRead,
    QuoteMargin,
)
from messages.codec import decode, encode
from messages.control import InjectSignal, SignalInjected
from messages.market import FreshnessMarked, LegsResolved, ResolveLegs
from messages.trading import (
    CommandEnded,
    CorrelationsMeasured,
    EvaluateSignal,
    OddsMeasured,
    OrderDenied,
    OrderProposed,
    PositionChanged,
    ProposalRecorded,
    RegimeChanged,
    SignalRefused,
    StructureClosed,
    TradingModeChanged,
)
from persistence.latches import read_injection
from tests.kit.recording_context import START_NS, RecordingContext
from tests.kit.risk_makers import (
    STRANGLE_LEGS,
    a_condor,
    a_margin,
    a_position,
    a_put_spread,
    a_regime,
    a_resolved_leg,
    a_signal,
    a_strangle,
    a_structure,
)

SIGNAL = a_signal()
ID = "TOMIC_IRON_CONDOR_NIFTY_20261120_1"


def fresh(structure=None, now_ns=START_NS, **changes):
    symbols = [leg.symbol for leg in (structure or a_condor()).legs]
    mark = FreshnessMark(
        as_of_ns=now_ns,
        expires_ns=now_ns + 10**12,
        quotes_ns=Stamps.of(dict.fromkeys(["NIFTY", *symbols], now_ns)),
        iv_ns={"NIFTY": now_ns},
        vix_ns=now_ns,
        switched_ns=0,
        gate_open=True,
    )
    return FreshnessMarked(mark=replace(mark, **changes))


@pytest.fixture
def life(runtime):
    lives = []

    def begin(ready=True, after_s=0.0, **settings):
        runtime.settings = replace(Settings(), **settings)
        context = RecordingContext("risk_agent", runtime, life=len(lives) + 1)
        context.advance(after_s)
        agent = RiskAgent(context, RiskSettings(broker="alpha"))
        agent.start()
        lives.append(agent)
        if ready:
            now_ns = context.now_ns()
            context.deliver(agent, RegimeChanged(regime=a_regime(as_of_ns=now_ns)))
            context.deliver(agent, MarginRead(margin=a_margin(as_of_ns=now_ns)))
            context.deliver(agent, fresh(now_ns=now_ns))
        return agent, context

    yield begin
    for agent in lives:
        agent._engine.dispose()
        agent._entries._engine.dispose()


def evaluate(agent, context, signal=SIGNAL):
    context.deliver(agent, EvaluateSignal(signal=signal, fencing_number=3))


def resolve(agent, context, structure, signal=SIGNAL):
    found = LegsResolved(request=signal.correlation_id, structure=structure)
    context.deliver(agent, found)


def quote(agent, context, total=50_000, signal=SIGNAL, reason=""):
    money = None if total is None else Decimal(total)
    context.deliver(agent, MarginQuoted(request=signal.correlation_id, total=money, reason=reason))


def whole(agent, context, structure=None, total=50_000, signal=SIGNAL):
    evaluate(agent, context, signal)
    resolve(agent, context, structure or a_condor(), signal)
    quote(agent, context, total, signal)


def refused(context):
    return [(row.result, row.refusal.code) for row in context.heard(SignalRefused)]


def test_a_good_signal_becomes_a_sized_intent(life):
    agent, context = life()
    evaluate(agent, context)
    [wanted] = context.told_to("chain_keeper", ResolveLegs)
    assert (wanted.legs, wanted.dte_min, wanted.dte_max) == (SIGNAL.legs, 30, 45)
    assert wanted.reply_to == "risk_agent"
    resolve(agent, context, a_condor())
    [asked] = context.told_to("account_sync.alpha", QuoteMargin)
    assert [(order.action, order.quantity) for order in asked.orders] == [
        ("BUY", 65), ("SELL", 65), ("SELL", 65), ("BUY", 65),
    ]  # fmt: skip
    quote(agent, context)
    [proposed] = context.heard(OrderProposed)
    intent = proposed.intent
    assert intent.fencing_number == 3
    # 20 % of 10 lakh over 25 % x 24,000 x 0.25 is 133.3 units; 2 % over a loss of 65 would be
    # 307.7.
    assert (intent.quantity, intent.lots) == (130, 2)
    assert intent.margin_required == Decimal(100_000)
    assert intent.loss_per_unit == pytest.approx(65)
    assert (intent.strategy_id, intent.idempotency_key) == (ID, f"{ID}:entry")
    assert (intent.product, intent.naked_approved) == ("NRML", False)
    assert len(intent.sizing) == 8
    assert not refused(context)


def test_the_reason_of_an_entry_tells_its_whole_way(life):
    agent, context = life()
    extras = {"router_reason": "only volatility", "rs_score": "7.25"}
    whole(agent, context, signal=replace(SIGNAL, extras=extras))
    assert context.heard(OrderProposed)[0].intent.entry_reason == (
        "Router: only volatility | Signal: IV rank 70 | Scores: vol 74.00, rs 7.2 | "
        "Regime: CONGESTION (score 1, vix 16.0) | Sizing: 90.0% of margin would stay free | "
        "Action: IRON_CONDOR SELL 130"
    )


def test_a_proposal_travels(life):
    agent, context = life()
    whole(agent, context)
    [proposed] = context.heard(OrderProposed)
    assert decode(encode(proposed)) == proposed


@pytest.mark.parametrize(
    ("fact", "signal", "expected"),
    [
        (None, replace(SIGNAL, direction="BUY"), ("invalid_signal", "DIRECTION")),
        (RegimeChanged(regime=a_regime(version=0)), SIGNAL, ("blocked_regime", "REGIME_UNKNOWN")),
        (
            RegimeChanged(regime=a_regime(Phase.CONGESTION, VixFlag.UNKNOWN)),
            SIGNAL,
            ("blocked_regime", "VIX_UNKNOWN"),
        ),
        (
            MarginRead(margin=a_margin(as_of_ns=START_NS - 61 * 10**9)),
            SIGNAL,
            ("rejected_sizing", "MARGIN_UNKNOWN"),
        ),
        (
            PositionChanged(book=BookSnapshot(positions=(a_position("SELL", "PE", 23_800),))),
            SIGNAL,
            ("blocked_position", "STRATEGY_ACTIVE"),
        ),
        (
            TradingModeChanged(mode="halted", killed=True, reason="stop", since_ns=0),
            SIGNAL,
            ("blocked_breaker", "KILLED"),
        ),
    ],
)
def test_what_needs_no_contract_is_refused_before_one_is_sought(life, fact, signal, expected):
    agent, context = life()
    if fact:
        context.deliver(agent, fact)
    evaluate(agent, context, signal)
    assert refused(context) == [expected]
    assert not context.told
    body = context.reports[-1]
    assert body["counters"][expected[0]] == 1
    assert body["recent_evaluations"][0]["code"] == expected[1]


def test_nothing_heard_is_nothing_known(life):
    agent, context = life(ready=False)
    evaluate(agent, context)
    assert refused(context) == [("blocked_regime", "REGIME_UNKNOWN")]


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (fresh(gate_open=False), "ENTRY_GATE_CLOSED"),
        (fresh(expires_ns=START_NS - 1), "STALE_QUOTE"),
        (fresh(vix_ns=START_NS - 61 * 10**9), "VIX_STALE"),
        (fresh(quotes_ns=Stamps.of({"NIFTY": START_NS})), "STALE_OPTION"),
    ],
)
def test_stale_data_blocks_the_entry(life, mark, expected):
    agent, context = life()
    context.deliver(agent, mark)
    evaluate(agent, context)
    resolve(agent, context, a_condor())
    assert refused(context) == [("blocked_freshness", expected)]
    assert not context.told_to("account_sync.alpha")


def test_a_thin_credit_is_refused_on_the_real_contracts(life):
    agent, context = life()
    signal = a_signal(S.BULL_PUT_SPREAD, STRANGLE_LEGS)
    thin = a_put_spread(short=80.0)
    legs = tuple(
        replace(leg, offset=word, direction=side, option_type=STRANGLE_LEGS[0].option_type)
        for leg, word, side in zip(STRANGLE_LEGS, ("OTM1", "OTM4"), ("SELL", "BUY"), strict=True)
    )
    evaluate(agent, context, replace(signal, legs=legs))
    resolve(agent, context, thin, signal)
    assert refused(context) == [("rejected_sizing", "CREDIT_TOO_THIN")]


def test_the_refusal_of_the_chain_is_passed_on(life):
    agent, context = life()
    evaluate(agent, context)
    refusal = Refusal("NO_EXPIRY_IN_DTE_BAND", "no expiry within 30-45 days")
    answer = LegsResolved(request=SIGNAL.correlation_id, structure=None, refusal=refusal)
    context.deliver(agent, answer)
    assert refused(context) == [("rejected_sizing", "NO_EXPIRY_IN_DTE_BAND")]


def test_contracts_that_are_not_the_structure_are_refused(life):
    agent, context = life()
    evaluate(agent, context)
    resolve(agent, context, a_put_spread())
    assert refused(context) == [("invalid_signal", "LEGS_INVALID")]


def test_a_symbol_whose_reconciliation_is_open_takes_no_entry(life):
    agent, context = life()
    symbol = f"NFO:{a_condor().legs[0].symbol}"
    context.deliver(agent, PositionChanged(book=BookSnapshot(unexplained=(symbol,))))
    evaluate(agent, context)
    resolve(agent, context, a_condor())
    assert refused(context) == [("blocked_position", "RECONCILE_OPEN")]


def test_a_margin_the_broker_did_not_tell_is_no_margin(life):
    agent, context = life()
    whole(agent, context, total=None)
    assert refused(context) == [("rejected_sizing", "MARGIN_UNKNOWN")]


def test_sizing_refuses_with_its_steps(life):
    agent, context = life()
    # Two lots at 3 lakh each are more than a fifth of ten lakh: the sector gate says no.
    whole(agent, context, total=300_000)
    [answer] = context.heard(SignalRefused)
    assert answer.refusal.code == "SECTOR_HEAT"
    assert [step.name for step in answer.sizing][-1] == "sector_heat"
    assert context.reports[-1]["recent_evaluations"][0]["sizing_chain"][0]["input"] is None


@pytest.mark.parametrize(
    ("answered", "silent"), [(False, "chain_keeper"), (True, "account_sync.alpha")]
)
def test_who_does_not_answer_is_named(life, answered, silent):
    agent, context = life()
    evaluate(agent, context)
    if answered:
        resolve(agent, context, a_condor())
    context.advance(10)
    [answer] = context.heard(SignalRefused)
    assert answer.refusal.code == "NO_ANSWER"
    assert silent in answer.refusal.text
    resolve(agent, context, a_condor())
    quote(agent, context)
    assert not context.heard(OrderProposed)


def test_what_changed_while_waiting_is_checked_again(life):
    agent, context = life()
    evaluate(agent, context)
    resolve(agent, context, a_condor())
    context.deliver(agent, RegimeChanged(regime=a_regime(Phase.BLOWOFF)))
    quote(agent, context)
    assert refused(context) == [("blocked_regime", "BLOWOFF")]


def test_an_evaluation_on_its_way_counts_as_a_position(life):
    agent, context = life()
    evaluate(agent, context)
    evaluate(agent, context, replace(SIGNAL, correlation_id="second"))
    assert refused(context) == [("blocked_position", "STRATEGY_ACTIVE")]


def test_a_kill_discards_what_is_on_its_way(life):
    agent, context = life()
    evaluate(agent, context)
    killed = TradingModeChanged(mode="halted", killed=True, reason="stop", since_ns=0)
    context.deliver(agent, killed)
    assert refused(context) == [("blocked_breaker", "KILLED")]


def strangle_signal():
    return a_signal(S.SHORT_STRANGLE, STRANGLE_LEGS)


def test_naked_premium_is_approved_only_with_all_its_switches(life):
    agent, context = life()
    signal = replace(strangle_signal(), instrument_vol=0.10)
    context.deliver(agent, fresh(a_strangle()))
    whole(agent, context, a_strangle(), total=30_000, signal=signal)
    # Three times the credit of 230 is 690: 2 % of ten lakh allows 28 units, less than a lot.
    assert refused(context) == [("rejected_sizing", "BELOW_ONE_LOT")]


def test_a_rich_account_may_sell_naked_and_the_intent_says_so(life):
    agent, context = life(capital=Decimal(10_000_000))
    context.deliver(agent, MarginRead(margin=a_margin(free=10_000_000)))
    context.deliver(agent, fresh(a_strangle()))
    signal = replace(strangle_signal(), instrument_vol=0.10)
    whole(agent, context, a_strangle(), total=150_000, signal=signal)
    assert context.heard(OrderProposed)[0].intent.naked_approved


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"allow_naked_premium": False}, "NAKED_NOT_ALLOWED"),
        ({"enable_short_strangle": False}, "NAKED_NOT_ENABLED"),
        ({"mode": "full_auto"}, "NAKED_NOT_ACKNOWLEDGED"),
        ({"mode": "semi_auto"}, "NAKED_NOT_ACKNOWLEDGED"),
    ],
)
def test_naked_premium_is_refused_without_each_switch(life, settings, code):
    agent, context = life(**settings)
    evaluate(agent, context, strangle_signal())
    assert refused(context) == [("blocked_regime", code)]


def ended(status, strategy_id=ID):
    return CommandEnded(
        command_id=1,
        correlation_id=SIGNAL.correlation_id,
        strategy_id=strategy_id,
        status=status,
        is_exit=False,
    )


@pytest.mark.parametrize("over", ["FAILED", "DEAD_LETTER"])
def test_an_entry_on_its_way_blocks_the_next_until_it_failed(life, over):
    agent, context = life()
    whole(agent, context)
    second = replace(SIGNAL, correlation_id="second")
    evaluate(agent, context, second)
    context.deliver(agent, ended("UNKNOWN_OUTCOME"))
    evaluate(agent, context, second)
    assert refused(context) == [("blocked_position", "STRATEGY_ACTIVE")] * 2
    context.deliver(agent, ended(over))
    context.clear()
    whole(agent, context, signal=second)
    assert context.heard(OrderProposed)[0].intent.strategy_id.endswith("_2")


def test_a_restart_does_not_forget_an_entry_on_its_way(life):
    agent, context = life()
    whole(agent, context)
    again, context = life()
    evaluate(again, context, replace(SIGNAL, correlation_id="second"))
    assert refused(context) == [("blocked_position", "STRATEGY_ACTIVE")]


def test_the_same_signal_after_a_restart_gets_the_same_strategy(life):
    agent, context = life()
    whole(agent, context)
    again, context = life()
    whole(again, context)
    assert context.heard(OrderProposed)[0].intent.strategy_id == ID


def test_an_entry_that_came_to_nothing_unheard_is_swept(life):
    agent, context = life()
    whole(agent, context)
    again, context = life()
    context.advance(150)
    context.deliver(again, RegimeChanged(regime=a_regime(as_of_ns=context.now_ns())))
    context.deliver(again, MarginRead(margin=a_margin(as_of_ns=context.now_ns())))
    evaluate(again, context, replace(SIGNAL, correlation_id="second"))
    assert not refused(context)


def closed(reason, strategy_id="x", stood=True):
    money = {"gross": Decimal(1), "charges": Decimal(0), "net": Decimal(1)}
    return StructureClosed(
        strategy_id=strategy_id, strategy_tag="", reason=reason, stood=stood, **money
    )


def test_three_stops_in_a_row_end_the_day_also_after_a_restart(life):
    agent, context = life()
    for _ in range(3):
        context.deliver(agent, closed("sl_hit"))
    again, context = life()
    evaluate(again, context)
    assert refused(context) == [("rejected_sizing", "STOPS_IN_ROW")]
    context.deliver(again, closed("tp_hit"))
    evaluate(again, context)
    assert len(context.heard(SignalRefused)) == 1


def test_an_entry_that_never_stood_ends_no_row_of_stops(life):
    agent, context = life()
    for reason, stood in (
        ("sl_hit", True),
        ("external", False),
        ("sl_hit", True),
        ("sl_hit", True),
    ):
        context.deliver(agent, closed(reason, stood=stood))
    evaluate(agent, context)
    assert refused(context) == [("rejected_sizing", "STOPS_IN_ROW")]


def test_two_stops_in_a_row_halve_the_size(life):
    agent, context = life()
    for _ in range(2):
        context.deliver(agent, closed("sl_hit"))
    whole(agent, context)
    assert context.heard(OrderProposed)[0].intent.lots == 1


def test_a_strategy_that_lost_money_thirty_times_gets_no_size(life):
    agent, context = life()
    poor = StrategyOdds("IRON_CONDOR", 30, 0.3, 0.5)
    context.deliver(agent, OddsMeasured(odds=(poor,)))
    whole(agent, context)
    # f = (0.3 - 0.7 / 0.5) / 2 is below 0
    assert refused(context) == [("rejected_sizing", "KELLY_NO_EDGE")]


def test_what_moves_with_an_open_position_gets_seven_tenths(life):
    agent, context = life()
    held = a_position("SELL", "PE", 1_400, underlying="RELIANCE", strategy_id="other")
    context.deliver(agent, PositionChanged(book=BookSnapshot(positions=(held,))))
    pair = Correlation("NIFTY", "RELIANCE", 0.71)
    context.deliver(agent, CorrelationsMeasured(correlations=(pair,)))
    whole(agent, context)
    [intent] = [row.intent for row in context.heard(OrderProposed)]
    # 133.3 units x 0.7 are 93.3: one lot of 65
    assert (intent.lots, intent.sizing[4].name) == (1, "idm")
    assert "0.71" in intent.sizing[4].reason


def recorded(agent, context, **fields):
    said = {"correlation_id": SIGNAL.correlation_id, "command_id": 7, "strategy_id": ID} | fields
    context.deliver(agent, ProposalRecorded(**said))


def shown(context):
    """(result, code) of the newest evaluation, and the counters that are not zero."""
    row, counters = context.reports[-1]["recent_evaluations"][0], context.reports[-1]["counters"]
    return (row["result"], row["code"]), {name: n for name, n in counters.items() if n}


def test_a_denial_of_the_gate_is_the_outcome_of_its_signal(life):
    agent, context = life()
    whole(agent, context)
    recorded(agent, context)
    refusal = Refusal("GROSS_NOTIONAL", "six times the capital")
    context.deliver(agent, OrderDenied(command_id=7, refusal=refusal))
    ended = CommandEnded(
        command_id=7, correlation_id=SIGNAL.correlation_id, strategy_id=ID, status="FAILED",
        is_exit=False, refusal=refusal,
    )  # fmt: skip
    context.deliver(agent, ended)
    counted = {"evaluated": 1, "blocked_breaker": 1}
    assert shown(context) == (("blocked_breaker", "GROSS_NOTIONAL"), counted)


def test_an_order_that_waits_or_fails_shows_its_code(life):
    agent, context = life()
    whole(agent, context)
    recorded(agent, context)
    throttled = Refusal("ORDER_RATE", "30 orders in a minute")
    context.deliver(agent, OrderDenied(command_id=7, refusal=throttled, retry_after_s=3.0))
    assert shown(context)[0] == ("enqueued", "ORDER_RATE")
    refusal = Refusal("STALE", "not sent within its time")
    ended = CommandEnded(
        command_id=7, correlation_id=SIGNAL.correlation_id, strategy_id=ID, status="FAILED",
        is_exit=False, refusal=refusal,
    )  # fmt: skip
    context.deliver(agent, ended)
    assert shown(context) == (("enqueued", "STALE"), {"evaluated": 1, "enqueued": 1})
    row = context.reports[-1]["recent_evaluations"][0]
    assert row["reason"] == "its order ended failed: not sent within its time"


def test_what_execution_does_not_take_is_a_refusal_that_everyone_hears(life):
    agent, context = life()
    whole(agent, context)
    recorded(agent, context, command_id=0, refusal=Refusal("STORAGE", "disk full"))
    assert refused(context) == [("invalid_signal", "STORAGE")]
    assert shown(context)[0] == ("invalid_signal", "STORAGE")


def test_a_proposal_that_stood_already_counts_as_a_duplicate(life):
    agent, context = life()
    whole(agent, context)
    recorded(agent, context, duplicate=True)
    assert context.reports[-1]["counters"]["duplicate"] == 1


def test_an_equal_refusal_is_counted_each_time_and_listed_once_a_cooldown(life):
    agent, context = life()
    for number in range(3):
        evaluate(agent, context, replace(SIGNAL, direction="BUY", correlation_id=f"n{number}"))
    body = context.reports[-1]
    assert body["counters"]["invalid_signal"] == 3
    assert len(body["recent_evaluations"]) == 1
    context.advance(300)
    evaluate(agent, context, replace(SIGNAL, direction="BUY"))
    assert len(context.reports[-1]["recent_evaluations"]) == 2


def test_an_injected_signal_is_pending_until_its_row_stands(life):
    agent, context = life()
    inject(agent, context)
    assert context.reports[-1]["pending_signals"] == 1
    again, context = life()
    again._report()
    assert context.reports[-1]["pending_signals"] == 1
    context.advance(10)
    whole(again, context)
    recorded(again, context)
    assert context.reports[-1]["pending_signals"] == 0


def inject(agent, context, signal=None, request="r1", **payload):
    signal = signal or replace(SIGNAL, idempotency_key="k1", valid_until_ns=START_NS + 60 * 10**9)
    context.deliver(
        agent,
        InjectSignal(signal=signal, payload=payload, reply_to="control_desk", request=request),
    )
    return context.told_to("control_desk", SignalInjected)[-1]


def test_an_injection_is_on_disk_before_it_is_answered(life):
    agent, context = life()
    tell, seen = context.tell, []

    def tell_and_look(target, message):
        if isinstance(message, SignalInjected):
            seen.append(read_injection(agent._engine, message.correlation_id))
        tell(target, message)

    context.tell = tell_and_look
    answer = inject(agent, context, lots=1)
    assert (answer.duplicate, answer.conflict, answer.pending) == (False, False, 1)
    assert seen[0].payload == {"lots": 1}
    assert context.told_to("chain_keeper", ResolveLegs)


def test_a_repeated_injection_returns_the_first_result_and_does_nothing(life):
    agent, context = life()
    inject(agent, context)
    resolve(agent, context, a_condor())
    quote(agent, context)
    recorded = ProposalRecorded(correlation_id=SIGNAL.correlation_id, command_id=1, strategy_id=ID)
    context.deliver(agent, recorded)
    repeat = replace(SIGNAL, correlation_id="later", idempotency_key="k1")
    answer = inject(agent, context, repeat)
    assert (answer.duplicate, answer.conflict) == (True, False)
    assert answer.correlation_id == SIGNAL.correlation_id
    assert answer.first_result["strategy_id"] == ID
    assert len(context.heard(OrderProposed)) == 1
    assert not refused(context)


def test_the_same_key_with_another_payload_is_a_conflict(life):
    agent, context = life()
    inject(agent, context, lots=1)
    answer = inject(
        agent, context, replace(SIGNAL, correlation_id="b", idempotency_key="k1"), lots=2
    )
    assert answer.conflict


def test_a_refused_injection_keeps_its_reason(life):
    agent, context = life()
    context.deliver(agent, RegimeChanged(regime=a_regime(Phase.BLOWOFF)))
    inject(agent, context)
    row = read_injection(agent._engine, SIGNAL.correlation_id)
    assert (row.result["result"], row.result["code"]) == ("blocked_regime", "BLOWOFF")


def test_an_unfinished_injection_is_judged_again_by_the_next_life(life):
    agent, context = life()
    inject(agent, context)
    _, context = life(after_s=2)
    context.advance(10)
    [wanted] = context.told_to("chain_keeper", ResolveLegs)
    assert wanted.request == SIGNAL.correlation_id


def test_a_crash_between_proposal_and_record_proposes_the_same_entry(life):
    agent, context = life()
    inject(agent, context)
    resolve(agent, context, a_condor())
    quote(agent, context)
    again, context = life(after_s=2)
    context.advance(10)
    context.deliver(again, fresh(now_ns=context.now_ns()))
    resolve(again, context, a_condor())
    quote(again, context)
    assert context.heard(OrderProposed)[0].intent.idempotency_key == f"{ID}:entry"


def test_an_injection_too_old_after_a_long_outage_is_refused_as_expired(life):
    agent, context = life()
    inject(agent, context)
    _, context = life(after_s=120)
    context.advance(10)
    assert refused(context) == [("invalid_signal", "SIGNAL_EXPIRED")]


def test_a_deep_option_needs_no_leg_of_its_own(life):
    agent, context = life()
    context.deliver(agent, RegimeChanged(regime=a_regime(Phase.BULLISH)))
    evaluate(agent, context, a_signal(S.DITM_CALL, ()))
    [wanted] = context.told_to("chain_keeper", ResolveLegs)
    assert [(leg.direction, leg.delta_target) for leg in wanted.legs] == [("BUY", 0.90)]


@pytest.mark.parametrize(
    ("stop", "target", "expected"),
    [
        (24_000.0, 25_000.0, [("invalid_signal", "LEVEL_REACHED")]),
        (23_000.0, 24_000.0, [("invalid_signal", "LEVEL_REACHED")]),
        (23_000.0, 25_000.0, []),
    ],
)
def test_an_entry_whose_stop_or_target_is_behind_it_is_too_late(life, stop, target, expected):
    agent, context = life()
    context.deliver(agent, RegimeChanged(regime=a_regime(Phase.BULLISH)))
    signal = a_signal(
        S.DITM_CALL, (), price_basis="UNDERLYING", entry_price=24_100.0, stop_price=stop,
        target_price=target,
    )  # fmt: skip
    evaluate(agent, context, signal)
    call = a_structure(a_resolved_leg("BUY", "CE", 22_000, 2_000.0, 0.9), width=0.0)
    context.deliver(agent, fresh(call))
    resolve(agent, context, call, signal)
    assert refused(context) == expected


def test_settings_must_leave_time_to_answer():
    with pytest.raises(ValueError, match="greater than 0"):
        RiskSettings(deadline_s=0)


def beside_an_event(runtime):
    """START_NS is Friday, 20 November 2026; the results are counted on Monday."""
    hours = SessionHours(date(2020, 1, 1), time(9, 15), time(15, 40), time(15), time(15, 15))
    runtime.calendars = {"NFO": ExchangeCalendar("NFO", (hours,))}
    event = Event(date(2026, 11, 23), EventKind.ELECTION, "Election results")
    runtime.events = EventCalendar((event,))


def test_beside_a_listed_event_what_is_hedged_goes_at_half_size(life, runtime):
    beside_an_event(runtime)
    agent, context = life()
    whole(agent, context)
    [proposed] = context.heard(OrderProposed)
    # Half of the 133.3 units of a plain day: 66.7, which is one lot of 65 instead of two.
    assert (proposed.intent.quantity, proposed.intent.lots) == (65, 1)


def test_beside_a_listed_event_nothing_naked_is_sold(life, runtime):
    beside_an_event(runtime)
    agent, context = life()
    signal = a_signal(S.SHORT_STRANGLE, STRANGLE_LEGS)
    evaluate(agent, context, signal)
    assert refused(context) == [("blocked_regime", "EVENT_NEAR")]
    [said] = context.heard(SignalRefused)
    assert said.refusal.text == (
        "SHORT_STRANGLE is naked, and Election results in 1 session: nothing is sold without its "
        "hedge"
    )


def test_an_event_halves_nothing_that_sells_no_premium(life, runtime):
    beside_an_event(runtime)
    agent, context = life()
    evaluate(agent, context, a_signal(S.DITM_CALL, ()))
    assert "EVENT_NEAR" not in [code for _, code in refused(context)]
