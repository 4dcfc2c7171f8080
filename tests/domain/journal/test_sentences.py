"""Decisions in plain words, and nothing said twice in a row."""

from __future__ import annotations

from typing import Any

import pytest

from domain.clock import NS_PER_S
from domain.journal.sentences import Repeats, decision_line, is_decision

SIGNAL = {"source": "VOLATILITY", "instrument": "NIFTY", "strategy": "IRON_CONDOR"}


def scan(*codes: str) -> dict[str, Any]:
    notes = [{"code": code, "text": f"NIFTY: {code.lower()}"} for code in codes]
    return {"source": "volatility_agent", "dry": False, "notes": notes}


def test_a_refusal_by_risk_names_structure_and_reason() -> None:
    refusal = {"code": "CREDIT_TOO_THIN", "text": "credit 18 % of width, needs 20 %"}
    line = decision_line("SignalRefused", {"signal": SIGNAL, "refusal": refusal})
    assert line == (
        "volatility: NIFTY iron condor refused by risk: credit 18 % of width, needs 20 %"
    )


def test_a_context_is_a_line_only_when_a_word_of_it_changed() -> None:
    nifty = {
        "underlying": "NIFTY", "trend": "ABOVE_20MA", "put_call_ratio": 1.35,
        "pcr_bias": "BULLISH", "previous_high": 24_100.0, "as_of_ns": 1,
    }  # fmt: skip
    context = {"vix": 14.23, "vix_regime": "TOO_LOW", "underlyings": [nifty]}
    line = decision_line("ContextChanged", {"context": context, "is_news": True})
    assert line == ("context: VIX 14.2 too low; NIFTY above its 20-day mean, put/call 1.35 bullish")
    assert decision_line("ContextChanged", {"context": context, "is_news": False}) is None
    unknown = {"context": context | {"vix_regime": "UNKNOWN"}, "is_news": True}
    assert decision_line("ContextChanged", unknown).startswith("context: VIX unknown; NIFTY")


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_a_context_of_which_nothing_is_known_does_not_claim_to_be_neutral(unknown) -> None:
    quiet = {
        "underlying": "BANKNIFTY", "trend": "NEUTRAL", "put_call_ratio": 1.0,
        "pcr_bias": "NEUTRAL", "previous_high": unknown, "as_of_ns": 0,
    }  # fmt: skip
    context = {"vix": 14.23, "vix_regime": "TOO_LOW", "underlyings": [quiet]}
    line = decision_line("ContextChanged", {"context": context, "is_news": True})
    assert line.endswith("; BANKNIFTY without daily bars, no option chain yet")


def test_a_plan_says_what_it_is_and_why_it_ends() -> None:
    plan = {"instrument": "NIFTY", "strategy": "IRON_CONDOR", "strength": 75.0, "rationale": "calm"}
    line = decision_line("PlanChanged", {"plan": plan, "refusal": None})
    assert line == "plan: NIFTY iron condor, strength 75: calm"
    why = {"code": "PLAN_EXPIRED", "text": "NIFTY: the plan was valid until 14:00"}
    line = decision_line("PlanChanged", {"plan": plan, "refusal": why})
    assert line == "plan: NIFTY iron condor ends: NIFTY: the plan was valid until 14:00"
    line = decision_line("PlanSkipped", {"refusal": why})
    assert line == "plan: none on NIFTY: the plan was valid until 14:00"


def test_a_scan_without_signals_says_its_first_reasons() -> None:
    line = decision_line("ScanCompleted", scan("A", "B", "C", "D"))
    assert line == "volatility: NIFTY: a; NIFTY: b; NIFTY: c"


def test_the_sniper_says_what_it_buys_and_what_it_waits_for() -> None:
    signal = {
        "source": "SNIPER", "instrument": "NIFTY", "strategy": "DITM_CALL", "strength": 103.1,
        "reason": "fresh demand zone 23929.75-24170.25; price 24032.00, stop 23810.10",
    }  # fmt: skip
    line = decision_line("SignalRaised", {"signal": signal})
    assert line == (
        "sniper: NIFTY deep in-the-money call, strength 103: "
        "fresh demand zone 23929.75-24170.25; price 24032.00, stop 23810.10"
    )
    waits = scan("WAITS_FOR_ZONE") | {"source": "sniper_agent"}
    assert decision_line("ScanCompleted", waits) == "sniper: NIFTY: waits_for_zone"


def test_a_dry_scan_is_no_line() -> None:
    assert decision_line("ScanCompleted", scan("A") | {"dry": True}) is None
    engine = scan("A") | {"source": "strategy_engine"}
    assert decision_line("ScanCompleted", engine) == "strategy engine: NIFTY: a"


def test_what_is_no_decision_has_no_line() -> None:
    assert decision_line("SessionOpened", {}) is None
    assert not is_decision("SessionOpened")


def test_equal_reasons_are_said_once_in_a_quarter_of_an_hour() -> None:
    repeats = Repeats()
    assert not repeats.is_repeat("ScanCompleted", scan("A", "B"), 0)
    assert repeats.is_repeat("ScanCompleted", scan("A", "B"), 60 * NS_PER_S)
    assert not repeats.is_repeat("ScanCompleted", scan("A", "C"), 120 * NS_PER_S)
    assert repeats.is_repeat("ScanCompleted", scan("A", "C"), 1_019 * NS_PER_S)
    assert not repeats.is_repeat("ScanCompleted", scan("A", "C"), 1_020 * NS_PER_S)


def test_only_scans_repeat() -> None:
    refusal = {"signal": SIGNAL, "refusal": {"code": "X", "text": "x"}}
    repeats = Repeats()
    assert not repeats.is_repeat("SignalRefused", refusal, 0)
    assert not repeats.is_repeat("SignalRefused", refusal, 1)


def alert(text: str = "a short stands without cover", **changes: str) -> dict[str, Any]:
    return {"level": "CRITICAL", "text": text, "dedupe_key": "k"} | changes


def test_a_critical_alert_is_a_line_and_no_decision() -> None:
    assert decision_line("AlertRaised", alert()) == "CRITICAL: a short stands without cover"
    assert decision_line("AlertRaised", alert(level="RISK")) is None
    assert not is_decision("AlertRaised")


def test_an_alert_of_one_key_is_said_once_a_minute() -> None:
    repeats = Repeats()
    assert not repeats.is_repeat("AlertRaised", alert("naked for 5 s"), 0)
    assert repeats.is_repeat("AlertRaised", alert("naked for 6 s"), 59 * NS_PER_S)
    assert not repeats.is_repeat("AlertRaised", alert(dedupe_key="other"), 59 * NS_PER_S)
    assert not repeats.is_repeat("AlertRaised", alert(), 60 * NS_PER_S)


def test_an_alert_without_a_key_repeats_only_its_own_words() -> None:
    repeats = Repeats()
    assert not repeats.is_repeat("AlertRaised", alert("a", dedupe_key=""), 0)
    assert not repeats.is_repeat("AlertRaised", alert("b", dedupe_key=""), 1)
    assert repeats.is_repeat("AlertRaised", alert("a", dedupe_key=""), 2)
