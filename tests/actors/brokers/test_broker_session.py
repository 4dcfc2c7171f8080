"""actors.brokers.broker_session: what it proves of a broker, and who loads the day's master."""

from datetime import date

import pytest

from actors.brokers import broker_session as module
from actors.brokers.broker_session import BrokerSession
from domain.errors import NotAuthenticated, NotSent, OutcomeUnknown
from messages.books import BrokerConnectionChanged
from messages.lifecycle import NodeRestarted
from messages.market import InstrumentsLoaded
from persistence.database import open_engine
from persistence.instruments import InstrumentStore
from tests.kit.feed_makers import DAY, make_feed_runtime, make_listings
from tests.kit.recording_context import START_NS, RecordingContext


class PlayedBroker:
    """Answers as the test set it; an exception is raised."""

    def __init__(self):
        self.pinged, self.sandbox, self.master = True, True, make_listings(3)
        self.calls = []
        self.closed = False

    def _answer(self, name, value):
        self.calls.append(name)
        if isinstance(value, Exception):
            raise value
        return value

    def ping(self):
        return self._answer("ping", self.pinged)

    def is_sandbox(self):
        return self._answer("is_sandbox", self.sandbox)

    def listings(self):
        return self._answer("listings", self.master)

    def close(self):
        self.closed = True


@pytest.fixture
def broker(monkeypatch):
    broker = PlayedBroker()
    monkeypatch.setattr(module, "open_broker", lambda endpoint, key: broker)
    return broker


@pytest.fixture
def runtime(tmp_path):
    return make_feed_runtime(tmp_path, listings=0)


def begin(runtime, name="alpha", life=1):
    context = RecordingContext(f"broker_session.{name}", runtime, instance=name, life=life)
    session = BrokerSession(context, None)
    session.start()
    return context, session


def told(context):
    return context.heard(BrokerConnectionChanged)


def test_a_broker_that_answers_is_connected_and_proven_at_once(broker, runtime):
    context, _ = begin(runtime)
    (news,) = told(context)
    assert (news.broker, news.state, news.sandbox_proven) == ("alpha", "connected", True)
    assert news.proven_ns == START_NS


def test_it_is_asked_every_ten_seconds_and_proven_before_a_proof_is_a_minute_old(broker, runtime):
    context, _ = begin(runtime)
    context.advance(120)
    assert broker.calls.count("ping") == 13
    assert broker.calls.count("is_sandbox") == 3
    assert [news.proven_ns - START_NS for news in told(context)] == [0, 50 * 10**9, 100 * 10**9]


def test_a_live_host_is_told_as_not_proven(broker, runtime):
    broker.sandbox = False
    context, _ = begin(runtime)
    assert told(context)[0].sandbox_proven is False


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (NotSent("refused"), "unreachable"),
        (OutcomeUnknown("no answer"), "unreachable"),
        (NotAuthenticated("Invalid openalgo apikey"), "refused"),
    ],
)
def test_a_failure_is_told_once_and_takes_the_proof_away(broker, runtime, failure, state):
    context, _ = begin(runtime)
    broker.pinged = failure
    context.advance(30)
    assert [news.state for news in told(context)] == ["connected", state]
    assert told(context)[-1].sandbox_proven is False
    assert told(context)[-1].reason == str(failure)


def test_a_broker_that_is_back_is_proven_before_it_is_told_as_connected(broker, runtime):
    context, _ = begin(runtime)
    broker.pinged = NotSent("refused")
    context.advance(10)
    broker.pinged = True
    context.advance(10)
    assert [(news.state, news.sandbox_proven) for news in told(context)][-1] == ("connected", True)
    assert broker.calls.count("is_sandbox") == 2


def test_a_question_that_is_not_answered_yet_is_not_asked_again(broker, runtime):
    context = RecordingContext("broker_session.kilo", runtime, instance="kilo")
    session = BrokerSession(context, None)
    context.hold_work = True
    session.start()
    context.advance(60)
    context.run_work()
    assert broker.calls.count("ping") == 1


def test_a_bug_is_no_brokers_failure(broker, runtime):
    broker.pinged = KeyError("x")
    context = RecordingContext("broker_session.kilo", runtime, instance="kilo")
    with pytest.raises(KeyError):
        BrokerSession(context, None).start()


def test_the_first_of_the_feed_sequence_loads_the_master_and_tells(broker, runtime):
    context, _ = begin(runtime)
    context.advance(1)
    (loaded,) = context.heard(InstrumentsLoaded)
    assert (loaded.broker, loaded.rows, loaded.day) == ("alpha", 3, DAY)
    engine = open_engine(runtime.database_url)
    assert InstrumentStore(engine).rows_loaded(DAY) == 3
    engine.dispose()


def test_a_second_feed_broker_leaves_the_master_to_the_first_unless_it_is_missing(broker, runtime):
    begin(runtime)[0].advance(1)
    context, _ = begin(runtime, "beta")
    context.advance(600)
    assert broker.calls.count("listings") == 1


def test_a_second_feed_broker_loads_the_master_when_the_first_could_not(broker, runtime):
    context, _ = begin(runtime, "beta")
    context.advance(59)
    assert "listings" not in broker.calls
    context.advance(1)
    assert context.heard(InstrumentsLoaded)[0].broker == "beta"


def test_a_broker_outside_the_feed_sequence_loads_nothing(broker, runtime):
    context, _ = begin(runtime, "kilo")
    context.advance(600)
    assert "listings" not in broker.calls


def test_a_load_that_failed_is_tried_again_after_doubling_pauses(broker, runtime):
    broker.master = NotSent("refused")
    context, _ = begin(runtime)
    context.advance(0)
    for pause_s in (1, 2, 4):
        before = broker.calls.count("listings")
        context.advance(pause_s - 0.01)
        assert broker.calls.count("listings") == before
        context.advance(0.01)
        assert broker.calls.count("listings") == before + 1
    broker.master = make_listings(2)
    context.advance(8)
    assert context.heard(InstrumentsLoaded)[0].rows == 2


def test_an_empty_master_is_no_master(broker, runtime):
    broker.master = []
    context, _ = begin(runtime)
    context.advance(1)
    assert context.heard(InstrumentsLoaded) == []
    assert broker.calls.count("listings") == 2


def test_a_new_life_of_anyone_is_told_the_connection_and_its_proof(broker, runtime):
    context, session = begin(runtime)
    context.advance(1)
    before = context.heard(BrokerConnectionChanged)[-1]
    context.clear()
    restarted = NodeRestarted(name="breaker_gate", life=2, reason="killed", handles_orders=False)
    context.deliver(session, restarted)
    ((name, again),) = context.told
    assert (name, told(context)) == ("breaker_gate", [])
    assert (again.state, again.sandbox_proven) == ("connected", True)
    assert again.proven_ns == before.proven_ns


def test_a_restart_within_the_day_loads_nothing_and_tells_what_its_former_life_may_not_have(
    broker, runtime
):
    begin(runtime)[0].advance(0)
    context, _ = begin(runtime, life=2)
    context.advance(60)
    assert broker.calls.count("listings") == 1
    assert len(context.heard(InstrumentsLoaded)) == 1


def test_a_start_with_the_days_master_at_hand_tells_of_it_without_loading(broker, runtime):
    begin(runtime)[0].advance(0)
    context, _ = begin(runtime)
    context.advance(0)
    assert context.heard(InstrumentsLoaded)[0].rows == 3
    assert broker.calls.count("listings") == 1


def test_the_next_day_has_its_own_master(broker, runtime):
    context, _ = begin(runtime)
    context.advance(14 * 3600)  # from 10:15 past midnight in India
    assert [row.day for row in context.heard(InstrumentsLoaded)] == [DAY, date(2026, 11, 21)]


def test_a_stopped_session_ends_its_connections(broker, runtime):
    _, session = begin(runtime)
    session.stop()
    assert broker.closed
