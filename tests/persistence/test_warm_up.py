"""What the launcher tries before the fork leaves nothing behind."""

from __future__ import annotations

from persistence.database import open_engine
from persistence.migrate import migrate
from persistence.orders import OrderStore
from persistence.warm_up import warm_up


def test_the_writes_that_were_tried_leave_no_row(tmp_path) -> None:
    urls = {group: f"sqlite:///{tmp_path / group}.db" for group in ("main", "journal")}
    migrate(urls)
    warm_up(urls["main"], urls["journal"])

    store = OrderStore(open_engine(urls["main"], durable=True))
    assert store.recent_commands(10) == []
    assert store.orders_named([""]) == []
