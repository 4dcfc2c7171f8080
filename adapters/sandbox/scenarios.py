"""Scenarios of the generated market: how it moved until now, and what it does next."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import ConfigurationFault


@dataclass(frozen=True, slots=True)
class Scenario:
    """Volatilities are decimals a year, shares are of the price, the volatility index is in points.

    `settled` multiplies the volatility of the last sessions and of the live path: below 1 the
    market squeezes, as before a move. `swing` is the size of the fluctuation around the path.
    """

    volatility: float = 0.085
    settled: float = 0.35
    swing: float = 0.0005
    drift_a_day: float = 0.0
    volatility_index: float = 16.8
    gap: float = 0.0
    gap_points: float = 0.0
    slide: float = 0.0  # spread over SLIDE_MINUTES from the start
    slide_points: float = 0.0


SLIDE_MINUTES = 60
SCENARIOS = {
    # Rich implied over quiet realised volatility: what a seller of premium waits for.
    "calm": Scenario(),
    "congestion": Scenario(volatility=0.07, settled=0.05),
    "trend": Scenario(settled=0.8, swing=0.0002, drift_a_day=0.012, volatility_index=14.0),
    "chop": Scenario(volatility=0.14, settled=0.6, swing=0.0025, volatility_index=18.5),
    "gap": Scenario(settled=0.8, gap=-0.025, gap_points=4.5),
    # Fear without a fall: the index of volatility doubles within an hour.
    "spike": Scenario(settled=0.8, slide=-0.008, slide_points=16.0),
    "crash": Scenario(settled=2.0, slide=-0.06, slide_points=28.0),
}


def scenario_of(name: str) -> Scenario:
    """The scenario of that name; ConfigurationFault lists them when there is none."""
    if name not in SCENARIOS:
        raise ConfigurationFault(f"market scenario {name!r} is none of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
