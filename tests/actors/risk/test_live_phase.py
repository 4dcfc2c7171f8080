"""On a real broker nothing is entered that is not proven, and no more than the phase allows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from actors.risk.risk_agent import RiskAgent, RiskSettings
from domain.settings import Settings
from domain.stamps import Stamps
from domain.track_record import PaperRecord, PhaseIn, TrackRecord
from messages.books import MarginQuoted, MarginRead
from messages.market import FreshnessMarked, LegsResolved
from messages.trading import (
    EvaluateSignal,
    OrderProposed,
    RegimeChanged,
    SignalRefused,
    TrackRecordTold,
)
from tests.kit.recording_context import START_NS, RecordingContext
from tests.kit.risk_makers import LOT, a_condor, a_margin, a_regime, a_signal
from tests.kit.trading_desk import fresh_mark

CAPITAL = Decimal(4_000_000)
PROVEN = PaperRecord(days=30, signals=60, trades=40, expectancy=120.0, drawdown=0.04)


def record(paper=PROVEN, share=1.0) -> TrackRecordTold:
    return TrackRecordTold(record=TrackRecord(paper, PhaseIn(1, share, "the first is not over")))


@pytest.fixture
def judged(runtime):
    """What becomes of the worked condor at a real broker, in a mode and after these messages."""
    agents = []

    def judge(mode, *messages):
        runtime.settings, runtime.is_on_paper = Settings(mode=mode, capital=CAPITAL), False
        context = RecordingContext("risk_agent", runtime, life=len(agents) + 1)
        agent = RiskAgent(context, RiskSettings(broker="alpha"))
        agent.start()
        agents.append(agent)
        context.deliver(agent, RegimeChanged(regime=a_regime()))
        context.deliver(agent, MarginRead(margin=a_margin(free=int(CAPITAL))))
        quotes = {leg.symbol: START_NS for leg in a_condor().legs}
        mark = fresh_mark(START_NS)
        mark = replace(mark, quotes_ns=Stamps.of({**mark.quotes_ns, **quotes}))
        for message in (FreshnessMarked(mark=mark), *messages):
            context.deliver(agent, message)
        signal = a_signal(correlation_id=f"VOLATILITY:NIFTY:1:{len(agents)}")
        context.deliver(agent, EvaluateSignal(signal=signal))
        number = signal.correlation_id
        context.deliver(agent, LegsResolved(request=number, structure=a_condor()))
        context.deliver(agent, MarginQuoted(request=number, total=Decimal(20_000), reason=""))
        return context.announced[-1]

    yield judge
    for agent in agents:
        agent._engine.dispose()
        agent._entries._engine.dispose()


@pytest.mark.parametrize(
    ("mode", "messages", "code"),
    [
        ("full_auto", (), "NO_TRACK_RECORD"),
        ("semi_auto", (), "NO_TRACK_RECORD"),
        ("full_auto", (record(replace(PROVEN, signals=49)),), "PAPER_GATE"),
    ],
)
def test_what_is_not_proven_is_refused_with_its_sentence(judged, mode, messages, code):
    refused = judged(mode, *messages)
    assert isinstance(refused, SignalRefused)
    assert (refused.result, refused.refusal.code) == ("blocked_breaker", code)
    assert ("49 of 50 signals" in refused.refusal.text) == (code == "PAPER_GATE")


@pytest.mark.parametrize(("share", "lots"), [(1.0, 8), (0.5, 4), (0.25, 2)])
def test_a_phase_sizes_with_its_share_of_the_capital_and_says_so(judged, share, lots):
    proposed = judged("full_auto", record(share=share))
    assert isinstance(proposed, OrderProposed)
    # 20 % of 40 lakh over 25 % x 24,000 x 0.25 is 533 units, 8 lots; of a quarter 133, two lots.
    assert proposed.intent.quantity == lots * LOT
    told = f"{share:.0%} of the capital, the first is not over"
    assert (told in proposed.intent.sizing[0].reason) == (share < 1)


def test_a_person_who_approves_each_entry_needs_no_paper_gate(judged):
    assert isinstance(judged("semi_auto", record(PaperRecord())), OrderProposed)
