"""Few calls at a time, those of one structure in their order, and nothing waits in vain."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from domain.execution.lanes import Lanes


def filled(count: int, *works: tuple[str, str]) -> Lanes[str]:
    lanes: Lanes[str] = Lanes(count)
    for structure, work in works:
        lanes.put(structure, work)
    return lanes


def test_another_structure_goes_beside_a_busy_one_and_its_own_next_waits() -> None:
    lanes = filled(2, ("A", "a1"), ("A", "a2"), ("B", "b1"))
    assert [lanes.take(), lanes.take(), lanes.take()] == [(0, "a1"), (1, "b1"), None]
    lanes.free(0)
    assert lanes.take() == (0, "a2")


def test_no_more_go_than_there_are_lanes_and_the_first_of_them_goes_next() -> None:
    lanes = filled(2, ("A", "a"), ("B", "b"), ("C", "c"), ("D", "d"))
    assert [lanes.take(), lanes.take(), lanes.take()] == [(0, "a"), (1, "b"), None]
    lanes.free(1)
    assert [lanes.take(), lanes.take()] == [(1, "c"), None]


def test_what_could_not_begin_is_the_first_of_all_again() -> None:
    lanes = filled(1, ("A", "a1"), ("A", "a2"))
    taken = lanes.take()
    assert taken == (0, "a1")
    lanes.give_back(0)
    assert lanes.take() == (0, "a1")


STEPS = st.lists(
    st.one_of(st.sampled_from("ABC"), st.sampled_from(["take", "free", "back"])), max_size=60
)


@given(st.integers(1, 3), STEPS)
def test_whatever_happens_all_goes_once_and_in_the_order_of_its_structure(count, steps) -> None:
    lanes: Lanes[tuple[str, int]] = Lanes(count)
    made: dict[str, int] = defaultdict(int)
    done: list[tuple[str, int]] = []
    busy: dict[int, tuple[str, int]] = {}
    for step in [*steps, *["take", "free"] * 80]:
        if step == "take":
            taken = lanes.take()
            if taken:
                assert taken[0] not in busy
                assert taken[1][0] not in [structure for structure, _ in busy.values()]
                busy[taken[0]] = taken[1]
            assert len(busy) <= count
        elif step == "free" and busy:
            lane = min(busy)
            done.append(busy.pop(lane))
            lanes.free(lane)
        elif step == "back" and busy:
            lane = max(busy)
            del busy[lane]
            lanes.give_back(lane)
        elif step in "ABC":
            made[step] += 1
            lanes.put(step, (step, made[step]))
    assert sorted(done) == [(name, n + 1) for name in sorted(made) for n in range(made[name])]
    for name in made:
        numbers = [number for structure, number in done if structure == name]
        assert numbers == sorted(numbers)
