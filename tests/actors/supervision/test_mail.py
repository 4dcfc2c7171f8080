"""Outbox and inbox: credits, order, overflow, and what a death does to mail."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.hosting.inbox import Inbox
from actors.hosting.outbox import CREDITS, Letter, Outbox
from actors.hosting.wire import Mail, Posted
from domain.errors import MailboxFull


def letter(data: object, **more: object) -> Letter:
    return Letter("Fact", data, 0, **more)  # type: ignore[arg-type]


def outbox(room: int = 100) -> Outbox:
    made = Outbox("sender", 1, "target", room)
    made.moved(1, "address 1", 0, 0)
    return made


def texts(taken: list[tuple[int, Letter]]) -> list[object]:
    return [one.data for _, one in taken]


def mail(letters: list[tuple[int, object]], first: int, sender_life: int = 1) -> Mail:
    posted = tuple(Posted(count, 0, False, data) for count, data in letters)
    return Mail("target", 1, "sender", sender_life, first, posted)


def test_no_more_letters_are_handed_over_than_there_are_credits() -> None:
    box = outbox()
    for number in range(CREDITS + 3):
        box.put(letter(number))
    taken = box.take(0)
    assert texts(taken) == list(range(CREDITS))
    assert box.take(0) == []
    box.acknowledge(1, taken[1][0])
    assert texts(box.take(0)) == [CREDITS, CREDITS + 1]


def test_nothing_is_handed_over_before_the_target_has_an_address() -> None:
    box = Outbox("sender", 1, "target", 10)
    box.put(letter("held"))
    assert box.take(0) == []
    box.moved(1, "address", 0, 0)
    assert texts(box.take(0)) == ["held"]


def test_a_full_mailbox_refuses_and_counts_what_is_under_way() -> None:
    box = outbox(room=3)
    for number in range(3):
        box.put(letter(number))
    box.take(0)
    with pytest.raises(MailboxFull, match="mailbox of 3 is full"):
        box.put(letter("one too many"))
    assert len(box) == 3


def test_in_a_full_mailbox_the_newest_of_its_kind_replaces_the_older() -> None:
    box = Outbox("sender", 1, "target", 2)
    box.put(letter("old", newest_wins=True, subject="NIFTY"))
    box.put(letter("other", newest_wins=True, subject="BANKNIFTY"))
    box.put(letter("new", newest_wins=True, subject="NIFTY"))
    box.moved(1, "address", 0, 0)
    assert texts(box.take(0)) == ["new", "other"]


def test_an_urgent_letter_overtakes_waiting_ones_but_no_other_urgent_one() -> None:
    box = Outbox("sender", 1, "target", 10)
    for data, urgent in (("a", False), ("x", True), ("y", True)):
        box.put(letter(data, urgent=urgent))
    box.moved(1, "address", 0, 0)
    assert texts(box.take(0)) == ["x", "y", "a"]


def test_what_a_dead_target_did_not_handle_goes_to_its_next_life_in_order() -> None:
    box = outbox()
    for number in range(5):
        box.put(letter(number))
    counts = [count for count, _ in box.take(0)]
    box.moved(2, "address 2", begun=counts[1], ended=counts[1])
    again = box.take(0)
    assert texts(again) == [2, 3, 4]
    assert again[0][0] == box.first


def test_a_letter_in_hand_at_two_deaths_is_not_sent_a_third_time() -> None:
    box = outbox()
    box.put(letter("poison"))
    for life in (2, 3):
        [(count, _)] = box.take(0)
        box.moved(life, f"address {life}", begun=count, ended=count - 1)
    assert box.take(0) == []
    assert [dead.data for dead in box.dead_letters] == ["poison"]


def test_an_acknowledgement_of_an_earlier_life_is_not_believed() -> None:
    box = outbox()
    box.put(letter("a"))
    [(count, _)] = box.take(0)
    box.moved(2, "address 2", 0, 0)
    box.take(0)
    box.acknowledge(1, count + 10)
    assert len(box) == 1


def test_mail_for_another_name_or_life_is_refused_and_counted() -> None:
    inbox = Inbox("target", 2)
    assert inbox.accept(mail([(1, "a")], 1)) is None
    assert Inbox("stranger", 1).accept(mail([(1, "a")], 1)) is None
    assert inbox.refused == 1


def test_a_letter_that_comes_twice_is_given_once() -> None:
    inbox = Inbox("target", 1)
    inbox.accept(mail([(1, "a")], 1))
    assert inbox.accept(mail([(1, "a"), (2, "b")], 1))[0].data == "b"  # type: ignore[index]
    assert inbox.repeated == 1


def test_mail_is_handled_when_nothing_waits_and_the_target_has_ended_all_it_was_handed() -> None:
    box = outbox()
    assert box.is_handled(0)
    box.put(letter("first"))
    assert not box.is_handled(0)
    [(count, _)] = box.take(0)
    assert not box.is_handled(count - 1)
    assert box.is_handled(count)  # though its acknowledgement is still to come
    box.put(letter("second"))
    assert not box.is_handled(count)


def test_mail_of_an_earlier_life_of_the_sender_is_refused() -> None:
    inbox = Inbox("target", 1)
    inbox.accept(mail([(50, "new")], 50, sender_life=2))
    assert inbox.accept(mail([(9, "old")], 1, sender_life=1)) is None


@given(st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 0.8))
def test_whatever_is_lost_doubled_or_overtaken_each_letter_is_given_once_and_in_order(
    number: int, seed: int, loss: float
) -> None:
    draw = random.Random(seed)
    box, inbox, given_out = outbox(), Inbox("target", 1), []
    for data in range(number):
        box.put(letter(data))
    under_way: list[tuple[int, Letter]] = []
    while len(box):
        under_way += box.take(0)
        under_way += box.overdue(1) if draw.random() < 0.3 or not under_way else []
        if not under_way:
            continue
        one = under_way.pop(draw.randrange(len(under_way)))
        if draw.random() < loss:
            continue
        due = inbox.accept(mail([(one[0], one[1].data)], box.first))
        given_out += [posted.data for posted in due or []]
        if draw.random() >= loss:
            box.acknowledge(1, inbox.last_count("sender"))
    assert given_out == list(range(number))
