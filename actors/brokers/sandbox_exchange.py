"""Sandbox exchange: the embedded exchange as a node of the tree, so that it is restarted like any
other.

Hears nothing and tells nothing: brokers are reached through its ports, its clock in a replay
through the control port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.actor import Actor, Context
from adapters.catalogue import open_replay_market, open_sandbox
from adapters.sandbox.account_settings import account_settings
from domain.errors import ConfigurationFault

CHECK_EVERY_S = 2.0
FOLDER = "sandbox"


@dataclass(frozen=True)
class ExchangeSettings:
    """`always_open` trades at any hour, as the demo does; `scenario` and `seed` make its market.

    By default a market that stands still while premium is rich, what an iron condor waits for; this
    seed stands still for some hours, whatever the hour it begins at. `account` has the rules of
    every account by their names, such as starting_capital.
    """

    always_open: bool = True
    scenario: str = "congestion"
    seed: int = 16
    account: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            account_settings(self.account)
        except ConfigurationFault as fault:
            raise ValueError(str(fault)) from None


class SandboxExchange(Actor):
    """State: the server, which runs in a thread of this process."""

    SETTINGS = ExchangeSettings
    STEPPED = False

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        runtime = context.runtime
        folder = runtime.data_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        plan = runtime.replay
        instances = runtime.sandbox_instances()
        self._server = open_sandbox(
            [row for row, _ in instances.values()],
            {name: key for name, (_, key) in instances.items()},
            control_port=runtime.control_port,
            always_open=plan.always_open if plan else settings.always_open,
            scenario=settings.scenario,
            seed=settings.seed,
            calendars=runtime.calendars,
            account=settings.account,
            # A replay begins with empty books, whatever an earlier one left.
            data_dir=folder if plan is None else None,
            replay=plan.file if plan and not plan.taped else None,
            taped=plan.taped if plan else None,
            history=plan.history if plan else None,
        )
        self._control = open_replay_market(self._server.control_port)

    def start(self) -> None:
        self._server.run_in_thread()
        self.context.every(CHECK_EVERY_S, self._check)

    def stop(self) -> None:
        self._control.close()
        self._server.stop()

    def _check(self) -> None:
        self.context.work(self._control.status, self._on_status)

    def _on_status(self, status: Any) -> None:
        if isinstance(status, Exception):
            raise status  # a server that does not answer is begun anew, from its books
        self.context.report(status)
