"""The sockets of a replay: what was readable a moment ago may be taken already."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.hosting.shortcut import Shortcut


def test_an_old_word_of_readable_descriptors_is_no_error(tmp_path: Path) -> None:
    shortcut = Shortcut(tmp_path, "one", 1)
    (listener,) = shortcut.descriptors()
    assert shortcut.take(listener) == []
    assert shortcut.take(99_999) == []
    shortcut._listener.close()


def test_a_number_that_names_another_file_by_now_is_watched_all_the_same(tmp_path: Path) -> None:
    shortcut = Shortcut(tmp_path, "one", 1)
    reading, writing = os.pipe()
    assert shortcut.wait([reading], 0) == []
    os.close(reading)
    os.close(writing)
    again, other = os.pipe()
    assert again == reading  # the lowest free number
    os.write(other, b"x")
    assert shortcut.wait([again], 0) == [again]
    assert shortcut.wait([], 0) == []  # nobody asks for it any more
    for descriptor in (again, other, *shortcut.descriptors()):
        os.close(descriptor)
    shortcut._listener.detach()


@pytest.mark.parametrize("hangs_up_at_once", [False, True])
def test_a_connection_with_the_number_of_what_was_watched_before_is_heard(
    tmp_path: Path, hangs_up_at_once: bool
) -> None:
    hearer, teller = Shortcut(tmp_path, "hearer", 1), Shortcut(tmp_path, "teller", 1)
    reading, writing = os.pipe()
    teller.send(hearer.address, "first")
    (listener,) = hearer.wait([reading], 0)
    os.close(reading)
    hearer.take(listener)
    assert hearer.owns(reading)  # the lowest free number
    if hangs_up_at_once:
        teller._hang_up(hearer.address)
        assert hearer.take(reading) == [("first", teller.address)]
    else:
        heard = [hearer.take(ready) for ready in hearer.wait([], 0)]
        assert heard == [[("first", teller.address)]]
        teller._hang_up(hearer.address)
        assert [hearer.take(ready) for ready in hearer.wait([], 0)] == [[]]
    assert hearer.wait([], 0) == []
    os.close(writing)
    for one in (hearer, teller):
        one._listener.close()


def test_frames_of_many_come_as_they_were_sent_and_who_hangs_up_is_forgotten(
    tmp_path: Path,
) -> None:
    hearer = Shortcut(tmp_path, "hearer", 1)
    tellers = [Shortcut(tmp_path, f"teller{number}", 1) for number in range(3)]
    for number, teller in enumerate(tellers):
        teller.send(hearer.address, number)

    def heard() -> list[tuple[object, str]]:
        return [row for ready in hearer.wait([], 0) for row in hearer.take(ready)]

    # A turn takes one connection; the fourth reads what the last of them brought.
    frames = [row for _ in range(len(tellers) + 1) for row in heard()]
    assert sorted(frames, key=str) == [(n, one.address) for n, one in enumerate(tellers)]
    for teller in tellers:
        teller._hang_up(hearer.address)
    assert heard() == []
    assert len(hearer.descriptors()) == 1
    assert hearer.wait([], 0) == []
    for one in (hearer, *tellers):
        one._listener.close()
