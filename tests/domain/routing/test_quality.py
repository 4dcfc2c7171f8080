"""The quality snapshot: reasons in their order, figures, and that it is plain JSON."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.clock import seconds
from domain.instruments import Kind
from domain.intents import Bias, Refusal, RouteDecision, Signal, StrategyType
from domain.positions import BookSnapshot, Position
from domain.readings import Phase, Regime, VixFlag
from domain.routing.cycle import GuardLimits, Guards, SessionView
from domain.routing.quality import (
    CycleResult,
    FeedView,
    LoopFigures,
    LoopView,
    loop_status,
    no_action_reasons,
    quality_snapshot,
)
from messages.codec import decode, encode
from messages.control import QualityScanned

NOW = 1_795_149_900 * 1_000_000_000  # 2026-11-20 10:15 IST, a Friday
READY = Guards(
    now_ns=NOW, limits=GuardLimits(),
    session=SessionView(True, False, NOW - seconds(3_600), NOW + seconds(18_900)),
    started_ns=NOW - seconds(600), lease_held=True, mode="active", live_tick_ns=NOW,
)  # fmt: skip
LIVE = FeedView("alpha", "live", "", 40, 2, NOW - seconds(1), 3, True, "")


def a_signal(strength=70.0, source="VOLATILITY", instrument="NIFTY"):
    return Signal(
        correlation_id=f"c{strength}", source=source, instrument=instrument,
        strategy=StrategyType.IRON_CONDOR, direction="SELL", bias=Bias.NEUTRAL, strength=strength,
    )  # fmt: skip


def decision(action, code="ONLY_VOL"):
    return RouteDecision("VOLATILITY", "NIFTY", "IRON_CONDOR", action, code, f"NIFTY: {code}", 90.0)


def reasons(result=None, guards=READY, feed=LIVE):
    result = result or CycleResult(signals=(a_signal(),))
    return no_action_reasons(result, guards, feed)


def snapshot(result=None, guards=READY, **view):
    fields = {"regime": Regime(version=1, phase=Phase.CONGESTION, as_of_ns=NOW), "feed": LIVE}
    return quality_snapshot(result or CycleResult(), guards, LoopView(**(fields | view)))


def test_nothing_to_say_when_all_is_well():
    assert reasons() == []


def test_reasons_come_in_the_order_of_the_way():
    guards = replace(READY, started_ns=0, session=SessionView(reason="weekend"))
    feed = replace(LIVE, state="down", reason="socket closed", listings=0)
    inputs = {"vol_price_underlyings": 1, "vol_iv_underlyings": 0, "volatility_readiness": [
        {"underlying": "NIFTY", "price_bars": 12, "has_iv": False, "hv_ready_31": False}
    ]}  # fmt: skip
    result = CycleResult(
        notes=(Refusal("IV_NORMAL", "NIFTY: no premium edge"),),
        decisions=(decision("REJECT", "SECTOR_HEAT"), decision("ACCEPT")),
        inputs=inputs,
    )
    assert reasons(result, guards, feed) == [
        "trading is stopped: nobody has started it",
        "the market is closed: weekend",
        "the feed of alpha is down: socket closed",
        "the feed carries no subscription",
        "NIFTY: 12 of 31 daily closes for volatility",
        "NIFTY: no implied volatility yet from its option chain",
        "no signal in this cycle",
        "NIFTY: no premium edge",
        "router: NIFTY: SECTOR_HEAT (x1)",
    ]


def test_reasons_are_never_more_than_twelve():
    notes = tuple(Refusal(f"N{n}", f"note {n}") for n in range(30))
    assert len(reasons(CycleResult(notes=notes))) == 12


def test_hold_of_a_single_signal_is_named():
    held = ((a_signal(), Refusal("COOLDOWN", "NIFTY:IRON_CONDOR:SELL was accepted lately")),)
    found = reasons(CycleResult(signals=(a_signal(),), held=held))
    assert found == ["held: NIFTY:IRON_CONDOR:SELL was accepted lately"]


def test_figures_of_signals_are_worked_out():
    result = CycleResult(
        signals=(a_signal(60.0), a_signal(70.0), a_signal(50.0, "SNIPER")),
        accepted=(a_signal(70.0),),
        decisions=(decision("ACCEPT"), decision("REJECT"), decision("DEFER"), decision("REJECT")),
    )
    found = snapshot(result)["signals"]
    assert (found["volatility_count"], found["sniper_count"], found["routed_count"]) == (2, 1, 1)
    assert (found["volatility_avg_strength"], found["sniper_avg_score"]) == (65.0, 50.0)
    assert found["routed_accept_rate_pct"] == 25.0
    assert found["decision_breakdown"] == {"ACCEPT": 1, "REJECT": 2, "DEFER": 1, "MERGE": 0}
    assert [row["strength"] for row in found["top_volatility"]] == [70.0, 60.0]
    assert found["top_routed"][0]["priority_score"] == 104.0


def test_the_sniper_has_its_part_of_inputs_reasons_and_figures():
    rows = [
        {"instrument": "NIFTY", "bars": 12, "ready_30": False, "zones_cached": 0},
        {"instrument": "ACME", "bars": 200, "ready_30": True, "zones_cached": 3},
    ]
    put = replace(
        a_signal(104.0, "SNIPER"), strategy=StrategyType.DITM_PUT, direction="BUY",
        pattern="SUPPLY_DEMAND", entry_price=201.5, stop_price=204.0,
        extras={"signal_direction": "SELL"},
    )  # fmt: skip
    result = CycleResult(
        signals=(put,), inputs={"sniper_readiness": rows, "sniper_instruments": 14}
    )
    found = snapshot(result)
    assert reasons(result) == ["NIFTY: 12 of 30 daily bars for patterns"]
    assert found["coverage"]["sniper_instruments"] == 14
    assert found["agent_inputs"]["sniper_readiness"] == rows
    assert found["signals"]["top_sniper"] == [
        {
            "instrument": "NIFTY", "direction": "BUY", "signal_direction": "SELL",
            "pattern": "SUPPLY_DEMAND", "entry_price": 201.5, "stop_price": 204.0, "score": 104.0,
        }
    ]  # fmt: skip


def test_empty_cycle_has_averages_of_zero():
    found = snapshot()["signals"]
    assert found["routed_accept_rate_pct"] == 0.0
    assert found["volatility_avg_strength"] == 0.0


@pytest.mark.parametrize(("reason", "holiday"), [("Diwali", "Diwali"), ("weekend", "")])
def test_session_names_a_holiday_but_not_a_weekend(reason, holiday):
    session = snapshot(guards=replace(READY, session=SessionView(reason=reason)))["market_session"]
    assert (session["open"], session["reason"], session["holiday"]) == (False, reason, holiday)


def test_session_says_its_window_in_exchange_time():
    session = snapshot()["market_session"]
    assert (session["window"], session["weekday"]) == ("09:15-15:30", "Friday")
    assert (session["tz"], session["now"]) == ("Asia/Kolkata", "2026-11-20T10:15:00+05:30")


def test_session_is_shown_in_the_zone_of_the_settings():
    limits = replace(READY.limits, zone_name="Europe/London")
    session = snapshot(guards=replace(READY, limits=limits))["market_session"]
    assert (session["tz"], session["window"]) == ("Europe/London", "03:45-10:00")
    assert session["now"] == "2026-11-20T04:45:00+00:00"


def test_snapshot_is_plain_json_and_travels():
    regime = Regime(version=2, vix_flags=(VixFlag.HALF_SIZE,), as_of_ns=NOW)
    found = snapshot(
        CycleResult(signals=(a_signal(),), decisions=(decision("ACCEPT"),)), regime=regime
    )
    assert json.loads(json.dumps(found)) == found
    message = QualityScanned(request="q", snapshot=found)
    assert decode(encode(message)) == message


def test_positions_are_counted_by_strategy():
    leg = Position(
        symbol="A", exchange="NFO", product="NRML", direction="SELL", quantity=65,
        average_price=Decimal(1), strategy_id="s1", strategy_tag="TOMIC_X_NIFTY", strategy="X",
        leg_no=0, underlying="NIFTY", kind=Kind.PUT, strike=Decimal(1), expiry=None, entry_ns=0,
        broker="alpha",
    )  # fmt: skip
    view = LoopView(
        book=BookSnapshot(positions=(leg, replace(leg, leg_no=1))),
    )
    assert (view.position_count, view.open_tags) == (1, {"TOMIC_X_NIFTY"})


def test_what_is_held_shows_its_code_beside_its_key():
    held = ((a_signal(), Refusal("COOLDOWN", "accepted lately")),)
    found = snapshot(CycleResult(signals=(a_signal(),), held=held))["signals"]
    assert found["dedupe_keys"] == ["NIFTY:IRON_CONDOR:SELL"]
    assert found["held"] == [
        {
            "instrument": "NIFTY", "strategy_type": "IRON_CONDOR", "direction": "SELL",
            "code": "COOLDOWN", "text": "accepted lately",
        }
    ]  # fmt: skip


def test_what_holds_the_whole_loop_shows_its_code():
    diagnostics = snapshot(guards=replace(READY, mode="halted", mode_reason="books differ"))[
        "diagnostics"
    ]
    assert [hold["code"] for hold in diagnostics["holds"]] == ["MODE_HALTED"]


def test_loop_status_before_the_first_cycle():
    status = loop_status(READY, LoopFigures(60.0, 300.0))
    assert (status["last_cycle_at"], status["last_cycle_age_s"], status["running"]) == (
        "",
        -1,
        True,
    )
