"""Which broker carries out what risk approves: said once, at execution_agent's node."""

from __future__ import annotations

from actors.runtime import Runtime
from domain.errors import ConfigurationFault


def execution_broker(runtime: Runtime, chosen: str) -> str:
    """`chosen` where it is set, else the broker of execution_agent.

    Raises ConfigurationFault when neither says one: funds of a wrong broker would size the trade.
    """
    node = runtime.tree.find("execution_agent")
    broker = chosen or (str(node.settings.get("broker", "")) if node else "")
    if not broker:
        raise ConfigurationFault("neither this node nor execution_agent has a setting `broker`")
    return broker
