"""Risk and execution mean the same broker."""

from __future__ import annotations

import pytest

from actors.risk.execution_broker import execution_broker
from domain.errors import ConfigurationFault
from domain.supervision.topology import Node
from tests.kit.recording_context import make_runtime


def test_the_broker_of_execution_is_taken_unless_another_is_named(tmp_path):
    node = Node("execution_agent", actor="x", settings={"broker": "beta"})
    runtime = make_runtime(tmp_path, tree=Node("root", children=(node,)))
    assert execution_broker(runtime, "") == "beta"
    assert execution_broker(runtime, "alpha") == "alpha"


def test_no_broker_at_all_is_a_fault_and_not_the_first_of_the_list(tmp_path):
    with pytest.raises(ConfigurationFault, match="broker"):
        execution_broker(make_runtime(tmp_path, tree=Node("root")), "")
