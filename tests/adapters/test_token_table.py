"""Row numbers by token, against a dictionary."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.packets import UNKNOWN_ROW
from adapters.token_table import TOKEN_MAX, TokenTable


def columns(listed: dict[tuple[int, int], int]) -> TokenTable:
    pairs = np.array(list(listed), np.int64).reshape(-1, 2)
    return TokenTable(pairs[:, 0], pairs[:, 1], np.array(list(listed.values()), np.int64))


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 255), st.integers(0, 5_000) | st.integers(0, 10**8)),
        st.integers(0, 2**31 - 1),
        max_size=30,
    ),
    st.lists(st.tuples(st.integers(0, 255), st.integers(-5, 2**40)), max_size=10),
)
def test_it_finds_what_is_listed_and_nothing_else(
    listed: dict[tuple[int, int], int], others: list[tuple[int, int]]
) -> None:
    near = [(segment, token + step) for segment, token in listed for step in (-1, 0, 1, 1_024)]
    asked = np.array([*listed, *near, *others], np.int64).reshape(-1, 2)
    found = columns(listed).rows_of(asked[:, 0], asked[:, 1])
    wanted = [listed.get((segment, token), UNKNOWN_ROW) for segment, token in asked.tolist()]
    assert found.tolist() == wanted


def test_a_whole_day_of_instruments_fits_in_little_memory() -> None:
    rng = random.Random(5)
    tokens = rng.sample(range(35_000, 180_000), 20_000) + rng.sample(range(800_000, 10**6), 4_999)
    segments = np.array([2] * 20_000 + [8] * 4_999 + [1])
    table = TokenTable(segments, np.array([*tokens, 99_926_000]), np.arange(25_000))
    assert table.rows_of(segments, np.array([*tokens, 99_926_000])).tolist() == list(range(25_000))
    assert table.size_bytes < 3_000_000


def test_rows_that_claim_one_token_get_none_and_the_others_keep_theirs() -> None:
    table = TokenTable(np.array([1, 2, 2, 2]), np.array([7, 7, 7, 8]), np.arange(4))
    assert table.refused == {1: "token_twice", 2: "token_twice"}
    found = table.rows_of(np.array([1, 2, 2]), np.array([7, 7, 8]))
    assert found.tolist() == [0, UNKNOWN_ROW, 3]


@pytest.mark.parametrize("token", [TOKEN_MAX + 1, -1])
def test_a_token_out_of_range_is_refused_and_the_others_keep_theirs(token: int) -> None:
    table = TokenTable(np.array([1, 1]), np.array([token, 5]), np.array([8, 9]))
    assert table.refused == {8: "bad_token"}
    assert table.rows_of(np.array([1, 1, 1]), np.array([token, 0, 5])).tolist() == [-1, -1, 9]


@pytest.mark.parametrize(
    ("segment", "row", "words"),
    [
        (256, 1, "segment 256 is outside 0 to 255"),
        (-1, 1, "segment -1"),
        (1, -1, "row -1"),
    ],
)
def test_what_is_out_of_range_is_named(segment: int, row: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TokenTable(np.array([segment]), np.array([1]), np.array([row]))
