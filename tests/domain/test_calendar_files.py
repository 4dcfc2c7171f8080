"""The exchange calendars as shipped, and what their reader refuses."""

import json
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from domain.calendar import calendar_from
from domain.clock import EXCHANGE_ZONE, epoch_ns
from domain.errors import ConfigurationFault

FOLDER = Path(__file__).parents[2] / "calendars"


def shipped(exchange):
    return calendar_from(json.loads((FOLDER / f"{exchange}.json").read_text()))


def at(*moment):
    return epoch_ns(datetime(*moment, tzinfo=EXCHANGE_ZONE))


def test_derivatives_close_at_half_past_three_until_july_2026():
    session = shipped("NFO").session(date(2026, 7, 31))
    assert (session.opens_ns, session.closes_ns) == (
        at(2026, 7, 31, 9, 15),
        at(2026, 7, 31, 15, 30),
    )


def test_derivatives_close_ten_minutes_later_since_august_2026():
    session = shipped("NFO").session(date(2026, 8, 3))
    assert session.closes_ns == at(2026, 8, 3, 15, 40)
    assert session.intraday_exit_ns == at(2026, 8, 3, 15, 0)
    assert session.square_off_ns == at(2026, 8, 3, 15, 15)


def test_a_session_is_an_instant_whatever_the_hosts_zone():
    opens = datetime(2026, 8, 19, 3, 45, tzinfo=UTC)
    assert shipped("NFO").session(date(2026, 8, 19)).opens_ns == epoch_ns(opens)


@pytest.mark.parametrize("exchange", ["NFO", "NSE", "BFO", "BSE"])
def test_every_file_knows_the_national_holidays(exchange):
    calendar = shipped(exchange)
    assert calendar.exchange == exchange
    for day in (date(2025, 8, 15), date(2025, 10, 2), date(2026, 1, 26), date(2026, 10, 2)):
        assert calendar.session(day) is None


def test_a_holiday_gives_its_name_as_the_reason():
    assert shipped("NFO").closed_reason(at(2026, 5, 1, 11, 0)) == "Maharashtra Day"


def test_the_muhurat_evening_trades_on_a_holiday():
    session = shipped("NSE").session(date(2025, 10, 21))
    assert (session.opens_ns, session.closes_ns) == (
        at(2025, 10, 21, 13, 45),
        at(2025, 10, 21, 14, 45),
    )


def test_a_budget_day_trades_on_a_weekend():
    assert shipped("NFO").is_open(at(2025, 2, 1, 12, 0))
    assert not shipped("NFO").is_open(at(2025, 2, 8, 12, 0))


def test_the_day_after_a_long_weekend_is_the_next_session():
    assert shipped("NFO").next_session(at(2026, 4, 2, 16, 0)).day == date(2026, 4, 6)


def test_hours_may_stand_in_any_order():
    early = {"opens": "09:00", "closes": "15:00", "intraday_exit": "14:00", "square_off": "14:30"}
    rows = [{"since": "2026-06-01", **early, "opens": "10:00"}, {"since": "2020-01-01", **early}]
    calendar = calendar_from({"exchange": "X", "hours": rows})
    assert [row.opens for row in calendar.hours] == [time(9, 0), time(10, 0)]


HOURS = {
    "since": "2020-01-01", "opens": "09:15", "closes": "15:30",
    "intraday_exit": "15:00", "square_off": "15:15",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"exchange": ""}, "exchange"),
        ({"hours": []}, "hours"),
        ({"hours": [{**HOURS, "closes": "25:00"}]}, "25:00"),
        ({"hours": [{**HOURS, "closes": "09:00"}]}, "the order of a day"),
        ({"hours": [{"since": "2020-01-01"}]}, "opens"),
        ({"holidays": {"2026-02-30": "Never"}}, "2026-02-30"),
        ({"special": {"2026-11-08": {"opens": "19:00", "closes": "18:00"}}}, "2026-11-08"),
    ],
)
def test_a_wrong_row_is_refused_with_its_own_words(change, named):
    with pytest.raises(ConfigurationFault, match=named):
        calendar_from({"exchange": "NFO", "hours": [HOURS], **change})
