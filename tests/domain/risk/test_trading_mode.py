"""The gate's mode from what is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.risk.trading_mode import BrokerView, TradingState
from domain.safety import standing_breakers
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import breaker_nodes

SECOND = 10**9
STANDING = standing_breakers(breaker_nodes())


def state(**changes):
    found = TradingState(needs_sandbox=True, breakers=STANDING, session_open=True)
    view = BrokerView(connected=True, sandbox_proven=True, proven_ns=START_NS, reconciled=True)
    found.brokers["alpha"] = view
    for name, value in changes.items():
        setattr(view if hasattr(view, name) else found, name, value)
    return found


def code(found, now_ns=START_NS):
    refusal = found.refusal("alpha", now_ns)
    return refusal.code if refusal else ""


@pytest.mark.parametrize(
    ("changes", "expected", "mode"),
    [
        ({}, "", "active"),
        ({"killed": True}, "KILLED", "halted"),
        ({"breakers": frozenset()}, "BREAKER_MISSING", "halted"),
        ({"reconciled": False}, "NOT_RECONCILED", "halted"),
        ({"session_open": False}, "SESSION_CLOSED", "reducing"),
        ({"connected": False}, "BROKER_AWAY", "reducing"),
        ({"sandbox_proven": False}, "SANDBOX_NOT_ACTIVE", "reducing"),
        ({"sandbox_proven": False, "needs_sandbox": False}, "", "active"),
    ],
)
def test_each_cause_has_its_code_and_its_mode(changes, expected, mode):
    found = state(**changes)
    assert code(found) == expected
    assert found.mode("alpha", START_NS)[0] == mode


def test_nothing_known_is_halted():
    assert TradingState(needs_sandbox=False).mode("alpha", START_NS)[0] == "halted"


def test_a_proof_that_is_not_renewed_lapses():
    assert code(state(), START_NS + 130 * SECOND) == ""
    assert code(state(), START_NS + 131 * SECOND) == "SANDBOX_NOT_ACTIVE"


@pytest.mark.parametrize(
    ("node", "closes"),
    [
        ("execution_agent", True),
        ("position_book", True),
        ("executor.alpha", True),
        ("executor.beta", False),
        ("breaker.order_rate", False),
        ("volatility_agent", False),
    ],
)
def test_a_new_life_of_a_book_keeper_asks_for_reconciliation(node, closes):
    found = state()
    found.reopen(node, "it crashed", START_NS)
    assert (code(found) == "NOT_RECONCILED") is closes


@pytest.mark.parametrize("gone", sorted(STANDING, key=lambda row: row.name), ids=lambda r: r.name)
def test_an_entry_needs_the_five_rules_and_the_connection_breaker_of_its_broker(gone):
    found = state(breakers=STANDING - {gone})
    needed = gone.instance in ("", "alpha")
    assert code(found) == ("BREAKER_MISSING" if needed else "")
    assert (gone.name in found.missing("alpha")) is needed


def test_a_breaker_that_runs_another_rule_or_serves_another_broker_does_not_stand():
    for changed in ({"rule": "order_rate"}, {"instance": "beta"}):
        for gone in STANDING:
            other = STANDING - {gone} | {replace(gone, **changed)}
            if other != STANDING and gone.instance in ("", "alpha"):
                assert code(state(breakers=other)) == "BREAKER_MISSING", (gone, changed)
