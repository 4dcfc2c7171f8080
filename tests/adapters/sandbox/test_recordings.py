"""A folder of recordings: one session of several underlyings, a file each."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.sandbox.recorded import RecordedMarket
from adapters.sandbox.recording import interval_ns
from adapters.sandbox.recordings import read_recordings
from domain.clock import NS_PER_MINUTE, epoch_ns
from domain.errors import BadMarketData
from domain.instruments import Kind
from tests.kit.recorded_session import EXPIRIES, HEADER, START, session_rows, write_rows

START_NS = epoch_ns(START)
STRIKES = 8
OPTIONS = 2 * 2 * STRIKES  # expiries, call and put
TERMS = [*HEADER, "underlying", "lot_size"]


def rows_of(name="", lot="", *, minutes=2, start=START):
    rows = session_rows(minutes=minutes, strikes=STRIKES, start=start)
    return [[*row, name, lot] for row in rows] if name or lot else rows


def write_share(folder: Path, file: str, name: str, lot: str) -> Path:
    return write_rows(folder / file, rows_of(name, lot), TERMS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two indices and a share whose name has a hyphen; a minute each between two moments."""
    write_rows(tmp_path / "nifty-2026-08-19.csv", rows_of())
    write_rows(tmp_path / "banknifty-2026-08-19.csv.gz", rows_of())
    write_share(tmp_path, "bajaj-auto-2026-08-19.csv", "BAJAJ-AUTO", "75")
    (tmp_path / "nifty-daily.csv").write_text(
        "date,open,high,low,close\n2026-08-18,24000,24100,23900,24050\n"
    )
    return tmp_path


def test_a_folder_is_one_market_of_every_underlying_in_it(folder: Path) -> None:
    market = RecordedMarket(folder, history_dir=folder)
    assert market.counts == {"rows": 3 * 2 * OPTIONS}
    assert market.warnings == []
    for name, exchange, lot in (
        ("NIFTY", "NSE_INDEX", 65), ("BANKNIFTY", "NSE_INDEX", 30), ("BAJAJ-AUTO", "NSE", 75),
    ):  # fmt: skip
        assert market.index.find(exchange, name)
        for expiry in EXPIRIES:
            chain = market.index.chain(name, expiry)
            assert len(chain) == 2 * STRIKES
            assert {(row.exchange, row.lot_size) for row in chain} == {("NFO", lot)}


def test_each_moment_lets_out_all_underlyings_before_any_option(folder: Path) -> None:
    market = RecordedMarket(folder)
    batch = market.advance(START_NS)
    kinds = [market.index.by_id[int(id_)].kind for id_ in batch["listing"]]
    assert kinds[:4] == [Kind.EQUITY, Kind.INDEX, Kind.INDEX, Kind.INDEX]
    assert len(batch) == 4 + 3 * OPTIONS  # three underlyings and the index of volatility
    assert len(set(batch["listing"].tolist())) == len(batch)
    assert market.next_ns() == START_NS + NS_PER_MINUTE


def test_a_contract_counts_in_the_lots_of_its_own_underlying(folder: Path) -> None:
    market = RecordedMarket(folder)
    ticks = market.advance(START_NS)
    for name, lot in (("BANKNIFTY", 30), ("BAJAJ-AUTO", 75)):
        ids = [row.listing_id for row in market.index.chain(name, EXPIRIES[0])]
        volumes = ticks["volume"][np.isin(ticks["listing"], ids)]
        assert set(volumes.tolist()) == {1_000 * lot}


def test_the_volatility_index_is_that_of_nifty_whatever_lies_beside_it(folder: Path) -> None:
    alone = RecordedMarket(folder / "nifty-2026-08-19.csv")
    alone.advance(START_NS)
    together = RecordedMarket(folder)
    together.advance(START_NS)
    points = [m.quote(m.index.find("NSE_INDEX", "INDIAVIX").listing_id) for m in (alone, together)]
    assert points[0].ltp == points[1].ltp > 0


def test_without_nifty_several_underlyings_have_no_volatility_index(tmp_path: Path) -> None:
    write_rows(tmp_path / "banknifty.csv", rows_of())
    write_share(tmp_path, "tcs.csv", "TCS", "175")
    market = RecordedMarket(tmp_path)
    market.advance(START_NS)
    assert market.quote(market.index.find("NSE_INDEX", "INDIAVIX").listing_id) is None


def test_files_of_other_paces_are_let_out_each_at_its_own_times(tmp_path: Path) -> None:
    write_rows(tmp_path / "nifty.csv", rows_of())
    later = START + timedelta(seconds=20)
    write_rows(tmp_path / "banknifty.csv", rows_of(start=later))
    market = RecordedMarket(tmp_path)
    moments = []
    while not market.ended:
        moments.append(market.next_ns() - START_NS)
        market.advance(market.next_ns())
    assert moments == [0, 20_000_000_000, 60_000_000_000, 80_000_000_000]
    assert interval_ns(row.recording for row in read_recordings(tmp_path)) == 20_000_000_000


def test_a_lone_file_may_be_of_a_share(tmp_path: Path) -> None:
    market = RecordedMarket(write_share(tmp_path, "session.csv", "TCS", "175"))
    assert market.index.find("NSE", "TCS").kind is Kind.EQUITY
    assert market.index.chain("TCS", EXPIRIES[0])[0].lot_size == 175


def test_a_share_without_its_lot_is_refused_with_what_it_needs(folder: Path) -> None:
    write_rows(folder / "reliance.csv", rows_of())
    with pytest.raises(BadMarketData, match=r"reliance\.csv is of RELIANCE.*needs a column lot_si"):
        read_recordings(folder)


def test_two_files_of_one_underlying_are_refused_and_both_named(folder: Path) -> None:
    write_rows(folder / "nifty-again.csv", rows_of())
    with pytest.raises(BadMarketData, match=r"nifty-2026-08-19\.csv and nifty-again\.csv are both"):
        read_recordings(folder)


def test_files_of_two_days_are_refused_with_both_dates(folder: Path) -> None:
    write_rows(folder / "finnifty.csv", rows_of(start=START + timedelta(days=1)))
    with pytest.raises(BadMarketData, match=r"2026-08-19 and finnifty\.csv of 2026-08-20"):
        read_recordings(folder)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nifty-daily.csv").write_text("date,open,high,low,close\n")
    with pytest.raises(BadMarketData, match="holds no recording"):
        read_recordings(tmp_path)


def test_a_bad_file_among_good_ones_is_named(folder: Path) -> None:
    (folder / "sensex.csv").write_text("ts,expiry\n")
    with pytest.raises(BadMarketData, match=r"sensex\.csv line 1: column strike is missing"):
        read_recordings(folder)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("underlying", "INFY", "other_underlying"),
        ("lot_size", "150", "other_lot_size"),
        ("lot_size", "0", "bad_lot"),
        ("lot_size", "many", "bad_lot"),
    ],
)
def test_a_row_of_another_underlying_or_lot_is_skipped_and_counted(
    tmp_path: Path, column: str, value: str, reason: str
) -> None:
    rows = rows_of("TCS", "175")
    rows[-1][TERMS.index(column)] = value
    market = RecordedMarket(write_rows(tmp_path / "tcs.csv", rows, TERMS))
    assert market.counts == {"rows": 2 * OPTIONS, reason: 1}
    assert f"tcs.csv line {2 * OPTIONS + 1} skipped" in market.warnings[0]


def test_the_recorded_day_is_that_of_the_first_rows(folder: Path) -> None:
    assert RecordedMarket(folder).day == date(2026, 8, 19)
