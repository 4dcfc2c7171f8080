"""The control lease on a real SQLite file."""

from dataclasses import replace

import pytest

from domain.clock import seconds
from domain.errors import LeaseLost
from domain.execution.commands import entry_command, entry_orders
from persistence.commands import CommandStore
from persistence.database import MainBase, open_engine
from persistence.lease import Fence, LeaseKeeper, LeaseStore
from tests.kit.trading_desk import make_intent

NOW = seconds(1_000)


@pytest.fixture
def store(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'main.db'}")
    MainBase.metadata.create_all(engine)
    yield LeaseStore(engine)
    engine.dispose()


def test_first_taker_gets_the_lease_for_its_duration(store):
    lease = store.take("first", NOW, 30)
    assert (lease.owner, lease.fencing_number, lease.expires_ns) == ("first", 1, seconds(1_030))
    assert lease.holds("first", seconds(1_029))
    assert not lease.holds("first", seconds(1_030))
    assert not lease.holds("second", NOW)


def test_second_instance_does_not_get_a_held_lease(store):
    store.take("first", NOW, 30)
    answer = store.take("second", seconds(1_029), 30)
    assert (answer.owner, answer.fencing_number) == ("first", 1)


def test_expired_lease_passes_on_under_a_higher_number(store):
    store.take("first", NOW, 30)
    answer = store.take("second", seconds(1_030), 30)
    assert (answer.owner, answer.fencing_number) == ("second", 2)


def test_own_next_life_takes_at_once_and_fences_off_the_one_before(store):
    before = store.take("first", NOW, 30)
    after = store.take("first", seconds(1_001), 30)
    assert after.fencing_number == 2
    answer = store.renew(before, seconds(1_002), 30)
    assert answer.fencing_number == 2
    assert answer.expires_ns == seconds(1_031)  # of the later taking, not moved by the late renewal


def test_renewal_moves_the_end(store):
    lease = store.take("first", NOW, 30)
    assert store.renew(lease, seconds(1_010), 30).expires_ns == seconds(1_040)


def test_renewal_after_loss_names_the_new_owner(store):
    lease = store.take("first", NOW, 30)
    store.take("second", seconds(1_031), 30)
    assert store.renew(lease, seconds(1_032), 30).owner == "second"


def test_released_lease_is_free_at_once(store):
    lease = store.take("first", NOW, 30)
    store.release(lease)
    assert store.take("second", NOW, 30).owner == "second"


def test_who_lost_the_lease_cannot_release_it(store):
    lease = store.take("first", NOW, 30)
    store.release(replace(lease, fencing_number=7))
    assert store.take("second", seconds(1_001), 30).owner == "first"


def test_keeper_takes_then_renews_under_the_same_number(store):
    keeper = LeaseKeeper(store, "first", 30)
    assert keeper.hold(NOW).fencing_number == 1
    renewed = keeper.hold(seconds(1_010))
    assert (renewed.fencing_number, renewed.expires_ns) == (1, seconds(1_040))


def test_keeper_names_the_other_owner_until_that_lease_runs_out(store):
    store.take("other", NOW, 30)
    keeper = LeaseKeeper(store, "first", 30)
    assert keeper.hold(seconds(1_010)).owner == "other"
    taken = keeper.hold(seconds(1_030))
    assert (taken.owner, taken.fencing_number) == ("first", 2)


def test_keeper_of_an_earlier_life_never_takes_the_lease_back(store):
    earlier = LeaseKeeper(store, "first", 30)
    earlier.hold(NOW)
    later = LeaseKeeper(store, "first", 30)
    later.hold(seconds(1_001))
    with pytest.raises(RuntimeError, match="newer life"):
        earlier.hold(seconds(1_002))
    with pytest.raises(RuntimeError, match="newer life"):
        earlier.hold(seconds(2_000))
    earlier.release()
    assert store.read().fencing_number == 2
    assert store.read().expires_ns == seconds(1_031)


def test_released_keeper_frees_the_lease(store):
    keeper = LeaseKeeper(store, "first", 30)
    keeper.hold(NOW)
    keeper.release()
    assert store.take("second", NOW, 30).owner == "second"


def write_entry(store, fence):
    intent = make_intent()
    command = entry_command(intent, "{}", "alpha", now_ns=NOW, ttl_s=10)
    return CommandStore(store._engine).record(command, entry_orders(intent, command), fence)


def test_a_holder_that_thaws_after_another_took_the_lease_writes_no_entry(store):
    late = store.take("first", NOW, 30)
    store.take("second", seconds(1_031), 30)
    with pytest.raises(LeaseLost, match=r"second took the control lease \(number 2\)"):
        write_entry(store, Fence("first", late.fencing_number))
    assert CommandStore(store._engine).open_commands() == []
    assert not write_entry(store, Fence("second", 2))[1]


def test_an_entry_of_the_last_life_of_the_same_loop_is_still_written(store):
    before = store.take("first", NOW, 30)
    store.take("first", seconds(1_001), 30)
    row, duplicate = write_entry(store, Fence("first", before.fencing_number))
    assert (row.command_id, duplicate) == (1, False)
