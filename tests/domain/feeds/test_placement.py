"""domain.feeds.placement: balanced, with as few moves as can be."""

from hypothesis import given
from hypothesis import strategies as st

from domain.feeds.placement import place


def test_listings_go_one_by_one_to_the_shard_with_the_fewest():
    placement = place({}, [1, 2, 3, 4, 5], ["a", "b"], capacity=1000)
    assert placement.parts == {"a": (1, 3, 5), "b": (2, 4)}


def test_a_dead_shards_listings_move_and_the_others_stay():
    current = {"a": (1, 4), "b": (2, 5), "c": (3, 6)}
    placement = place(current, [1, 2, 3, 4, 5, 6], ["a", "c"], capacity=1000)
    assert placement.parts == {"a": (1, 4, 2), "c": (3, 6, 5)}


def test_a_returning_shard_takes_only_what_levels_the_load():
    placement = place({"a": (1, 2, 3, 4, 5, 6)}, range(1, 7), ["a", "b"], capacity=1000)
    assert placement.parts == {"a": (1, 2, 3), "b": (6, 5, 4)}


def test_what_finds_no_room_is_the_least_important():
    placement = place({}, [9, 8, 7, 6, 5], ["a", "b"], capacity=2)
    assert placement.unplaced == (5,)
    assert set(placement.parts["a"] + placement.parts["b"]) == {9, 8, 7, 6}


def test_without_a_shard_nothing_is_placed():
    assert place({"a": (1,)}, [1, 2], [], capacity=10).unplaced == (1, 2)


SHARDS = st.lists(st.sampled_from("abcde"), unique=True)


@given(
    st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(0, 60), unique=True)),
    st.lists(st.integers(0, 60)),
    SHARDS,
    st.integers(1, 20),
)
def test_any_placement_is_level_complete_within_capacity_and_moves_no_more_than_it_must(
    current, wanted, shards, capacity
):
    owned, seen = {}, set()
    for name, rows in current.items():  # a listing stands on one shard only
        owned[name] = tuple(row for row in rows if row not in seen)
        seen.update(rows)

    placement = place(owned, wanted, shards, capacity=capacity)

    sizes = [len(rows) for rows in placement.parts.values()]
    placed = [row for rows in placement.parts.values() for row in rows]
    assert sorted(placed + list(placement.unplaced)) == sorted(set(wanted))
    assert all(size <= capacity for size in sizes)
    assert not placement.unplaced or len(placed) == capacity * len(shards)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1

    carried = set(placed)
    kept = {name: carried & set(owned.get(name, ())) for name in shards}
    stayed = sum(len(kept[name] & set(rows)) for name, rows in placement.parts.items())
    low, extra = divmod(len(placed), len(shards)) if shards else (0, 0)
    loads = sorted((len(rows) for rows in kept.values()), reverse=True)
    limits = [low + 1] * extra + [low] * (len(loads) - extra)
    assert stayed == sum(min(load, limit) for load, limit in zip(loads, limits, strict=True))
