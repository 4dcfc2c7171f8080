"""The sockets of a replay: what was readable a moment ago may be taken already."""

from __future__ import annotations

from pathlib import Path

from actors.hosting.shortcut import Shortcut


def test_an_old_word_of_readable_descriptors_is_no_error(tmp_path: Path) -> None:
    shortcut = Shortcut(tmp_path, "one", 1)
    (listener,) = shortcut.descriptors()
    assert shortcut.take(listener) == []
    assert shortcut.take(99_999) == []
    shortcut._listener.close()
