"""`--calendar`: the week ahead as a person reads it."""

from __future__ import annotations

import json
from datetime import date, time
from pathlib import Path

import pytest

import system
from domain.calendar import ExchangeCalendar, SessionHours, calendar_from
from domain.errors import ConfigurationFault
from domain.events import EventCalendar
from launch.build import ROOT, read_calendars
from launch.calendar_week import notes, warnings


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.usefixtures("wide")
def test_a_week_names_the_hours_and_the_holidays_of_every_exchange(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert system.main(["--calendar", "2026-11-23"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [word for word in ("NSE", "BSE", "NFO", "BFO", "MCX") if word not in lines[2]] == []
    monday = next(line for line in lines if "Mon 2026-11-23" in line)
    assert [monday.count(hours) for hours in ("09:15-15:40", "09:15-15:35", "09:00-23:55")] == [
        *(2, 2, 1),
    ]
    tuesday = next(line for line in lines if "Tue 2026-11-24" in line)
    assert tuesday.count("Guru Nanak Jayanti") == 5
    assert "17:00-23:55 Guru Nanak Jayanti, evening session only" in tuesday


@pytest.mark.usefixtures("wide")
def test_a_change_of_hours_in_the_next_weeks_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert system.main(["--calendar", "2026-07-20"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "NFO trades 09:15-15:40 from 2026-08-03 on, until then 09:15-15:30" in told
    assert not any(line.startswith("MCX trades") for line in told)


def test_the_end_of_what_is_known_is_told_before_it_comes() -> None:
    calendars = read_calendars(ROOT / "calendars")
    assert warnings(calendars, date(2026, 12, 31)) == []
    assert len(warnings(calendars, date(2027, 1, 1))) == len(calendars)
    assert any("the holidays of NFO are known until 2026-12-31" in line
               for line in notes(calendars, EventCalendar(), date(2026, 12, 1)))  # fmt: skip


@pytest.mark.parametrize("word", ["tomorrow", "2026-02-30"])
def test_a_day_that_is_none_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert system.main(["--calendar", word]) == 2
    assert f"--calendar {word}: must be a day as YYYY-MM-DD" in capsys.readouterr().err


def test_a_bad_end_of_a_calendar_is_refused_in_its_words() -> None:
    hours = {"since": "2020-01-01", "opens": "09:15", "closes": "15:30",
             "intraday_exit": "15:00", "square_off": "15:15"}  # fmt: skip
    with pytest.raises(ConfigurationFault, match="known_until: '2026-13-01'"):
        calendar_from({"exchange": "NFO", "hours": [hours], "known_until": "2026-13-01"})


def test_a_calendar_without_an_end_is_never_warned_of() -> None:
    row = SessionHours(date(2020, 1, 1), time(9), time(15), time(14), time(14, 30))
    assert warnings({"X": ExchangeCalendar("X", (row,))}, date(2099, 1, 1)) == []


@pytest.mark.usefixtures("wide")
def test_the_week_tells_what_is_to_happen_in_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = {"day": "2026-12-10", "kind": "RESULTS", "name": "Q2", "underlying": "ACME"}
    (tmp_path / "events.json").write_text(json.dumps({"events": [own]}))
    assert system.main(["--calendar", "2026-12-07", "--data-dir", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    wednesday = lines.index(next(line for line in lines if "Wed 2026-12-09" in line))
    assert "Federal Reserve" in " ".join(lines[wednesday : wednesday + 3])
    thursday = lines.index(next(line for line in lines if "Thu 2026-12-10" in line))
    assert "Q2 (ACME)" in " ".join(lines[thursday : thursday + 3])
    assert "events of kind CENTRAL_BANK are known until 2026-03-31" in told.replace("\n", " ")


def test_an_event_that_cannot_be_read_stops_with_its_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "events.json").write_text("{")
    assert system.main(["--calendar", "--data-dir", str(tmp_path)]) != 0
    assert "events.json: this is no JSON" in "".join(capsys.readouterr())
