"""What the launcher tries before the fork leaves nothing behind."""

from __future__ import annotations

import pytest

from persistence.database import open_engine
from persistence.migrate import migrate
from persistence.orders import OrderStore
from persistence.positions import PositionStore
from persistence.warm_up import warm_up
from tests.kit.long_past import Past


def test_the_writes_that_were_tried_leave_no_row(tmp_path) -> None:
    urls = {group: f"sqlite:///{tmp_path / group}.db" for group in ("main", "journal")}
    migrate(urls)
    warm_up(urls["main"], urls["journal"])

    store = OrderStore(open_engine(urls["main"], durable=True))
    assert store.recent_commands(10) == []
    assert store.orders_named([""]) == []


def test_no_past_is_read_to_warm_up(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher's time is that of every start: a year of fills took it a second."""
    urls = {"main": f"sqlite:///{tmp_path / 'tomic.db'}"}
    urls["journal"] = f"sqlite:///{tmp_path / 'journal.db'}"
    migrate(urls)
    Past(tmp_path, "zerodha").write(8)
    read, unfolded = [], PositionStore.unfolded

    def noted(store: PositionStore, after_fill_id: int) -> list:
        read.append(unfolded(store, after_fill_id))
        return read[-1]

    assert unfolded(PositionStore(open_engine(urls["main"])), 0)  # there is one
    monkeypatch.setattr(PositionStore, "unfolded", noted)
    warm_up(urls["main"], urls["journal"])
    assert read == [[], []]
