"""The sandbox's master: what is listed, under which terms, expiring when."""

from collections import Counter
from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest

from adapters.sandbox.instruments import INDEX_SEEDS, listings_of, seed_levels
from domain.instruments import InstrumentIndex, Kind, parse_symbol

FRIDAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def index():
    return InstrumentIndex(listings_of(FRIDAY))


def futures(index, name):
    rows = index.by_id.values()
    return sorted(row.expiry for row in rows if row.kind is Kind.FUTURE and row.name == name)


def test_ids_run_from_one_without_a_gap_and_symbols_are_unique(index):
    assert sorted(index.by_id) == list(range(1, len(index) + 1))
    assert max(Counter(row.key for row in index.by_id.values()).values()) == 1


def test_the_eight_indices_the_volatility_index_and_the_equities_are_listed(index):
    for name in ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "INDIAVIX"):
        assert index.get("NSE_INDEX", name).kind is Kind.INDEX
    for name in ("SENSEX", "BANKEX", "SENSEX50"):
        assert index.get("BSE_INDEX", name).kind is Kind.INDEX
    for name in ("RELIANCE", "SBIN", "INFY", "TCS", "HDFCBANK", "ICICIBANK", "ITC", "TATASTEEL"):
        assert index.get("NSE", name).kind is Kind.EQUITY


@pytest.mark.parametrize(
    ("name", "lot", "step", "exchange"),
    [
        ("NIFTY", 65, 50, "NFO"),
        ("BANKNIFTY", 30, 100, "NFO"),
        ("FINNIFTY", 60, 50, "NFO"),
        ("MIDCPNIFTY", 120, 25, "NFO"),
        ("SENSEX", 20, 100, "BFO"),
    ],
)
def test_a_chain_has_its_lots_its_steps_and_forty_strikes_each_side(
    index, name, lot, step, exchange
):
    level = Decimal(str(seed_levels()[name]))
    for expiry in index.expiries(name, FRIDAY):
        chain = index.chain(name, expiry)
        assert {row.lot_size for row in chain} == {lot}
        assert {row.exchange for row in chain} == {exchange}
        strikes = index.strikes(name, expiry)
        assert len(chain) == 2 * len(strikes)
        gaps = {after - before for before, after in pairwise(strikes)}
        assert gaps == {Decimal(step)}
        assert sum(strike > level for strike in strikes) >= 40
        assert sum(strike < level for strike in strikes) >= 40


def test_nifty_orders_freeze_above_1800_units(index):
    row = index.chain("NIFTY", index.expiries("NIFTY", FRIDAY)[0])[0]
    assert row.freeze_quantity == 1_800


def test_nse_expires_on_tuesdays_and_the_day_before_a_tuesday_holiday(index):
    """24 November 2026 is Guru Nanak Jayanti, so its contracts end on Monday the 23rd."""
    expiries = index.expiries("NIFTY", FRIDAY)
    assert expiries[:4] == [
        date(2026, 11, 23),
        date(2026, 12, 1),
        date(2026, 12, 8),
        date(2026, 12, 15),
    ]


def test_bse_expires_on_thursdays(index):
    expiries = index.expiries("SENSEX", FRIDAY)
    assert expiries[:2] == [date(2026, 11, 26), date(2026, 12, 3)]
    assert all(day.weekday() == 3 for day in expiries)


def test_only_nifty_and_sensex_have_weekly_expiries(index):
    monthly = [date(2026, 11, 23), date(2026, 12, 29), date(2027, 1, 26)]
    for name in ("BANKNIFTY", "FINNIFTY", "MIDCPNIFTY"):
        assert index.expiries(name, FRIDAY) == monthly
    assert set(monthly) < set(index.expiries("NIFTY", FRIDAY))
    assert len(index.expiries("NIFTY", FRIDAY)) >= 7


def test_every_index_has_futures_of_three_months(index):
    assert futures(index, "NIFTY") == [date(2026, 11, 23), date(2026, 12, 29), date(2027, 1, 26)]
    for name in INDEX_SEEDS:
        assert len(futures(index, name)) == 3


def test_a_contract_is_still_listed_on_its_last_day_and_gone_the_day_after():
    last = InstrumentIndex(listings_of(date(2026, 11, 23)))
    after = InstrumentIndex(listings_of(date(2026, 11, 24)))
    assert last.expiries("NIFTY", date(2026, 1, 1))[0] == date(2026, 11, 23)
    assert after.expiries("NIFTY", date(2026, 1, 1))[0] == date(2026, 12, 1)


def test_a_symbol_says_what_its_row_says(index):
    for row in index.by_id.values():
        if row.expiry is None:
            continue
        parsed = parse_symbol(row.symbol)
        assert (parsed.name, parsed.expiry, parsed.kind) == (row.name, row.expiry, row.kind)
        assert parsed.strike == row.strike


def test_strikes_follow_the_level_that_is_given():
    index = InstrumentIndex(listings_of(FRIDAY, {"NIFTY": (30_010.0, 30_010.0)}))
    strikes = index.strikes("NIFTY", date(2026, 12, 1))
    assert strikes[len(strikes) // 2] == 30_000
