"""domain.feeds.reconnect: delays double, and only a minute of ticks forgives."""

import pytest

from domain.clock import NS_PER_S
from domain.feeds.reconnect import Reconnect, after_loss, after_ticks, delay_s


def test_delays_double_from_one_second_and_end_at_sixty():
    record, delays = Reconnect(), []
    for _ in range(8):
        delays.append(delay_s(record, 0.0))
        record = after_loss(record)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_thousand_attempts_still_wait_sixty_seconds():
    assert delay_s(Reconnect(attempt=1000), 0.0) == 60


@pytest.mark.parametrize(("jitter", "expected"), [(1.0, 19.2), (-1.0, 12.8)])
def test_jitter_is_a_fifth_either_way(jitter, expected):
    assert delay_s(Reconnect(attempt=4), jitter) == pytest.approx(expected)


def test_a_connection_alone_forgives_nothing_but_sixty_seconds_of_ticks_do():
    record = after_ticks(Reconnect(attempt=5), 1_000 * NS_PER_S)
    record = after_ticks(record, 1_059 * NS_PER_S)
    assert record.attempt == 5
    assert after_ticks(record, 1_060 * NS_PER_S).attempt == 0


def test_ticks_before_a_loss_do_not_count_after_it():
    record = after_loss(after_ticks(Reconnect(attempt=3), NS_PER_S))
    record = after_ticks(record, 65 * NS_PER_S)
    assert record.attempt == 4
