"""What must be proven on paper, and how live trading grows into its capital."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from domain.track_record import (
    PaperRecord,
    PhaseIn,
    TrackRecord,
    check_promotion,
    missing_proof,
    phase_in,
)

PROVEN = PaperRecord(days=30, signals=50, trades=40, expectancy=0.01, drawdown=0.0999)
PHASE = PhaseIn(1, 0.25, "nothing has been traded live yet")
START = date(2026, 8, 3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ()),
        ({"days": 29}, ("29 of 30 days",)),
        ({"signals": 49}, ("49 of 50 signals",)),
        ({"expectancy": 0.0}, ("0 rupees a trade after costs, it must be above 0",)),
        ({"drawdown": 0.10}, ("a drawdown of 10.0%, the limit is 10%",)),
        ({"trades": 0}, ("no closed trade",)),
        ({"days": 0, "signals": 0}, ("0 of 30 days", "0 of 50 signals")),
    ],
)
def test_each_missing_proof_has_its_sentence(changes, told):
    assert missing_proof(replace(PROVEN, **changes)) == told


@pytest.mark.parametrize(
    ("mode", "on_paper", "paper", "code"),
    [
        ("full_auto", False, PROVEN, None),
        ("full_auto", False, replace(PROVEN, days=29), "PAPER_GATE"),
        ("full_auto", True, PaperRecord(), None),  # a sandbox, whatever the mode is called
        ("semi_auto", False, PaperRecord(), None),  # a person looks at each entry
        ("full_auto", False, None, "NO_TRACK_RECORD"),
        ("semi_auto", False, None, "NO_TRACK_RECORD"),
        ("sandbox", True, None, None),
    ],
)
def test_trading_alone_on_a_real_broker_needs_the_paper_gate(mode, on_paper, paper, code):
    record = TrackRecord(paper, PHASE) if paper else None
    refusal = check_promotion(mode, on_paper, record)
    assert (refusal.code if refusal else None) == code
    if code == "PAPER_GATE":
        assert "29 of 30 days" in refusal.text


def results(*nets: int | None) -> list[tuple[date, Decimal]]:
    """One trade in the middle of each month; None for a month without."""
    return [
        (START + timedelta(days=30 * number + 15), Decimal(net))
        for number, net in enumerate(nets)
        if net is not None
    ]


@pytest.mark.parametrize(
    ("nets", "after_days", "month", "share"),
    [
        ((), 0, 1, 0.25),
        ((100,), 29, 1, 0.25),  # the month is not over
        ((100,), 30, 2, 0.50),
        ((-1,), 30, 2, 0.25),
        ((0,), 30, 2, 0.25),
        ((None,), 30, 2, 0.25),
        ((100, 1), 60, 3, 1.00),
        ((100, -50), 60, 3, 0.50),
        ((-50, 100), 60, 3, 0.50),
        ((-50, 100, 1), 90, 4, 1.00),
        ((100, 1, 1, -9), 120, 5, 1.00),
    ],
)
def test_the_share_of_the_capital_steps_up_after_each_month_that_made_money(
    nets, after_days, month, share
):
    phase = phase_in(results(*nets), START, START + timedelta(days=after_days))
    assert (phase.month, phase.share) == (month, share)
    assert phase.reason


def test_before_the_first_live_trade_it_is_a_quarter():
    assert phase_in([], None, START).share == 0.25
