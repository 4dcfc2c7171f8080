"""Three stops in a row that a broker refuses: nothing that needs one is opened there any more."""

from __future__ import annotations

import pytest

from domain.errors import BrokerRejected
from domain.intents import StrategyType
from messages.control import TradingResumed
from messages.trading import CommandEnded
from persistence.database import open_engine
from persistence.settings import RESUMED_NS, SettingStore
from tests.kit.trading_desk import STRANGLE, Desk, leg, make_intent

AGENT = "execution_agent"
SPREAD = (leg(25600, "P", "SELL"), leg(25400, "P", "BUY"))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def refuse_stops(request):
    if request.price_type == "SL":
        raise BrokerRejected("no stops today")
    return request.quantity


def rest_stops(request):
    return 0 if request.price_type == "SL" else request.quantity


def strangle(number: int, underlying: str = "NIFTY"):
    return make_intent(
        StrategyType.SHORT_STRANGLE,
        STRANGLE,
        number=number,
        underlying=underlying,
        naked_approved=True,
    )


def unguarded(desk) -> None:
    desk.broker.script = refuse_stops
    desk.propose(strangle(1))
    desk.run(20)
    assert desk.broker.net() == {}
    desk.broker.script = rest_stops


def last_end(desk):
    return desk.announced(CommandEnded)[-1]


def test_no_naked_short_is_opened_where_the_last_stops_were_refused(desk) -> None:
    unguarded(desk)
    sent = len(desk.broker.requests)
    desk.propose(strangle(2))
    desk.run(3)

    assert len(desk.broker.requests) == sent
    assert (last_end(desk).status, last_end(desk).refusal.code) == ("FAILED", "STOPS_REFUSED")
    assert "no stops today" in last_end(desk).refusal.text
    assert any("no naked short is opened at alpha" in text for text in desk.alerts())


def test_a_new_life_knows_that_stops_were_refused(desk) -> None:
    unguarded(desk)
    desk.kill(AGENT)
    desk.begin(AGENT)
    desk.propose(strangle(2))
    desk.run(3)

    assert last_end(desk).refusal.code == "STOPS_REFUSED"


def test_what_needs_no_stop_is_opened_all_the_same(desk) -> None:
    unguarded(desk)
    desk.propose(make_intent(number=2, legs=SPREAD))
    desk.run(3)

    assert last_end(desk).status == "DONE"


def test_a_person_who_resumes_lets_naked_shorts_be_opened_again(desk) -> None:
    unguarded(desk)
    desk.deliver(AGENT, TradingResumed(id="x", at_ns=desk.now_ns))
    SettingStore(open_engine(desk.runtime.database_url)).write(RESUMED_NS, desk.now_ns)
    desk.kill(AGENT)
    desk.begin(AGENT)
    desk.propose(strangle(2))
    desk.run(3)

    assert last_end(desk).status == "DONE"


def test_a_stop_that_is_taken_again_lets_naked_shorts_be_opened_again(desk) -> None:
    desk.broker.script = rest_stops
    desk.propose(strangle(1))
    desk.run(3)
    resting = next(row for row in desk.broker.book.values() if row.price_type == "SL")
    desk.broker.script = refuse_stops
    desk.propose(strangle(2, underlying="BANKNIFTY"))
    desk.run(20)
    desk.propose(strangle(3, underlying="BANKNIFTY"))
    desk.run(3)
    assert last_end(desk).refusal.code == "STOPS_REFUSED"

    desk.broker.script = rest_stops
    desk.broker.reject(resting.order_id, "the exchange took it out")
    desk._read_book()
    desk.run(3)
    desk.propose(strangle(4, underlying="BANKNIFTY"))
    desk.run(3)
    assert last_end(desk).status == "DONE"
