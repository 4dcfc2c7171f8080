"""The book of chains says what its ticks moved, the same way in every process."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time

from domain.calendar import ExchangeCalendar, SessionHours
from domain.market.chain_book import ChainBook, LadderRules
from tests.domain.market.test_listed_expiries import CountingIndex
from tests.kit.market_makers import at, listings, make_ticks

HOURS = (SessionHours(date(2026, 1, 1), time(9, 15), time(15, 40), time(15, 0), time(15, 15)),)
NAMES = [f"SHARE{number:02}" for number in range(20)]


def test_underlyings_that_moved_come_in_the_order_in_which_they_are_followed():
    """A set of names has another order in each process, and so had two replays of one day."""
    [one, *_] = listings()
    followed = {
        name: replace(one, listing_id=number, symbol=name, name=name)
        for number, name in enumerate(NAMES, 1)
    }
    rules = LadderRules(25, 60, 1.0, 90.0, 2, (), expiries_kept_s=120.0)
    book = ChainBook(CountingIndex(), ExchangeCalendar("NFO", HOURS), rules, followed)
    ticks = make_ticks(*((number, 100.0, at(10, 0)) for number in range(len(NAMES), 0, -1)))
    assert book.hear(ticks) == NAMES
