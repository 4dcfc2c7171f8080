"""Times by name: what was packed comes out again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.stamps import Stamps
from messages.codec import from_plain, to_plain

NAMES = st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1)
TIMES = st.dictionaries(NAMES, st.integers(1, 2**63 - 1))


@given(TIMES)
def test_every_name_gives_its_time_in_the_order_of_packing(times):
    stamps = Stamps.of(times)
    assert stamps == times
    assert list(stamps) == list(times)
    assert len(stamps) == len(times)
    assert stamps.newest_ns == max(times.values(), default=0)


@given(TIMES)
def test_they_travel_as_two_pieces_of_bytes(times):
    plain = to_plain(Stamps.of(times))
    assert {type(value) for value in plain.values()} == {bytes}
    assert from_plain(Stamps, plain) == times


def test_a_name_that_was_never_seen_has_no_time():
    assert Stamps.of({"NIFTY": 5}).get("BANKNIFTY", 0) == 0
    assert not Stamps()
    assert "NIFTY" not in Stamps()
