"""What /tomic/analytics answers (`tomic.md` 13.5): performance, and what trading has proven."""

from __future__ import annotations

from web_status.shapes import Presence, Shape


class PerformanceFigures(Shape):
    """Over closed trades, after charges, rupees; `rolling_` over the last 30, the rest over all."""

    rolling_expectancy: float
    rolling_win_rate: float
    rolling_avg_win: float
    rolling_avg_loss: float
    expectancy: float
    win_rate: float
    avg_win: float
    avg_loss: float
    total_trades: int
    sharpe_ratio: float
    max_drawdown_pct: float
    last_updated: str


class StrategyFigures(Shape):
    """One strategy's closed trades."""

    strategy_tag: str
    trade_count: int
    wins: int
    total_pnl: float
    avg_pnl: float
    avg_slippage: float


class PaperFigures(Shape):
    """What trading on paper has proven; rupees, and a share of the capital."""

    days: int
    signals: int
    trades: int
    expectancy: float
    drawdown: float


class Phase(Shape):
    """The share of the capital that live trading may use in this month of it, and why."""

    month: int
    share: float
    reason: str


class Word(Shape):
    """A refusal's code and sentence."""

    code: str
    message: str


class Record(Shape):
    """The paper gate and the phase-in (`tomic.md` 2.3): what is missing, what is refused."""

    paper: PaperFigures
    phase: Phase
    on_paper: bool
    missing: list[str]
    refusal: Word | None


class AnalyticsAnswer(Shape):
    """Performance."""

    status: Presence
    metrics: PerformanceFigures
    strategy_breakdown: list[StrategyFigures]
    track_record: Record | None
