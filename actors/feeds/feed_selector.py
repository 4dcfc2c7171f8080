"""Feed selector: says which broker's ticks are believed (`tomic.md` 11.2).

Hears FeedStateChanged of every feed, their ticks, the session and restarts; announces FeedSwitched
and reports `ws_data`, the feed as the status shows it. What is lost and what is back is an alert.
Twins: failover, watch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.actor import Actor, Context
from adapters.tick_bus import Batch
from domain.clock import NS_PER_S, exchange_time, seconds
from domain.feeds import failover
from domain.feeds.failover import USABLE, Choice, FeedHealth, Switch
from domain.feeds.watch import FeedSigns, FeedWatch, watch_feeds
from messages.lifecycle import NodeRestarted
from messages.market import FeedStateChanged, FeedSwitched, SessionClosed, SessionOpened
from persistence.database import open_engine
from persistence.latches import Latch, read_latch, write_latch

CHECK_EVERY_S = 1.0
# At a start all feeds connect at once; who is first by chance must not be canonical for minutes.
FIRST_DECISION_AFTER_S = 15.0
STAGE_OF_CONSUMERS = "actors.market."


class FeedSelector(Actor):
    """State: the choice of the feed, kept on disk, and the health of each."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._sequence = context.runtime.feed_sequence
        self._choice = Choice(self._sequence[0])
        self._feeds = dict.fromkeys(self._sequence, FeedHealth())
        self._views: dict[str, FeedStateChanged] = {}
        self._ticked: dict[str, set[int]] = {name: set() for name in self._sequence}
        self._tick_ns = dict.fromkeys(self._sequence, 0)
        self._unusable_ns = dict.fromkeys(self._sequence, context.now_ns())
        self._watch: FeedWatch | None = None  # outside of the session nobody is told
        plan = context.runtime.replay
        # A recorded price stands until its next row: that silence is none.
        stands_s = plan.interval_ns / NS_PER_S if plan else 0.0
        self._stale_after_s = context.runtime.settings.feed_stale_alert_after_s + stands_s
        self._error, self._error_ns = "", 0
        wait_s = FIRST_DECISION_AFTER_S if context.life == 1 else 0.0
        self._decides_ns = context.now_ns() + seconds(wait_s)

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url)
        self._choice = self._recall()
        if self.context.life > 1 or self._canonical != self._sequence[0]:
            self._announce("", "the feed selector began anew")
        self.context.every(CHECK_EVERY_S, self._check)
        for broker in self._sequence:
            self.context.subscribe(f"ticks.{broker}", self._on_ticks)

    # -- what it hears --

    def on_feed_state_changed(self, message: FeedStateChanged) -> None:
        if message.broker not in self._feeds:
            return
        self._views[message.broker] = message
        if message.state in USABLE:
            self._unusable_ns[message.broker] = 0
        elif not self._unusable_ns[message.broker]:
            self._unusable_ns[message.broker] = self.context.now_ns()
        if message.reason and message.state != "live":
            self._error, self._error_ns = message.reason, self.context.now_ns()
        self._feeds[message.broker] = failover.after_report(
            self._feeds[message.broker],
            state=message.state,
            failures_in_row=message.failures_in_row,
            disconnects=message.disconnects,
            last_tick_ns=message.last_message_ns,
            now_ns=self.context.now_ns(),
        )
        self._check()

    def on_session_opened(self, _message: SessionOpened) -> None:
        self._watch = self._watch or FeedWatch(self.context.now_ns())

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._watch = None
        self._feeds = {name: failover.after_close(row) for name, row in self._feeds.items()}

    def on_node_restarted(self, message: NodeRestarted) -> None:
        feed, _, broker = message.name.partition(".")
        if feed == "feed" and broker in self._feeds:
            self._feeds[broker] = failover.after_restart(self._feeds[broker])
        node = self.context.runtime.tree.find(message.name)
        consumes = node is not None and node.actor.startswith(STAGE_OF_CONSUMERS)
        if consumes and self._canonical != self._sequence[0]:
            # A new life believes the first of the sequence until it is told otherwise.
            reason = f"told again: {message.name} restarted"
            self.context.remind(message.name, self._switched(self._canonical, reason))

    def _on_ticks(self, batch: Batch) -> None:
        broker = batch.topic.removeprefix("ticks.")
        if broker in self._ticked and len(batch.columns):
            self._ticked[broker].update(np.unique(batch.columns["listing"]).tolist())
            self._tick_ns[broker] = int(batch.columns["received_ns"].max())

    # -- decisions --

    def _check(self) -> None:
        now_ns = self.context.now_ns()
        switch = failover.decide(self._sequence, self._canonical, self._feeds, now_ns)
        if switch and now_ns >= self._decides_ns:
            self._switch(switch)
        self._look_after(now_ns)
        self.context.report(lambda: self._body(now_ns))

    def _look_after(self, now_ns: int) -> None:
        if self._watch is None:
            return
        signs = {
            name: FeedSigns(
                row.state, self._reason_of(name), self._unusable_ns[name], self._tick_ns[name]
            )
            for name, row in self._feeds.items()
        }
        self._watch, alerts = watch_feeds(
            self._watch, signs, self._canonical, now_ns, stale_after_s=self._stale_after_s
        )
        for alert in alerts:
            self.context.alert(alert.level, alert.text, alert.key)

    def _reason_of(self, broker: str) -> str:
        view = self._views.get(broker)
        return view.reason if view else ""

    def _switch(self, switch: Switch) -> None:
        left, now_ns = self._canonical, self.context.now_ns()
        self._choice = self._choice.after(switch, now_ns)
        self._keep(switch.reason, now_ns)
        self._announce(left, switch.reason)
        text = f"feed switched from {left} to {switch.to_broker}: {switch.reason}"
        if switch.is_return:
            self.context.alert("INFO", text, "feed:return")
            return
        self.context.alert("RISK", text, "feed:failover")
        count = len(self._choice.failovers_ns)
        if count > failover.FAILOVERS_A_DAY_MAX:
            self.context.alert("CRITICAL", f"{count} feed failovers today", "feed:failovers")

    @property
    def _canonical(self) -> str:
        return self._choice.canonical

    def _recall(self) -> Choice:
        latch = read_latch(self._engine, self.context.name)
        body = dict(latch.body or {}) if latch else {}
        kept = Choice(body["canonical"], tuple(body["failovers_ns"])) if body else None
        kept_ns = latch.updated_ns if latch else 0
        return failover.recall(kept, self._sequence, self.context.now_ns(), kept_ns)

    def _keep(self, reason: str, now_ns: int) -> None:
        choice = self._choice
        latch = Latch(
            name=self.context.name,
            engaged=choice.canonical != self._sequence[0],
            day=exchange_time(now_ns).date().isoformat(),
            reason=reason,
            since_ns=now_ns,
            updated_ns=now_ns,
            body={"canonical": choice.canonical, "failovers_ns": list(choice.failovers_ns)},
        )
        self.context.work(lambda: write_latch(self._engine, latch), self._kept)

    def _kept(self, result: Any) -> None:
        if isinstance(result, Exception):  # it holds all the same until this life ends
            self.context.alert("RISK", f"the choice of feed is not on disk: {result}", "feed:disk")

    def _announce(self, left: str, reason: str) -> None:
        self.context.announce(self._switched(left, reason))

    def _switched(self, left: str, reason: str) -> FeedSwitched:
        return FeedSwitched(
            from_broker=left,
            to_broker=self._canonical,
            reason=reason,
            using_fallback=self._canonical != self._sequence[0],
        )

    def _body(self, now_ns: int) -> dict[str, Any]:
        view = self._views.get(self._canonical)
        state = view.state if view else "down"
        last_ns = self._tick_ns[self._canonical]
        fallback = self._canonical != self._sequence[0]
        has_key = bool(self.context.runtime.feed_key(self._canonical))
        return {
            "connected": bool(view and view.connected),
            "authenticated": bool(view and view.connected),
            "canonical": self._canonical,
            "state": state,
            "url": self.context.runtime.feed(self._canonical).websocket_url,
            "using_fallback": fallback,
            "subscribed_symbols": view.listings if view else 0,
            "mode": "auto",
            "reconnect_count": sum(row.disconnects for row in self._views.values()),
            "failovers_today": len(self._choice.of_today(now_ns)),
            "api_key_configured": has_key,
            "using_fallback_api_key": fallback and has_key,
            "last_message_age_s": _age_s(now_ns, last_ns),
            "last_error": self._error,
            "last_error_age_s": _age_s(now_ns, self._error_ns),
            "last_auth_status": "error" if state == "refused" else "success" if view else "",
            "last_auth_message": view.reason if view and state == "refused" else "",
            "latest_tick_cache": len(self._ticked[self._canonical]),
            "feeds": {name: row.state for name, row in self._views.items()},
        }  # fmt: skip


def _age_s(now_ns: int, then_ns: int) -> float:
    return round((now_ns - then_ns) / NS_PER_S, 1) if then_ns else -1.0
