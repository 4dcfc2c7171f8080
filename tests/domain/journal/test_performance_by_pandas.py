"""The figures of closed trades against a second implementation in pandas, over many histories."""

from __future__ import annotations

import math
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from domain.journal.performance import ClosedTrade, by_strategy, metrics

CAPITAL = Decimal(1_000_000)
TAGS = ("TOMIC_BULL_PUT_SPREAD_NIFTY", "TOMIC_IRON_CONDOR_NIFTY", "TOMIC_DITM_CALL_BANKNIFTY")


def history(seed: int, count: int = 120) -> list[ClosedTrade]:
    """Trades in closing order, several on some days, none on most."""
    chance = np.random.default_rng(seed)
    days = np.sort(chance.integers(0, 250, count))
    return [
        ClosedTrade(
            TAGS[chance.integers(len(TAGS))],
            date(2026, 1, 1) + timedelta(days=int(day)),
            Decimal(int(chance.normal(300, 9_000))),
            float(chance.integers(0, 5)),
        )
        for day in days
    ]


def frame(trades: list[ClosedTrade]) -> pd.DataFrame:
    rows = [
        (one.strategy_tag, pd.Timestamp(one.closed_on), float(one.net), one.slippage_ticks)
        for one in trades
    ]
    return pd.DataFrame(rows, columns=["tag", "day", "net", "slip"])


@pytest.mark.parametrize("seed", range(8))
def test_every_figure_is_what_pandas_makes_of_the_same_trades(seed: int) -> None:
    trades = history(seed)
    table = frame(trades)
    weekdays = pd.bdate_range(table["day"].min(), table["day"].max())
    found = metrics(trades, CAPITAL, "now", [day.date() for day in weekdays])

    last = table["net"].tail(30)
    assert found["rolling_win_rate"] == pytest.approx((last > 0).mean())
    assert found["rolling_avg_win"] == pytest.approx(last[last > 0].mean())
    assert found["rolling_avg_loss"] == pytest.approx(last[last <= 0].mean())
    # w x average win + (1 - w) x average loss is the mean itself.
    assert found["rolling_expectancy"] == pytest.approx(last.mean())
    assert found["expectancy"] == pytest.approx(table["net"].mean())
    assert found["win_rate"] == pytest.approx((table["net"] > 0).mean())

    closed = table.groupby("day")["net"].sum()
    daily = closed.reindex(closed.index.union(weekdays), fill_value=0.0) / float(CAPITAL)
    assert found["sharpe_ratio"] == pytest.approx(daily.mean() / daily.std() * math.sqrt(252))

    worth = pd.concat([pd.Series([0.0]), table["net"]]).cumsum() + float(CAPITAL)
    fallen = 1 - worth / worth.cummax()
    assert found["max_drawdown_pct"] == pytest.approx(100 * fallen.max())


@pytest.mark.parametrize("seed", range(3))
def test_each_strategy_is_what_a_group_of_pandas_gives(seed: int) -> None:
    trades = history(seed)
    groups = frame(trades).groupby("tag")
    for row in by_strategy(trades):
        group = groups.get_group(row["strategy_tag"])
        assert row["trade_count"] == len(group)
        assert row["wins"] == (group["net"] > 0).sum()
        assert row["total_pnl"] == pytest.approx(group["net"].sum())
        assert row["avg_pnl"] == pytest.approx(group["net"].mean())
        assert row["avg_slippage"] == pytest.approx(group["slip"].mean())
