"""A breaker with limits no configuration may have: drills make in a minute what a day makes."""

from __future__ import annotations

from dataclasses import dataclass

from actors.risk.breaker import Breaker, BreakerSettings


@dataclass(frozen=True)
class RoomySettings(BreakerSettings):
    """Any limits."""

    def __post_init__(self) -> None:
        """Nothing is too loose for a drill."""


class RoomyBreaker(Breaker):
    """Stands where a Breaker stands in a drill's topology."""

    SETTINGS = RoomySettings
