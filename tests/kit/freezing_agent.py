"""The execution agent that stops itself before it writes an entry, and tells when it went on."""

from __future__ import annotations

from actors.execution.entry_desk import EntryDesk
from actors.execution.execution_agent import ExecutionAgent
from tests.kit.crash_points import Seam
from tests.kit.crashing_actors import CrashingAgent

BEFORE_ROW, ANSWERED = "proposal_heard", "proposal_answered"


class FreezingAgent(CrashingAgent):
    SEAMS = (
        Seam(BEFORE_ROW, EntryDesk, "propose"),
        Seam(ANSWERED, EntryDesk, "propose", after=True),
    )
    SETTINGS = ExecutionAgent.SETTINGS
