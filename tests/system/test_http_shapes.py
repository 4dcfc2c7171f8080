"""Every read of `/tomic` on the real system: each answer has its keys, with their types.

The shapes are those of the documentation; strict, so that a number as text is a fault.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from tests.kit.default_system import API_KEY
from tests.kit.trading_system import TradingSystem, wait_for
from web_status import performance_shapes, plan_shapes, quality_shapes, shapes, trace_shapes

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("quiet")]

READS: list[tuple[str, type[BaseModel]]] = [
    ("/tomic/status", shapes.StatusAnswer),
    ("/tomic/metrics", shapes.MetricsAnswer),
    ("/tomic/signals/quality", quality_shapes.QualityAnswer),
    ("/tomic/signals/quality?run_scan=false", quality_shapes.QualityAnswer),
    ("/tomic/positions", shapes.PositionsAnswer),
    ("/tomic/journal", shapes.JournalAnswer),
    ("/tomic/analytics", performance_shapes.AnalyticsAnswer),
    ("/tomic/audit?limit=1000", shapes.AuditAnswer),
    ("/tomic/market-context", plan_shapes.ContextAnswer),
    ("/tomic/plan", plan_shapes.PlanAnswer),
    ("/tomic/commands", trace_shapes.CommandsAnswer),
    ("/tomic/dead-letters", trace_shapes.DeadLettersAnswer),
    ("/tomic/approvals", trace_shapes.ApprovalsAnswer),
    ("/tomic/tree", trace_shapes.TreeNode),
    ("/tomic/tree/risk_agent", trace_shapes.TreeNode),
]
BREAKERS = {
    "DAILY_MAX_LOSS": {"threshold_pct", "current_pct"},
    "ORDER_RATE": {"threshold", "current"},
    "GROSS_NOTIONAL": {"threshold_x", "current_x"},
    "PER_UNDERLYING": {"threshold_pct", "current_pct"},
    "UNHEDGED_EXPOSURE": {"timeout_s", "unhedged_count"},
}


@pytest.fixture(scope="module")
def standing(quiet_system: TradingSystem) -> str:
    """A condor that stands while its answers are read, and that goes with its system."""
    strategy_id = quiet_system.enter()
    wait_for(lambda: quiet_system.part("position_manager").get(strategy_id), "it is watched")
    # Told by its agent's own beat, which may come after all this; before that it has no fields.
    wait_for(lambda: quiet_system.part("market_context_agent"), "the market's context is known")
    return strategy_id


def fetch(system: TradingSystem, path: str, accept: str = "application/json") -> tuple[int, str]:
    """(HTTP status, text) of a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", system.http_port, timeout=30)
    try:
        connection.request("GET", path, headers={"X-API-KEY": API_KEY, "Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def strictly(text: str) -> Any:
    """JSON as the standard has it: NaN and infinity are faults."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(("path", "shape"), READS)
def test_an_answer_has_its_keys_and_types(
    quiet_system: TradingSystem, standing: str, path: str, shape: type[BaseModel]
) -> None:
    status, text = fetch(quiet_system, path)
    assert status == 200
    shape.model_validate_json(json.dumps(strictly(text)), strict=True)


def test_the_five_breakers_show_limit_and_live_value(
    quiet_system: TradingSystem, standing: str
) -> None:
    def breakers() -> dict[str, Any]:
        found: dict[str, Any] = quiet_system.get("/tomic/metrics")[1]["data"]["circuit_breakers"]
        return dict(found["breakers"])

    for name, figures in BREAKERS.items():
        assert set(breakers()[name]) >= figures | {"tripped", "message", "since"}
    wait_for(
        lambda: breakers()["GROSS_NOTIONAL"]["current_x"] > 0, "the condor that stands is counted"
    )


def test_ages_are_told_by_name_and_quotes_are_apart_from_options(
    quiet_system: TradingSystem, standing: str
) -> None:
    ages = quiet_system.get("/tomic/metrics")[1]["data"]["freshness"]
    assert set(ages) >= {"pcr", "gex", "max_pain", "iv", "vix", "quote:NIFTY", "quote:BANKNIFTY"}
    held = {row["symbol"] for row in quiet_system.orders(standing)}
    assert {f"option:{symbol}" for symbol in held} <= set(ages)


def test_orders_and_queue_count_what_the_tables_hold(
    quiet_system: TradingSystem, standing: str
) -> None:
    data = quiet_system.get("/tomic/metrics")[1]["data"]
    rows = quiet_system.rows("SELECT status, broker_order_id FROM orders")
    assert data["orders"]["placed"] == sum(bool(row["broker_order_id"]) for row in rows)
    assert data["orders"]["filled"] == sum(row["status"] == "FILLED" for row in rows) >= 4
    assert 0 < data["orders"]["latency_ms"]["avg"] <= data["orders"]["latency_ms"]["p99"]


def test_the_watched_structure_goes_by_its_tag_with_its_lots(
    quiet_system: TradingSystem, standing: str
) -> None:
    data = quiet_system.get("/tomic/status")[1]["data"]
    watched = data["position_manager"]["TOMIC_IRON_CONDOR_NIFTY"]
    payload = json.loads(
        quiet_system.rows("SELECT payload FROM commands WHERE strategy_id = ?", standing)[0][
            "payload"
        ]
    )
    assert watched["strategy_id"] == standing
    assert watched["lots"] == payload["lots"] >= 1
    assert {"execution", "journaling", "signal_loop"} <= set(data["agents"])


def test_every_order_tells_why_it_was_sent(quiet_system: TradingSystem, standing: str) -> None:
    for row in quiet_system.orders(standing):
        if row["status"] != "FILLED" or row["is_exit"]:
            continue
        status, story = quiet_system.get(f"/tomic/orders/{row['id']}/why")
        assert status == 200
        trace_shapes.OrderStory.model_validate(story)
        gates = {gate["gate"]: gate["verdict"] for gate in story["gates"]}
        assert gates == {"signal": "raised", "risk": "accepted", "breakers": "cleared"}
        assert [step["step"] for step in story["sizing_chain"]] == list(range(1, 9))
        assert sum(fill["quantity"] for fill in story["fills"]) == row["filled_quantity"]
        assert story["attempts"]
        assert story["attempts"][0]["request"]["symbol"] == row["symbol"]
        assert story["order"]["broker_order_id"] != row["broker_order_id"]  # masked


def test_every_figure_is_also_there_for_prometheus(
    quiet_system: TradingSystem, standing: str
) -> None:
    status, text = fetch(quiet_system, "/tomic/metrics", "text/plain")
    assert status == 200
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    for name in quiet_system.nodes():
        assert samples["tomic_actor_up", name] == 1
    assert samples["tomic_orders_filled",] >= 4
    assert {
        name for key, *names in samples for name in names if key == "tomic_breaker_tripped"
    } >= (set(BREAKERS))


def test_no_answer_and_no_log_tells_a_key(quiet_system: TradingSystem, standing: str) -> None:
    keys = json.loads((quiet_system.folder / "var" / "sandbox" / "keys.json").read_text())
    secrets = {API_KEY, *(key for key in keys.values() if isinstance(key, str) and len(key) > 8)}
    assert len(secrets) > 1
    reads = [path for path, _ in READS] + [
        f"/tomic/orders/{row['id']}/why" for row in quiet_system.orders(standing)
    ]
    told = {path: fetch(quiet_system, path)[1] for path in reads}
    logs = [*(quiet_system.folder / "var" / "log").iterdir(), quiet_system.folder / "output"]
    told |= {path.name: path.read_text(errors="replace") for path in logs}
    pattern = re.compile("|".join(map(re.escape, secrets)))
    assert [name for name, text in told.items() if pattern.search(text)] == []
