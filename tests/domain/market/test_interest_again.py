"""What open interest says, worked out a second time with plain loops over random chains."""

from __future__ import annotations

import random

import numpy as np
import pytest

from domain.market.chain_readings import (
    gamma_exposure,
    interest_walls,
    max_pain,
    put_call_ratio,
)
from domain.prices import CHAIN_DTYPE

SEEDS = range(10)
SPOT = 25_010.0


def random_chain(seed):
    """Rows of (strike, is_call, interest, gamma) and the same as a chain."""
    draw = random.Random(seed)
    rows = [
        (float(strike), is_call, draw.randint(0, 9) * 65, draw.uniform(0.0, 0.002))
        for strike in range(24_500, 25_551, 50)
        for is_call in (True, False)
    ]
    chain = np.zeros(len(rows), CHAIN_DTYPE)
    for place, row in zip(chain, rows, strict=True):
        place["strike"], place["is_call"], place["open_interest"], place["gamma"] = row
    return rows, chain


@pytest.mark.parametrize("seed", SEEDS)
def test_put_call_ratio(seed):
    rows, chain = random_chain(seed)
    puts = sum(interest for _, is_call, interest, _ in rows if not is_call)
    calls = sum(interest for _, is_call, interest, _ in rows if is_call)
    assert put_call_ratio(chain) == pytest.approx(puts / calls)


@pytest.mark.parametrize("seed", SEEDS)
def test_max_pain(seed):
    rows, chain = random_chain(seed)

    def paid(at):
        whole = 0.0
        for strike, is_call, interest, _ in rows:
            whole += interest * max(0.0, at - strike if is_call else strike - at)
        return whole

    least = min(sorted({row[0] for row in rows}), key=paid)
    assert max_pain(chain) == least


@pytest.mark.parametrize("seed", SEEDS)
def test_gamma_exposure(seed):
    rows, chain = random_chain(seed)
    signed = sum((1 if is_call else -1) * gamma * oi for _, is_call, oi, gamma in rows)
    assert gamma_exposure(chain, SPOT) == pytest.approx(signed * SPOT**2 / 100)


@pytest.mark.parametrize("seed", SEEDS)
def test_walls(seed):
    rows, chain = random_chain(seed)
    puts = [(interest, strike) for strike, is_call, interest, _ in rows if not is_call]
    calls = [(interest, -strike) for strike, is_call, interest, _ in rows if is_call]
    assert interest_walls(chain) == (max(puts)[1], -max(calls)[1])
