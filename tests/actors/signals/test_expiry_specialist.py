"""The expiry specialist: off as shipped; once an underlying and day when it is on."""

from __future__ import annotations

from datetime import date, datetime, time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from actors.signals.expiry_specialist import ExpirySettings, ExpirySpecialist
from domain.clock import EXCHANGE_ZONE, epoch_ns
from domain.instruments import format_expiry
from domain.prices import CHAIN_DTYPE
from domain.readings import Regime
from messages.market import SessionClosed, SessionOpened
from messages.trading import OrderProposed, ScanCompleted, ScanRequested, SignalRaised
from persistence.database import MainBase, open_engine
from tests.kit.recording_context import RecordingContext, make_runtime

DAY = date(2026, 11, 24)


def at(hour: int, minute: int) -> int:
    return epoch_ns(datetime.combine(DAY, time(hour, minute), EXCHANGE_ZONE))


@pytest.fixture
def runtime(tmp_path):
    made = make_runtime(tmp_path)
    engine = open_engine(made.database_url)
    MainBase.metadata.create_all(engine)
    engine.dispose()
    return made


class Desk:
    """The specialist at a moment, with a chain of NIFTY."""

    def __init__(self, runtime: Any, now_ns: int = at(14, 5), **settings: Any) -> None:
        self.context = RecordingContext("expiry_specialist", runtime, now_ns=now_ns)
        self.agent = ExpirySpecialist(
            self.context, ExpirySettings(**({"enabled": True} | settings))
        )
        self.agent.start()
        self.context.deliver(
            self.agent,
            SessionOpened(
                day=DAY, opens_ns=at(9, 15), closes_ns=at(15, 40), intraday_exit_ns=at(15, 0),
                square_off_ns=at(15, 15),
            ),
        )  # fmt: skip

    def chain(self, expiry: date = DAY) -> None:
        rows = np.zeros(2, CHAIN_DTYPE)
        rows["strike"], rows["is_call"], rows["ask"] = [25_100, 24_900], [True, False], [5.0, 4.0]
        self.context.feed(f"chain.NIFTY.{format_expiry(expiry)}", rows, spot=25_000.0)

    def scan(self, dry: bool = False) -> ScanCompleted:
        self.context.deliver(self.agent, ScanRequested(cycle=1, regime=Regime(version=2), dry=dry))
        told = self.context.told_to("signal_loop", ScanCompleted)
        found: ScanCompleted = (told if dry else self.context.heard(ScanCompleted))[-1]
        return found

    def accept(self, signal: Any) -> None:
        intent: Any = SimpleNamespace(signal=signal, strategy_id="S1")
        self.context.deliver(self.agent, OrderProposed(intent=intent))


def codes(answer: ScanCompleted) -> list[str]:
    return [note.code for note in answer.notes]


def test_as_shipped_it_answers_and_wants_nothing(runtime) -> None:
    desk = Desk(runtime, enabled=False)
    desk.chain()
    answer = desk.scan()
    assert (answer.signals, answer.notes) == ((), ())
    assert ExpirySettings().enabled is False


def test_on_an_expiry_day_both_options_are_one_signal(runtime) -> None:
    desk = Desk(runtime)
    desk.chain()
    (signal,) = desk.scan().signals
    assert [leg.strike for leg in signal.legs] == [24_900, 25_100]
    assert desk.context.heard(SignalRaised)[0].signal == signal


def test_a_chain_that_expires_on_another_day_is_left_alone(runtime) -> None:
    desk = Desk(runtime)
    desk.chain(date(2026, 12, 1))
    answer = desk.scan()
    assert (answer.signals, answer.notes) == ((), ())


def test_the_next_expirys_chain_does_not_hide_todays(runtime) -> None:
    desk = Desk(runtime)
    desk.chain()
    desk.chain(date(2026, 12, 1))
    assert len(desk.scan().signals) == 1


def test_looking_uses_nothing_up_and_an_accepted_order_does_also_for_the_next_life(runtime) -> None:
    desk = Desk(runtime)
    desk.chain()
    assert len(desk.scan(dry=True).signals) == 1
    (signal,) = desk.scan().signals
    assert len(desk.scan().signals) == 1
    desk.accept(signal)
    assert codes(desk.scan()) == ["EXPIRY_USED"]
    again = Desk(runtime)
    again.chain()
    assert codes(again.scan()) == ["EXPIRY_USED"]


def test_an_order_of_another_source_uses_nothing_up(runtime) -> None:
    desk = Desk(runtime)
    desk.chain()
    desk.accept(SimpleNamespace(source="HTTP", instrument="NIFTY"))
    assert len(desk.scan().signals) == 1


def test_outside_its_hour_it_says_when_it_is(runtime) -> None:
    desk = Desk(runtime, at(11, 0))
    desk.chain()
    assert codes(desk.scan()) == ["OUTSIDE_EXPIRY_HOUR"]


def test_the_hour_follows_the_session_and_not_the_clock(runtime) -> None:
    desk = Desk(runtime, at(12, 5))
    desk.chain()
    short = SessionOpened(
        day=DAY, opens_ns=at(9, 15), closes_ns=at(13, 0), intraday_exit_ns=at(13, 0),
        square_off_ns=at(13, 0),
    )  # fmt: skip
    desk.context.deliver(desk.agent, short)
    assert len(desk.scan().signals) == 1
    desk.context.deliver(desk.agent, SessionClosed(day=DAY, reason="over", next_opens_ns=0))
    assert codes(desk.scan()) == ["OUTSIDE_EXPIRY_HOUR"]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"begins_before_exit_min": 300.0}, "begins_before_exit_min"),
        ({"begins_before_exit_min": 0.0}, "above ends_before_exit_min"),
        ({"ends_before_exit_min": -1.0}, "0 to 299"),
        ({"price_min": 0.0}, "price_min"),
        ({"price_min": 11.0}, "price_min"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ExpirySettings(**settings)
