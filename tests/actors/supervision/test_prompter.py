"""The prompter asks again what people asked, at its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.actor import NoSettings
from actors.runtime import ReplayPlan
from actors.supervision.prompter import Prompter
from domain.clock import NS_PER_S
from domain.prices import TICK_DTYPE
from domain.tape import TapedFact, TapedRun
from messages.control import DeskRequest
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime


def asked(after_s: float, action: str, kind: str = "DeskRequest") -> TapedFact:
    body = {"request": f"r{after_s}", "action": action, "body": {"reason": "x"}, "by": "me@::1"}
    return TapedFact("m", "", kind, START_NS + round(after_s * NS_PER_S), body)


def test_requests_are_told_to_the_desk_at_their_recorded_times(tmp_path: Path) -> None:
    facts = (asked(-1, "start"), asked(2, "pause"), asked(3, "x", "OrderFilled"), asked(5, "stop"))
    run = TapedRun("d/1", {}, 0, 0, True, (), np.zeros(0, TICK_DTYPE), facts=facts)
    plan = ReplayPlan(tmp_path, None, 0.0, None, 0, taped=run)
    context = RecordingContext("prompter", make_runtime(tmp_path, replay=plan))
    Prompter(context, NoSettings()).start()
    context.advance(1.999_999_999)
    assert context.told == []
    context.advance(0.000_000_001)
    (first,) = context.told_to("control_desk")
    assert first.action == "pause"
    assert (first.body, first.by) == ({"reason": "x"}, "me@::1")
    context.advance(10.0)
    told = context.told_to("control_desk", DeskRequest)
    assert [message.action for message in told] == ["pause", "stop"]
