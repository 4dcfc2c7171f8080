"""persistence.instruments on a real SQLite file."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from domain.errors import BadMarketData
from domain.instruments import Kind, Listing
from persistence.database import MainBase, open_engine
from persistence.instruments import InstrumentStore

DAY = date(2026, 11, 20)
NIFTY = Listing(0, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0, token="26000")
CALL = Listing(
    0, "NFO", "NIFTY24NOV2625950CE", "NIFTY", Kind.CALL, 65, Decimal("0.05"), 1800,
    date(2026, 11, 24), Decimal(25950), "4711",
)  # fmt: skip
ODD_STRIKE = replace(CALL, symbol="VEDL24NOV26292.5CE", name="VEDL", strike=Decimal("292.5"))


@pytest.fixture
def store(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/main.db")
    MainBase.metadata.create_all(engine)
    yield InstrumentStore(engine)
    engine.dispose()


def test_an_empty_database_gives_an_empty_index(store):
    assert len(store.load_index()) == 0
    assert store.rows_loaded(DAY) == 0


def test_a_listing_comes_back_exactly_as_it_was_loaded_but_for_its_id(store):
    assert store.load([NIFTY, CALL, ODD_STRIKE], "zerodha", DAY) == 3

    index = store.load_index()

    for row in (NIFTY, CALL, ODD_STRIKE):
        found = index.get(row.exchange, row.symbol)
        assert found.listing_id > 0
        assert replace(found, listing_id=0) == row
    assert index.strikes("VEDL", date(2026, 11, 24)) == [Decimal("292.5")]


def test_ids_stay_when_another_broker_loads_another_day_in_another_order(store):
    store.load([NIFTY, CALL], "zerodha", DAY)
    before = {row.key: row.listing_id for row in store.load_index().by_id.values()}

    store.load([ODD_STRIKE, replace(CALL, lot_size=75), NIFTY], "dhan", date(2026, 11, 23))

    index = store.load_index()
    assert index.get("NFO", CALL.symbol).listing_id == before[CALL.key]
    assert index.get("NSE_INDEX", "NIFTY").listing_id == before[NIFTY.key]
    assert index.get("NFO", ODD_STRIKE.symbol).listing_id not in before.values()
    assert index.get("NFO", CALL.symbol).lot_size == 75


def test_what_the_newest_master_does_not_name_leaves_the_index_and_comes_back_with_its_id(store):
    store.load([NIFTY, CALL], "zerodha", DAY)
    listing_id = store.load_index().get("NFO", CALL.symbol).listing_id

    store.load([NIFTY], "zerodha", date(2026, 11, 25))
    assert store.load_index().find("NFO", CALL.symbol) is None

    store.load([NIFTY, CALL], "zerodha", date(2026, 11, 26))
    assert store.load_index().get("NFO", CALL.symbol).listing_id == listing_id


def test_rows_loaded_counts_only_the_day_of_the_current_master(store):
    store.load([NIFTY, CALL], "zerodha", DAY)

    assert store.rows_loaded(DAY) == 2
    assert store.rows_loaded(date(2026, 11, 23)) == 0


def test_a_listing_named_twice_counts_once_and_its_last_row_holds(store):
    assert store.load([CALL, replace(CALL, lot_size=75)], "zerodha", DAY) == 1
    assert store.load_index().get("NFO", CALL.symbol).lot_size == 75


def test_an_empty_master_is_refused_and_the_old_one_stays(store):
    store.load([NIFTY], "zerodha", DAY)

    with pytest.raises(BadMarketData, match="names no listing"):
        store.load([], "dhan", DAY)

    assert store.load_index().find("NSE_INDEX", "NIFTY")


def test_one_index_serves_everyone_until_another_master_is_loaded(store):
    store.load([NIFTY], "alpha", DAY)
    first = store.load_index()
    assert store.load_index() is first
    store.load([NIFTY, CALL], "alpha", DAY)
    assert len(store.load_index()) == 2
