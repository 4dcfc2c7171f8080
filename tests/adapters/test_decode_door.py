"""Frames in hex become rows of JSON, and what cannot is told by its line."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from decimal import Decimal

import pytest

from adapters.decode import FIELDS, run, to_json
from tests.kit.source_tree import ROOT
from tests.kit.wire_frames import (
    dhan_packet,
    dhan_side,
    kite_message,
    kite_packet,
    smartapi_packet,
)

NAMES = [
    "broker", "exchange", "token", "mode", "last_price", "last_qty", "avg_price", "volume",
    "buy_qty", "sell_qty", "open", "high", "low", "close", "oi", "oi_high", "oi_low",
    "last_trade_ts", "exchange_ts", "received_ts", "bids", "asks", "upper_circuit",
    "lower_circuit", "high_52w", "low_52w", "prev_oi",
]  # fmt: skip


def decoded(broker: str, text: str) -> tuple[int, list[dict], str]:
    out, err = io.StringIO(), io.StringIO()
    code = run(broker, io.StringIO(text), out, err)
    return code, [json.loads(line, parse_float=Decimal) for line in out.getvalue().splitlines()], (
        err.getvalue()
    )  # fmt: skip


@pytest.mark.parametrize("broker", ["kite", "smartapi", "dhan"])
def test_a_row_has_every_name_of_the_specification_in_its_order(broker: str) -> None:
    rng = random.Random(1)
    frame = {
        "kite": kite_message([kite_packet(rng, 184)]),
        "smartapi": smartapi_packet(rng, 3),
        "dhan": dhan_packet(rng, 8),
    }[broker]
    code, (row,), err = decoded(broker, frame.hex())
    assert (code, err) == (0, "")
    assert list(row)[: len(NAMES)] == NAMES
    assert row["broker"] == broker
    assert row["last_price"] is not None
    assert len(row["bids"]) == len(row["asks"]) == 5
    assert list(row["bids"][0]) == ["price", "qty", "orders"]
    assert set(FIELDS) - set(NAMES) == {"sequence", "last_trade_raw"}


def test_a_price_keeps_all_its_digits() -> None:
    assert to_json({"price": Decimal("92233720368547758.07"), "none": None, "rows": [1, "a"]}) == (
        '{"price": 92233720368547758.07, "none": null, "rows": [1, "a"]}'
    )
    assert to_json(Decimal(10**9) / 100) == "10000000"


def test_bad_hex_is_told_by_its_line_and_the_next_line_goes_on() -> None:
    frame = dhan_packet(random.Random(1), 2).hex()
    code, rows, err = decoded("dhan", f"{frame}\nxyz\n\n{frame[:-1]}\n  {frame.upper()} \n")
    assert (code, len(rows)) == (1, 2)
    assert [line.split(":")[0] for line in err.splitlines()] == [
        "Line 2 is not decoded", "Line 4 is not decoded",
    ]  # fmt: skip
    assert "pairs of hexadecimal digits, one frame a line" in err


def test_a_refused_packet_is_told_and_those_beside_it_are_given() -> None:
    good = kite_packet(random.Random(1), 8)
    code, rows, err = decoded("kite", kite_message([good, bytes(9), good]).hex())
    assert (code, len(rows)) == (1, 2)
    assert err.startswith("Line 1, a packet is skipped. kite: frame of 33 bytes, at byte 12")
    assert "unknown_length" in err


def test_a_doubtful_value_is_told_and_the_packet_is_given() -> None:
    code, (row,), err = decoded("kite", "0001" + "0008" + "00000101" + "ffffffff")
    assert (code, row["last_price"]) == (0, Decimal("-0.01"))
    assert err == "Line 1, 1 values are doubtful: negative_price.\n"


def test_an_unknown_broker_is_told_with_those_known() -> None:
    code, rows, err = decoded("angel", "00")
    assert (code, rows) == (2, [])
    assert err == "Broker 'angel' is unknown: it must be one of kite, smartapi, dhan.\n"


def test_dhans_deep_books_come_through_the_same_door() -> None:
    rng = random.Random(2)
    frames = [dhan_side(rng, 41, 20, 5) + dhan_side(rng, 51, 20, 6), dhan_side(rng, 51, 60, 60)]
    code, rows, err = decoded("dhan", "\n".join(frame.hex() for frame in frames))
    assert (code, err) == (0, "")
    assert [row["mode"] for row in rows] == ["DEPTH20", "DEPTH20", "DEPTH200"]
    assert [len(row["bids"] or row["asks"]) for row in rows] == [20, 20, 60]


def test_a_disconnect_is_a_row_with_its_reason() -> None:
    code, (row,), _ = decoded("dhan", "320a000000000000" + "2503")
    assert (code, row["kind"], row["reason"]) == (0, "disconnect", 805)


@pytest.mark.parametrize(("words", "code"), [(["dhan"], 0), ([], 2), (["kite", "more"], 2)])
def test_the_command_line_reads_and_answers(words: list[str], code: int) -> None:
    frame = dhan_packet(random.Random(3), 8).hex().encode()
    done = subprocess.run(
        [sys.executable, "-m", "adapters.decode", *words],
        input=frame, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert (b"Usage:" in done.stderr) == bool(code)
    assert len(done.stdout.splitlines()) == (not code)


def test_bytes_that_are_no_text_are_told_and_not_fatal() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "adapters.decode", "dhan"],
        input=b"\xff\xfe\n", cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"Line 1 is not decoded" in done.stderr
