"""Routes on rows: what tables hold is what is answered, whoever is dead; and what is asked of
whom.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert
from starlette.testclient import TestClient

from domain.orders import CommandRow, CommandStatus, OrderRow, OrderStatus, Purpose
from persistence.database import open_engine
from persistence.journal import JournalStore
from persistence.order_tables import ATTEMPTS, COMMANDS, FILLS, ORDERS
from persistence.positions import KeptPosition, PositionStore
from tests.kit.fake_gateway import API_KEY, FakeGateway, make_test_app, node
from tests.kit.risk_makers import a_position
from web_status import trace_shapes
from web_status.gateway import Answer
from web_status.replies import plain

HEADERS = {"X-API-KEY": API_KEY}
NS = 1_000_000_000
INTENT = {
    "signal": {
        "instrument": "NIFTY", "strategy": "IRON_CONDOR", "direction": "SELL", "strength": 80.0,
        "source": "VOLATILITY", "reason": "premium is rich", "correlation_id": "V:1",
    },
    "structure": {
        "spot": 24_600.0, "as_of_ns": 5 * NS,
        "legs": [{"symbol": "CE1", "ltp": 100.0, "bid": 99.5, "ask": 100.5, "iv": 0.2,
                  "delta": 0.25}],
    },
    "quantity": 65, "lots": 1, "margin_required": "45000", "loss_per_unit": 115.0,
    "regime_phase": "CONGESTION", "regime_score": 1, "regime_version": 3, "vix": 14.0,
    "entry_reason": "all eight steps passed", "sizing": [{"step": 1, "reason": "room"}],
}  # fmt: skip


class Desk:
    """The app on a folder, a client, and hands for its tables."""

    def __init__(self, folder: Path) -> None:
        self.gateway = FakeGateway()
        app = make_test_app(folder, self.gateway)
        self.client = TestClient(app, raise_server_exceptions=False)
        runtime = app.state.runtime
        self.engine = open_engine(runtime.database_url)
        self.journal = JournalStore(open_engine(runtime.journal_url))

    def get(self, path: str) -> Any:
        return self.client.get(path, headers=HEADERS)

    def add(self, table: Any, row: Any, **more: Any) -> None:
        values = {name: getattr(row, name) for name in row.__slots__} if row else {}
        with self.engine.begin() as connection:
            connection.execute(insert(table).values(**values | more))

    def command(self, number: int, status: CommandStatus, **more: Any) -> None:
        row = CommandRow(
            event_type="ORDER_REQUEST",
            idempotency_key=f"S{number}:entry",
            correlation_id=f"V:{number}",
            strategy_id=f"S{number}",
            strategy_tag="TOMIC_IRON_CONDOR_NIFTY",
            underlying="NIFTY",
            broker_name="alpha",
            source_agent="risk_agent",
            payload=json.dumps(INTENT | more.pop("payload", {})),
            created_ns=10 * NS,
            command_id=number,
            status=status,
        )
        self.add(COMMANDS, row, **more)

    def order(self, number: int, **more: Any) -> None:
        row = OrderRow(
            client_order_id=f"S1:entry:{number}:SELL",
            command_id=1,
            strategy_id="S1",
            strategy_tag="TOMIC_IRON_CONDOR_NIFTY",
            leg_no=number,
            purpose=Purpose.ENTRY,
            broker_name="alpha",
            exchange="NFO",
            symbol="CE1",
            action="SELL",
            quantity=65,
            product="NRML",
            tag="T",
            created_ns=10 * NS,
        )
        self.add(ORDERS, row, **more)

    def fill(self, number: int, latency_ms: int) -> None:
        self.add(
            FILLS, None, client_order_id="S1:entry:0:SELL", strategy_id="S1", leg_no=0,
            exchange="NFO", symbol="CE1", product="NRML", action="SELL", quantity=1,
            price=Decimal("99"), at_ns=12 * NS, broker_name="alpha", command_id=1,
            cumulative=number, latency_ms=latency_ms, slippage_ticks=Decimal("20"), told=True,
        )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_is_not_known_is_null_and_every_number_is_plain(desk: Desk) -> None:
    body = {"nan": float("nan"), "inf": [float("inf")], "n": np.float64(1.5), "i": np.int64(3)}
    assert plain(body | {"d": Decimal("0.05")}) == {
        "nan": None, "inf": [None], "n": 1.5, "i": 3, "d": 0.05,
    }  # fmt: skip
    desk.gateway.report("feed_selector", {"connected": True, "worth": float("nan")})
    answer = desk.get("/tomic/status")
    assert answer.status_code == 200
    assert "NaN" not in answer.text
    assert answer.json()["data"]["ws_data"]["worth"] is None


def test_ages_count_on_while_an_actor_is_silent_and_never_stays_never(desk: Desk) -> None:
    ages = {"last_message_age_s": 0.5, "last_error_age_s": -1}
    desk.gateway.report("feed_selector", ages, age_s=30)
    desk.gateway.report("freshness_keeper", {"quote:NIFTY": 1.0, "option:X": -1}, age_s=30)
    desk.gateway.report("signal_loop", {"signal_loop": {"last_cycle_age_s": 2.0}}, age_s=30)
    desk.gateway.report_tree(node("root", node("recorder")))
    desk.gateway.clock_ns += 10 * NS
    status, metrics = (desk.get(f"/tomic/{name}").json()["data"] for name in ("status", "metrics"))
    assert status["ws_data"] == {"last_message_age_s": 40.5, "last_error_age_s": -1}
    assert status["signal_loop"]["last_cycle_age_s"] == 42
    assert status["agents"]["recorder"]["last_heartbeat_ago_s"] == 11
    assert metrics["freshness"] == {"quote:NIFTY": 41, "option:X": -1}


def test_a_part_of_a_living_actor_with_nothing_new_to_tell_is_good(desk: Desk) -> None:
    desk.gateway.report("reconciler", {}, age_s=99)
    desk.gateway.report("risk_agent", {}, age_s=99)
    alive, dead = node("reconciler"), node("risk_agent", last_heartbeat_age_s=60.0)
    desk.gateway.report_tree(node("root", alive, dead))
    parts = desk.get("/tomic/status").json()["data"]["parts"]
    assert parts["reconciler"]["ok"]
    assert not parts["risk_agent"]["ok"]


def test_queue_and_orders_are_counted_from_rows_though_execution_is_dead(desk: Desk) -> None:
    for number, status in enumerate(CommandStatus, start=1):
        desk.command(number, status)
    desk.order(0, status=OrderStatus.FILLED, broker_order_id="900")
    desk.order(1, status=OrderStatus.REJECTED, broker_order_id="901")
    desk.order(2, status=OrderStatus.WAITING)
    for number in range(1, 101):
        desk.fill(number, latency_ms=number)
    data = desk.get("/tomic/metrics").json()["data"]
    assert data["orders"] == {
        "placed": 2, "filled": 1, "rejected": 1, "latency_ms": {"avg": 50.5, "p99": 99.0},
    }  # fmt: skip
    assert data["queue"] == {
        "pending": 1, "processing": 1, "awaiting_approval": 1, "dead_letter": 1, "unknown": 1,
    }  # fmt: skip


def test_the_capital_shown_is_what_the_breakers_measure_against(desk: Desk) -> None:
    def shown() -> float:
        return float(desk.get("/tomic/metrics").json()["data"]["circuit_breakers"]["capital"])

    cap = shown()
    body = {"name": "A", "capital": cap - 250_000, "tripped": False, "since": 0}
    desk.gateway.report("breaker.a", body)
    assert shown() == cap - 250_000


def test_a_breaker_tells_since_when_in_words(desk: Desk) -> None:
    desk.gateway.report(
        "breaker.a", {"name": "A", "capital": 5.0, "tripped": True, "since": 86_400 * NS}
    )
    desk.gateway.report("breaker.b", {"name": "B", "capital": 5.0, "tripped": False, "since": 0})
    found = desk.get("/tomic/metrics").json()["data"]["circuit_breakers"]["breakers"]
    assert found["A"]["since"].startswith("1970-01-02T00:00:00")
    assert found["B"]["since"] == ""


def test_a_watched_structure_goes_by_its_tag_with_its_lots(desk: Desk) -> None:
    desk.command(1, CommandStatus.DONE)
    row = {"instrument": "NIFTY", "entry_credit": 5600.0, "trail_stop_activated": False}
    desk.gateway.report("position_manager", {"S1": row})
    watched = desk.get("/tomic/status").json()["data"]["position_manager"]
    assert watched == {"TOMIC_IRON_CONDOR_NIFTY": {**row, "strategy_id": "S1", "lots": 1}}


def test_commands_are_the_done_ones_unless_another_status_is_asked(desk: Desk) -> None:
    desk.command(1, CommandStatus.DONE)
    desk.command(2, CommandStatus.FAILED)

    def ids(query: str) -> tuple[str, list[int]]:
        answer = desk.get(f"/tomic/commands{query}").json()
        return answer["status_filter"], [row["id"] for row in answer["items"]]

    assert ids("") == ("DONE", [1])
    assert ids("?status=FAILED") == ("FAILED", [2])
    assert ids("?status=ALL") == ("ALL", [2, 1])


@pytest.mark.parametrize(("failures", "mode", "synced"), [(0, "broker", True), (2, "error", False)])
def test_positions_say_whether_the_brokers_books_could_be_read(
    desk: Desk, failures: int, mode: str, synced: bool
) -> None:
    assert desk.get("/tomic/positions").json()["sync"]["mode"] == "unavailable"
    desk.gateway.report("position_book", {})
    desk.gateway.report(
        "account_sync.alpha", {"failures_in_row": failures, "last_error": "it is away"}
    )
    sync = desk.get("/tomic/positions").json()["sync"]
    assert (sync["mode"], sync["synced"], sync["rows"]) == (mode, synced, 0)
    assert sync.get("message", "") == ("alpha: it is away" if failures else "")


def test_positions_ask_for_a_read_of_the_brokers_books_at_most_each_two_seconds(desk: Desk) -> None:
    desk.gateway.report("position_book", {})
    desk.gateway.report("account_sync.alpha", {"failures_in_row": 0})
    modes = []
    for moved_s in (0.0, 1.9, 0.1, 1.9, 2.0):
        desk.gateway.clock_ns += round(moved_s * NS)
        modes.append(desk.get("/tomic/positions").json()["sync"]["mode"])
    assert modes == ["broker", "throttled", "broker", "throttled", "broker"]
    assert [asked[0] for asked in desk.gateway.asked] == ["read_positions"] * 3


def test_a_position_shows_its_virtual_guard(desk: Desk) -> None:
    guard = {"entry": 100.0, "high": 120.0, "stop": 112.0, "target": 135.0, "trailing": True,
             "tick_age_s": 0.4}  # fmt: skip
    legs = [
        a_position("BUY", "CE", 23_000, 100, strategy_id=name, strategy="DITM_CALL")
        for name in ("guarded", "other")
    ]
    PositionStore(desk.engine).save([KeptPosition(leg, 1) for leg in legs], fill_id=1, version=1)
    desk.gateway.report("position_manager", {"guarded": {"virtual_guard": guard}})
    rows = desk.get("/tomic/positions").json()["positions"]
    assert {row["strategy_id"]: row["virtual_guard"] for row in rows} == {
        "guarded": guard, "other": None,
    }  # fmt: skip


def test_all_dead_letters_of_passing_causes_are_tried_again_one_by_one(desk: Desk) -> None:
    for number, code in enumerate(("RATE_LIMITED", "BROKER_REJECT", "OUTCOME_UNKNOWN"), start=1):
        desk.command(number, CommandStatus.DEAD_LETTER, error_code=code)
    desk.command(4, CommandStatus.DONE)

    def retry(query: str) -> tuple[int, list[int]]:
        desk.gateway.asked.clear()
        answer = desk.client.post(f"/tomic/dead-letters/retry-all{query}", headers=HEADERS)
        asked = [body["command_id"] for action, body, _ in desk.gateway.asked]
        return answer.json()["requeued"], asked

    assert retry("") == (2, [1, 3])
    assert retry("?error_class=rate_limited") == (1, [1])
    assert retry("?error_class=BROKER_REJECT") == (1, [2])
    desk.gateway.answers["dead_letter"] = Answer(409, {"status": "error", "message": "paused"})
    assert retry("") == (0, [1, 3])


def test_all_dead_letters_are_removed_one_by_one(desk: Desk) -> None:
    for number in (1, 2):
        desk.command(number, CommandStatus.DEAD_LETTER, error_code="BROKER_REJECT")
    answer = desk.client.delete("/tomic/dead-letters", headers=HEADERS)
    assert answer.json() == {"status": "success", "deleted": 2, "refused": []}
    assert [body["action"] for _, body, _ in desk.gateway.asked] == ["delete", "delete"]


def test_a_dead_letter_shows_a_masked_preview_and_its_error(desk: Desk) -> None:
    secret = {"api_key": "abcdefgh"}
    desk.command(
        1, CommandStatus.DEAD_LETTER, error_code="STUCK", last_error="refused", payload=secret
    )
    item = desk.get("/tomic/dead-letters").json()["items"][0]
    assert (item["error_class"], item["error_message"]) == ("STUCK", "refused")
    assert len(item["payload_preview"]) == 120
    assert "payload" not in item
    assert "abcdefgh" not in json.dumps(item)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/tomic/positions/NOBODY/close", 404),
        ("POST", "/tomic/approvals/77/approve", 404),
        ("POST", "/tomic/approvals/1/approve", 409),
        ("POST", "/tomic/approvals/1/reject", 409),
        ("POST", f"/tomic/approvals/{2**63}/approve", 400),
        ("DELETE", "/tomic/dead-letters/0", 400),
        ("GET", f"/tomic/commands?offset={2**63}", 400),
        ("GET", "/tomic/orders/NOBODY/why", 404),
        ("GET", f"/tomic/orders/{2**70}/why", 404),
        ("GET", "/tomic/signals/NOBODY", 404),
    ],
)
def test_what_does_not_exist_or_cannot_be_is_said_and_reaches_nobody(
    desk: Desk, method: str, path: str, status: int
) -> None:
    desk.command(1, CommandStatus.DONE)
    answer = desk.client.request(method, path, headers=HEADERS)
    assert (answer.status_code, answer.json()["status"]) == (status, "error")
    assert desk.gateway.asked == []


def test_an_order_tells_who_let_it_pass_and_how_it_went(desk: Desk) -> None:
    desk.command(1, CommandStatus.DONE, processed_ns=20 * NS)
    desk.order(
        0, status=OrderStatus.FILLED, broker_order_id="26000001", filled_quantity=1,
        decision_price=Decimal("100"), average_price=Decimal("99"),
    )  # fmt: skip
    desk.fill(1, latency_ms=40)
    sent = json.dumps({"apikey": "abcdefgh", "symbol": "CE1"})
    desk.add(
        ATTEMPTS, None, client_order_id="S1:entry:0:SELL", at_ns=11 * NS, request=sent, answer="no"
    )
    routed = {"signal": INTENT["signal"], "decision": {"reason": "no conflict", "priority": 88.0}}
    other = {"signal": {"correlation_id": "V:2"}, "decision": {"reason": "of another"}}
    facts = (
        ("SignalRouted", 9, routed),
        ("SignalRouted", 9, other),
        ("OrderCleared", 11, {"command_id": 1}),
        ("OrderCleared", 11, {"command_id": 2}),
    )
    for number, (kind, second, body) in enumerate(facts):
        desk.journal.append_fact(f"m{number}", "", kind, at_ns=second * NS, body=body)
    story = desk.get("/tomic/orders/26000001/why").json()
    trace_shapes.OrderStory.model_validate(story, strict=True)
    assert [(gate["gate"], gate["verdict"]) for gate in story["gates"]] == [
        ("signal", "raised"), ("router", "accepted"), ("risk", "accepted"), ("breakers", "cleared"),
    ]  # fmt: skip
    assert story["gates"][1]["reason"] == "no conflict"
    assert story["trigger"]["tick"]["spot"] == 24_600
    assert story["regime"] == {"phase": "CONGESTION", "score": 1, "version": 3, "vix": 14.0}
    assert story["slippage"]["per_unit"] == 1  # sold a rupee below what was decided
    assert story["order"]["broker_order_id"] == "26***01"
    assert story["attempts"][0]["request"] == {"apikey": "ab***gh", "symbol": "CE1"}
    assert story["attempts"][0]["answer"] == "no"
    assert len(story["fills"]) == 1


def test_a_gate_that_died_over_its_word_is_known_by_the_commands_row(desk: Desk) -> None:
    desk.command(
        1, CommandStatus.DONE, processed_ns=20 * NS, cleared_ns=12 * NS, cleared_by="breaker_gate:1"
    )
    desk.order(0, status=OrderStatus.FILLED)
    story = desk.get("/tomic/orders/S1:entry:0:SELL/why").json()
    assert [(gate["gate"], gate["verdict"]) for gate in story["gates"]] == [
        ("signal", "raised"), ("risk", "accepted"), ("breakers", "cleared"),
    ]  # fmt: skip
    assert story["gates"][-1]["inputs"]["at"] == "1970-01-01T00:00:12.000Z"


def test_every_route_is_described_with_its_answer_and_its_errors(desk: Desk) -> None:
    document = desk.client.get("/openapi.json", headers=HEADERS).json()
    tags = {row["name"] for row in document["tags"]}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            told = f"{method} {path}"
            assert route["summary"], told
            assert route["description"], told
            assert set(route["tags"]) <= tags, told
            good = next(
                route["responses"][code] for code in ("202", "200") if code in route["responses"]
            )
            assert "$ref" in good["content"]["application/json"]["schema"], told
            assert {"400", "401"} <= set(route["responses"]), told
            assert "422" not in route["responses"], told  # bad input is 400 here


WAITING = {
    "order": "S1:entry:2:SELL", "command_id": 1, "strategy_id": "S1", "leg_no": 2,
    "purpose": "ENTRY", "broker": "alpha", "symbol": "CE1", "action": "SELL", "quantity": 65,
    "price_type": "LIMIT", "price": "50.05", "broker_order_id": "", "sent_ns": 90 * NS,
    "waits_for": "person", "reason": "2 order(s) in the book look like it", "asked_times": 6,
    "asked_ns": 105 * NS, "next_ns": 120 * NS, "held": {"underlying": "NIFTY"},
    "likely": [
        {"broker_order_id": "B7", "status": "open", "filled_quantity": 0, "price": "50.05",
         "trigger_price": "0", "average_price": "0", "ordered_ns": 91 * NS},
        {"broker_order_id": "B8", "status": "open", "filled_quantity": 0, "price": "50.05",
         "trigger_price": "0", "average_price": "0", "ordered_ns": 0},
    ],
}  # fmt: skip


def test_orders_of_unknown_fate_are_told_with_their_numbers_and_times(desk: Desk) -> None:
    desk.order(1)
    desk.order(2)
    desk.gateway.report("execution_agent", {"outcomes": [WAITING]}, age_s=3)
    answer = desk.get("/tomic/outcomes").json()
    trace_shapes.OutcomesAnswer.model_validate(answer)
    [item] = answer["items"]
    assert (answer["total"], answer["age_s"], item["id"]) == (1, 3.0, 2)
    assert item["sent_at"] == "1970-01-01T00:01:30.000Z"
    assert item["next_at"] == "1970-01-01T00:02:00.000Z"
    assert [one["broker_order_id"] for one in item["likely"]] == ["B7", "B8"]
    assert [one["ordered_at"] for one in item["likely"]] == ["1970-01-01T00:01:31.000Z", None]


def test_a_persons_word_goes_to_the_desk_by_the_orders_key(desk: Desk) -> None:
    desk.order(1)
    for name in ("1", "S1:entry:1:SELL"):
        url = f"/tomic/outcomes/{name}/adopt"
        said = {"broker_order_id": "B7", "reason": "seen at the broker"}
        assert desk.client.post(url, headers=HEADERS, json=said).status_code == 200
        action, body, by = desk.gateway.asked[-1]
        assert (action, body) == (
            "decide_outcome", {"order": "S1:entry:1:SELL", "word": "OURS", **said},
        )  # fmt: skip
        assert by.startswith("api key@")
    url, said = "/tomic/outcomes/1/never-arrived", {"reason": "the broker said so"}
    assert desk.client.post(url, headers=HEADERS, json=said).status_code == 200
    assert desk.gateway.asked[-1][1] == {
        "order": "S1:entry:1:SELL", "word": "NEVER_ARRIVED", "broker_order_id": "", **said,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("9/adopt", {"broker_order_id": "B7"}, 404, "UNKNOWN_ORDER"),
        ("1/adopt", {}, 400, "INVALID_INPUT"),
        ("1/adopt", {"broker_order_id": ""}, 400, "INVALID_INPUT"),
        ("1/adopt", {"broker_order_id": "B7", "sure": True}, 400, "INVALID_INPUT"),
        ("1/never-arrived", {}, 400, "INVALID_INPUT"),
    ],
)
def test_a_word_on_nothing_or_without_its_parts_reaches_nobody(
    desk: Desk, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    desk.order(1)
    answer = desk.client.post(f"/tomic/outcomes/{path}", headers=HEADERS, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert desk.gateway.asked == []


def test_what_waits_for_a_person_is_the_first_reason_why_nothing_happens(desk: Desk) -> None:
    asked = {**WAITING, "waits_for": "broker"}
    desk.gateway.report("execution_agent", {"outcomes": [asked, WAITING]})
    reasons = {"no_action_reasons": [f"reason {number}" for number in range(12)]}
    desk.gateway.report("signal_loop", {"generated_at": "t", "diagnostics": reasons})
    data = desk.get("/tomic/signals/quality?run_scan=false").json()["data"]
    said = data["diagnostics"]["no_action_reasons"]
    assert said[0].startswith("waits for a person: SELL 65 CE1 at alpha (command 1, leg 2)")
    assert "entries on NIFTY wait" in said[0]
    assert said[1:] == [f"reason {number}" for number in range(11)]
