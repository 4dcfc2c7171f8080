"""Every route of `/tomic` says what it answers, field by field, and reading one changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from starlette.testclient import TestClient

from tests.kit.fake_gateway import API_KEY, FakeGateway, make_test_app
from web_status.gateway import Answer
from web_status.quality_shapes import NotRouted, RouterView

PREFIX = "/tomic"
# What a caller needs a named key for, by method and path (`tomic.md` 13).
ROUTES = {
    "GET /status", "GET /metrics", "GET /signals/quality", "GET /positions", "GET /journal",
    "GET /analytics", "GET /audit", "GET /market-context", "GET /plan", "GET /commands",
    "GET /dead-letters", "GET /approvals", "GET /tree", "GET /tree/{name}",
    "GET /signals/{correlation_id}", "GET /orders/{order_id}/why",
    "POST /start", "POST /stop", "POST /pause", "POST /resume", "POST /signals",
    "POST /approvals/{command_id}/approve", "POST /approvals/{command_id}/reject",
    "POST /positions/{strategy_id}/close", "POST /tree/{name}/restart",
    "POST /dead-letters/retry-all", "POST /dead-letters/{command_id}/retry",
    "DELETE /dead-letters", "DELETE /dead-letters/{command_id}",
}  # fmt: skip
# Rows of which each source has keys of its own: masked payloads, and what an actor reports whole.
FREE_FORM = {
    "AuditEntry.details", "CommandItem.payload", "SignalTaken.signal", "SignalTrace.evaluation",
    "SignalTrace.command", "Trade.entry_reason_meta", "Trade.sizing_chain", "Gate.inputs",
    "OrderStory.order", "OrderStory.trigger", "OrderStory.regime", "OrderStory.sizing_chain",
    "OrderStory.fills", "OrderStory.slippage", "PartAnswer.data", "StatusData.market_context",
    "DailyPlans.plans", "WarmStart.sources", "WarmStart.errors", "PositionsAnswer.unmanaged",
    "Fault.details", "OutcomesAnswer.items",
}  # fmt: skip


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return make_test_app(tmp_path, FakeGateway())


def operations(app: Any) -> dict[str, dict[str, Any]]:
    """What the documentation says of each route, by method and path below /tomic."""
    return {
        f"{method.upper()} {path.removeprefix(PREFIX)}": operation
        for path, methods in app.openapi()["paths"].items()
        if path.startswith(PREFIX + "/")
        for method, operation in methods.items()
    }


def answer_shape(operation: dict[str, Any]) -> str:
    """The name of the shape of its success; empty for none."""
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            return str(schema.get("$ref", "")).rpartition("/")[2]
    return ""


def test_every_route_of_the_list_is_there_and_says_what_it_answers(app: Any) -> None:
    found = operations(app)
    assert ROUTES - found.keys() == set()
    assert [name for name, one in found.items() if not answer_shape(one)] == []


def test_no_field_of_an_answer_is_free_form_but_those_that_are_named(app: Any) -> None:
    schemas = app.openapi()["components"]["schemas"]
    reached: set[str] = set()
    waiting = [answer_shape(one) for one in operations(app).values()]
    free = set()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for field, schema in schemas[name].get("properties", {}).items():
            refs, is_free = looked_at(schema)
            waiting += refs
            if is_free:
                free.add(f"{name}.{field}")
    assert free - FREE_FORM == set()


def looked_at(schema: dict[str, Any]) -> tuple[list[str], bool]:
    """(shapes it names, whether an object of unknown keys is in it)."""
    if "$ref" in schema:
        return [schema["$ref"].rpartition("/")[2]], False
    parts = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    values = schema.get("additionalProperties")
    if schema.get("type") == "object":
        if values is True or values is None:
            return [], True
        parts.append(values)
    found = [looked_at(part) for part in parts]
    return [ref for refs, _ in found for ref in refs], any(is_free for _, is_free in found)


def test_reading_asks_the_runtime_for_nothing_that_changes_it(app: Any) -> None:
    gateway: FakeGateway = app.state.gateway
    gateway.answers["scan"] = Answer(200, {"status": "success", "data": {"cached": False}})
    client = TestClient(app, raise_server_exceptions=False)
    reads = [name.split(" ")[1] for name in operations(app) if name.startswith("GET ")]
    for path in reads:
        for name in ("{name}", "{correlation_id}", "{order_id}", "{command_id}"):
            path = path.replace(name, "1")
        answer = client.get(PREFIX + path, headers={"X-API-KEY": API_KEY})
        assert answer.status_code in (200, 404, 503), path
    # A dry scan, and a read of the brokers' books.
    assert {action for action, _, _ in gateway.asked} <= {"scan", "read_positions"}


def test_a_router_that_lacks_a_key_is_no_router_that_has_not_begun() -> None:
    view = {
        "route_count": 1, "position_count": 0, "max_positions": 10, "sector_limit": 0.2,
        "sector_heat": {}, "blocking_reasons": {}, "decisions": [],
    }  # fmt: skip
    shape = TypeAdapter(RouterView | NotRouted)
    for name in view:
        with pytest.raises(ValidationError):
            shape.validate_python({key: value for key, value in view.items() if key != name})
    assert isinstance(shape.validate_python({}), NotRouted)
    assert isinstance(shape.validate_python(view), RouterView)
