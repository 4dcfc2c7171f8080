"""domain.feeds.roll: when a shard's listings are taken from it, and when it gets some again."""

import pytest

from domain.clock import NS_PER_S
from domain.feeds.roll import ShardRecord, after_report, call_roll, summarise


def s(seconds):
    return int(seconds * NS_PER_S)


def record(state, since_s, *, heard_s=None, carries=True):
    return ShardRecord(state, s(since_s), s(since_s if heard_s is None else heard_s), carries)


OTHER = {"other": record("live", 0, heard_s=10_000)}


def carries(row, at_s, others=OTHER):
    return call_roll({"it": row, **others}, s(at_s))["it"].carries


def test_a_blip_moves_nothing_but_five_seconds_down_do():
    assert carries(record("down", 100), 104.9)
    assert not carries(record("down", 100), 105)


def test_connecting_again_and_again_is_down_all_the_while():
    row = record("live", 0)
    for state, at_s in (("down", 100), ("connecting", 101), ("authenticating", 102), ("down", 103)):
        row = after_report(row, state, s(at_s))
    assert row.since_ns == s(100)
    assert not carries(row, 105)


def test_a_refused_shard_loses_its_listings_at_once():
    assert not carries(record("refused", 100), 100)


def test_a_mute_shard_keeps_its_listings():
    assert carries(record("mute", 100, heard_s=199), 200)


def test_a_shard_that_says_nothing_for_fifteen_seconds_is_not_trusted():
    row = record("live", 0, heard_s=100)
    assert carries(row, 114.9)
    assert not carries(row, 115)


def test_a_shard_that_came_back_is_trusted_after_a_minute():
    row = record("live", 100, heard_s=160, carries=False)
    assert not carries(row, 159.9)
    assert carries(row, 160)


def test_a_shard_that_came_back_alone_is_trusted_at_once():
    row = record("live", 100, carries=False)
    assert carries(row, 100, {"other": record("down", 0, carries=False)})


def test_a_shard_that_is_still_down_is_not_taken_back():
    assert not carries(record("down", 0, heard_s=500, carries=False), 500)


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["live", "live"], "live"),
        (["live", "down"], "degraded"),
        (["live", "mute"], "degraded"),
        (["mute", "down"], "mute"),
        (["refused", "refused"], "refused"),
        (["refused", "down"], "down"),
        (["connecting", "authenticating"], "down"),
        ([], "down"),
    ],
)
def test_a_feed_is_as_good_as_its_shards(states, whole):
    assert summarise(states) == whole
