"""The list of expiries is kept for a while, and never beyond its day."""

from __future__ import annotations

from datetime import date, time

from domain.calendar import ExchangeCalendar, SessionHours
from domain.clock import seconds
from domain.market.chain_book import ChainBook, LadderRules
from tests.kit.recording_context import START_NS

HOURS = (SessionHours(date(2026, 1, 1), time(9, 15), time(15, 40), time(15, 0), time(15, 15)),)
EXPIRY = date(2026, 11, 24)


class CountingIndex:
    """An instrument index that lists one expiry and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def expiries(self, name: str, on_or_after: date) -> list[date]:
        self.asked += 1
        return [EXPIRY] if on_or_after <= EXPIRY else []


def test_listed_expiries_are_kept_as_long_as_the_setting_says():
    index = CountingIndex()
    rules = LadderRules(25, 60, 1.0, 90.0, 2, (), expiries_kept_s=120.0)
    book = ChainBook(index, ExchangeCalendar("NFO", HOURS), rules, {})
    for after_s, asked in ((0, 1), (119, 1), (120, 2), (200, 2), (86_400, 3)):
        assert book.tradable("NIFTY", START_NS + seconds(after_s)) == [EXPIRY]
        assert index.asked == asked
