"""Stepping: a host's part in a replay. Mail waits for its round; see docs/architecture.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.hosting.wire import Posted, Round

if TYPE_CHECKING:
    from actors.hosting.engine import Engine


class Stepping:
    """Placeholder until rounds are in."""

    takes_data = False

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def keep(self, sender: str, letter: Posted) -> None: ...

    def data_waits(self) -> None: ...

    def on_round(self, frame: Round, sender: object) -> None: ...

    def advance(self) -> None: ...
