"""How trades did: expectancy, Sharpe, drawdown, by strategy (`tomic.md` 9.5). Closed trades only.

Rupees are Decimal; ratios are floats. Sharpe comes from daily P&L, times the root of 252: a session
in which nothing closed is a day of 0, for a year has 252 of either kind. Drawdown is a share of the
peak of capital. Trades stand in the order of their closing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from domain.calendar import ExchangeCalendar
from domain.readings import StrategyOdds

ROLLING_TRADES = 30
REWARD_RISK_MAX = 100.0  # of a strategy that has lost nothing yet
SESSIONS_PER_YEAR, SESSIONS_PER_MONTH = 252, 21


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """One closed structure: P&L after charges, in rupees."""

    strategy_tag: str
    closed_on: date
    net: Decimal
    slippage_ticks: float


def expectancy(trades: Sequence[ClosedTrade]) -> dict[str, float]:
    """Win rate, average win and loss, and w x average win + (1 - w) x average loss, rupees a
    trade.
    """
    wins = [float(trade.net) for trade in trades if trade.net > 0]
    losses = [float(trade.net) for trade in trades if trade.net <= 0]
    rate = len(wins) / len(trades) if trades else 0.0
    win = sum(wins) / len(wins) if wins else 0.0
    loss = sum(losses) / len(losses) if losses else 0.0
    return {
        "win_rate": rate,
        "average_win": win,
        "average_loss": loss,
        "expectancy": rate * win + (1 - rate) * loss,
    }


def strategy_of(tag: str, instrument: str) -> str:
    """The strategy in a tag `TOMIC_{strategy}_{instrument}`."""
    return tag.removeprefix("TOMIC_").removesuffix(f"_{instrument}")


def strategy_odds(strategy: str, trades: Sequence[ClosedTrade]) -> StrategyOdds | None:
    """Of the newest 30 closed trades, oldest first; None before there are 30 (`tomic.md` 7.6)."""
    if len(trades) < ROLLING_TRADES:
        return None
    found = expectancy(trades[-ROLLING_TRADES:])
    lost = -found["average_loss"]
    reward_risk = min(found["average_win"] / lost, REWARD_RISK_MAX) if lost else REWARD_RISK_MAX
    return StrategyOdds(strategy, ROLLING_TRADES, found["win_rate"], reward_risk)


def sessions_between(
    calendar: ExchangeCalendar | None, trades: Sequence[ClosedTrade]
) -> tuple[date, ...]:
    """Days that traded from the first close to the last; none without a calendar."""
    if calendar is None or not trades:
        return ()
    first = min(trade.closed_on for trade in trades)
    last = max(trade.closed_on for trade in trades)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return tuple(day for day in days if calendar.session(day))


def monthly_profit(trades: Sequence[ClosedTrade], sessions: Collection[date]) -> float:
    """What 21 sessions brought on average since the first close, rupees; 0 before there are 21."""
    if len(sessions) < SESSIONS_PER_MONTH:
        return 0.0
    whole = float(sum((trade.net for trade in trades), Decimal(0)))
    return whole / len(sessions) * SESSIONS_PER_MONTH


def sharpe_ratio(
    trades: Sequence[ClosedTrade], capital: Decimal, sessions: Collection[date] = ()
) -> float:
    """Annualised, from daily P&L over capital; 0 with fewer than two days or no spread.

    `sessions` are the days that traded: one without a close counts as a return of 0.
    """
    daily: dict[date, float] = defaultdict(float, dict.fromkeys(sessions, 0.0))
    for trade in trades:
        daily[trade.closed_on] += float(trade.net / capital)
    returns = list(daily.values())
    if len(returns) < 2:
        return 0.0
    mean = sum(returns) / len(returns)
    spread = math.sqrt(sum((value - mean) ** 2 for value in returns) / (len(returns) - 1))
    return mean / spread * math.sqrt(SESSIONS_PER_YEAR) if spread > 0 else 0.0


def max_drawdown_share(trades: Sequence[ClosedTrade], capital: Decimal) -> float:
    """The deepest fall from a peak of capital, as a share of that peak, 0..1; trades in closing
    order.
    """
    worth = peak = capital
    worst = Decimal(0)
    for trade in trades:
        worth += trade.net
        peak = max(peak, worth)
        worst = max(worst, (peak - worth) / peak)
    return float(worst)


def metrics(
    trades: Sequence[ClosedTrade], capital: Decimal, as_of: str, sessions: Collection[date] = ()
) -> dict[str, Any]:
    """The `metrics` object of GET /tomic/analytics: `rolling_` figures over the last 30 trades, all
    others over all of them.
    """
    rolling, ever = expectancy(trades[-ROLLING_TRADES:]), expectancy(trades)
    return {
        "rolling_expectancy": rolling["expectancy"],
        "rolling_win_rate": rolling["win_rate"],
        "rolling_avg_win": rolling["average_win"],
        "rolling_avg_loss": rolling["average_loss"],
        "expectancy": ever["expectancy"],
        "win_rate": ever["win_rate"],
        "avg_win": ever["average_win"],
        "avg_loss": ever["average_loss"],
        "total_trades": len(trades),
        "sharpe_ratio": sharpe_ratio(trades, capital, sessions),
        "max_drawdown_pct": 100 * max_drawdown_share(trades, capital),
        "last_updated": as_of,
    }


def by_strategy(trades: Sequence[ClosedTrade]) -> list[Mapping[str, Any]]:
    """The `strategy_breakdown` of GET /tomic/analytics, by tag."""
    groups: dict[str, list[ClosedTrade]] = defaultdict(list)
    for trade in trades:
        groups[trade.strategy_tag].append(trade)
    return [
        {
            "strategy_tag": tag,
            "trade_count": len(group),
            "wins": sum(trade.net > 0 for trade in group),
            "total_pnl": float(sum(trade.net for trade in group)),
            "avg_pnl": float(sum(trade.net for trade in group) / len(group)),
            "avg_slippage": sum(trade.slippage_ticks for trade in group) / len(group),
        }
        for tag, group in sorted(groups.items())
    ]
