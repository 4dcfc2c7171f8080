"""What trading on paper has proven, and how much of the capital live trading may use (`tomic.md`
2.3, 7.6, 8.9).

Both are folds over closed trades after costs. Money is rupees; days are the exchange's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from domain.intents import Refusal

PAPER_DAYS_MIN, PAPER_SIGNALS_MIN = 30, 50
PAPER_DRAWDOWN_MAX = 0.10
MONTH_DAYS = 30
SHARES = (0.25, 0.50, 1.00)  # of the capital, after 0, 1 and 2 profitable months
FULL_AUTO = "full_auto"


@dataclass(frozen=True, slots=True)
class PaperRecord:
    """Days on which signals were followed on paper, those signals, and what their trades came to:
    rupees a closed trade after costs, the deepest fall as a share of the peak of capital."""

    days: int = 0
    signals: int = 0
    trades: int = 0
    expectancy: float = 0.0
    drawdown: float = 0.0


@dataclass(frozen=True, slots=True)
class PhaseIn:
    """`share` of the capital that sizing may use in this `month` of live trading, and why."""

    month: int
    share: float
    reason: str


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Both together, as of a moment."""

    paper: PaperRecord
    phase: PhaseIn


def missing_proof(record: PaperRecord) -> tuple[str, ...]:
    """What the paper record still lacks, a sentence each; empty when the gate is passed."""
    faults = []
    if record.days < PAPER_DAYS_MIN:
        faults.append(f"{record.days} of {PAPER_DAYS_MIN} days")
    if record.signals < PAPER_SIGNALS_MIN:
        faults.append(f"{record.signals} of {PAPER_SIGNALS_MIN} signals")
    if not record.trades:
        faults.append("no closed trade")
    elif not record.expectancy > 0:
        faults.append(f"{record.expectancy:.0f} rupees a trade after costs, it must be above 0")
    if not record.drawdown < PAPER_DRAWDOWN_MAX:
        faults.append(f"a drawdown of {record.drawdown:.1%}, the limit is {PAPER_DRAWDOWN_MAX:.0%}")
    return tuple(faults)


def check_promotion(mode: str, on_paper: bool, record: TrackRecord | None) -> Refusal | None:
    """Why no entry is made live yet. Trading alone needs the paper gate, any live trading a known
    phase; a record that nobody told proves nothing."""
    if on_paper:
        return None
    if record is None:
        return Refusal("NO_TRACK_RECORD", "the journal has not told yet what trading has proven")
    missing = missing_proof(record.paper) if mode == FULL_AUTO else ()
    if missing:
        text = f"the paper gate before {FULL_AUTO} is not passed: {'; '.join(missing)}"
        return Refusal("PAPER_GATE", f"{text}; trade on with TOMIC_MODE=sandbox")
    return None


def phase_in(trades: Sequence[tuple[date, Decimal]], since: date | None, today: date) -> PhaseIn:
    """The share of the capital on a day, from live trades as (closed on, rupees after costs).

    `since` is the day of the first live entry. Each month of 30 days that is over and made money
    is a step; one that did not, or in which nothing closed, keeps the share where it was.
    """
    if since is None:
        return PhaseIn(1, SHARES[0], "nothing has been traded live yet")
    over = max(0, (today - since).days // MONTH_DAYS)
    results = [
        sum((net for closed, net in trades if begins <= closed < begins + length), Decimal(0))
        for length in [timedelta(days=MONTH_DAYS)]
        for begins in (since + length * month for month in range(over))
    ]
    steps = min(sum(result > 0 for result in results), len(SHARES) - 1)
    told = ", ".join(f"month {number}: {net:+.0f}" for number, net in enumerate(results[-3:],
                     start=over - len(results[-3:]) + 1))  # fmt: skip
    reason = f"{steps} profitable months of live trading ({told or 'the first is not over'})"
    return PhaseIn(over + 1, SHARES[steps], reason)
