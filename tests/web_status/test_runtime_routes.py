"""The HTTP interface on a fake gateway: who may call, what is answered, what bad input gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from adapters.tick_bus import SourceCounters
from tests.kit.fake_gateway import API_KEY, FakeGateway, make_test_app, node
from web_status.gateway import Answer

HEADERS = {"X-API-KEY": API_KEY}
READS = (
    "/tomic/status", "/tomic/metrics", "/tomic/signals/quality?run_scan=false", "/tomic/positions",
    "/tomic/journal", "/tomic/analytics", "/tomic/audit", "/tomic/commands", "/tomic/dead-letters",
    "/tomic/approvals", "/tomic/market-context", "/tomic/plan", "/tomic/outcomes",
    "/tomic/universe",
)  # fmt: skip
WRITES = (
    "/tomic/start", "/tomic/stop", "/tomic/pause", "/tomic/resume", "/tomic/signals",
    "/tomic/tree/feeds/restart", "/tomic/positions/S/close", "/tomic/approvals/1/approve",
    "/tomic/dead-letters/1/retry", "/tomic/outcomes/1/adopt", "/tomic/outcomes/1/never-arrived",
)  # fmt: skip


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def client(tmp_path: Path, gateway: FakeGateway) -> TestClient:
    return TestClient(make_test_app(tmp_path, gateway), raise_server_exceptions=False)


@pytest.mark.parametrize("path", READS)
def test_a_read_answers_before_any_actor_has_reported(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=HEADERS)
    assert answer.status_code == 200
    assert answer.json()["status"] in ("success", "unavailable")


@pytest.mark.parametrize("path", READS)
def test_a_read_without_the_key_is_refused(client: TestClient, path: str) -> None:
    for headers in ({}, {"X-API-KEY": "wrong"}, {"X-API-KEY": ""}):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["message"] == "Authentication required"


@pytest.mark.parametrize("path", WRITES)
def test_a_write_without_the_key_reaches_nobody(
    client: TestClient, gateway: FakeGateway, path: str
) -> None:
    assert client.post(path, json={}).status_code == 401
    assert gateway.asked == []


def test_reads_ask_nobody_anything(client: TestClient, gateway: FakeGateway) -> None:
    for path in READS:
        client.get(path, headers=HEADERS)
    assert gateway.asked == []


def test_status_tells_each_part_with_its_age(client: TestClient, gateway: FakeGateway) -> None:
    gateway.report("control_desk", {"running": True}, age_s=1)
    gateway.report("breaker_gate", {"killed": True, "reason": "day loss", "mode": "halted"}, 99)
    leaf = node("execution_agent", restarts=2, state="backing_off")
    gateway.report_tree(node("root", leaf, node("recorder")))
    data = client.get("/tomic/status", headers=HEADERS).json()["data"]
    assert data["running"]
    assert data["killed"]
    assert data["kill_reason"] == "day loss"
    assert data["parts"]["control_desk"] == {"age_s": 1.0, "ok": True}
    assert data["parts"]["breaker_gate"] == {"age_s": 99.0, "ok": False}
    assert data["agents"]["execution"]["restarts"] == 2
    assert not data["agents"]["execution"]["running"]
    assert data["agents"]["recorder"]["running"]


def test_metrics_speak_prometheus_when_asked_for_text(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.report_tree(
        node("root", node("recorder", mailbox_high=4), node("feed", state="failed"))
    )
    gateway.report(
        "breaker.order_rate", {"name": "ORDER_RATE", "capital": 5.0, "tripped": True, "current": 31}
    )
    gateway.report("freshness_keeper", {"quote:NIFTY": 2.5, "option:NEVER": -1})
    bus = SourceCounters(batches=9, rows=900, missed=2, recovered=7, waiting_max=4)
    bus.lags_ns.extend([1_000_000, 3_000_000])
    gateway.report("bar_builder", {}, bus={"shard.alpha.1": bus.figures()})
    answer = client.get("/tomic/metrics", headers=HEADERS | {"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["tomic_actor_up", "recorder"] == 1
    assert samples["tomic_actor_up", "feed"] == 0
    assert samples["tomic_actor_mailbox_high", "recorder"] == 4
    assert samples["tomic_breaker_tripped", "ORDER_RATE"] == 1
    assert samples["tomic_freshness_age_s", "quote:NIFTY"] == 2.5
    assert samples["tomic_freshness_age_s", "option:NEVER"] == -1
    assert samples["tomic_orders_placed",] == 0
    of = ("shard.alpha.1", "bar_builder")
    assert [samples[f"tomic_bus_{key}", *of] for key in ("batches", "rows", "gaps")] == [9, 900, 2]
    assert samples["tomic_bus_waiting_max", *of] == 4
    assert samples["tomic_bus_recovered", *of] == 7
    assert samples["tomic_bus_lag_ms_p99", *of] == 3.0


def test_the_tree_is_served_whole_and_by_name(client: TestClient, gateway: FakeGateway) -> None:
    assert client.get("/tomic/tree", headers=HEADERS).status_code == 503
    gateway.report_tree(node("root", node("feeds", node("feed.alpha"))))
    assert client.get("/tomic/tree", headers=HEADERS).json()["name"] == "root"
    assert client.get("/tomic/tree/feed.alpha", headers=HEADERS).json()["name"] == "feed.alpha"
    missing = client.get("/tomic/tree/nobody", headers=HEADERS)
    assert missing.status_code == 404
    assert missing.json()["code"] == "UNKNOWN_NODE"


@pytest.mark.parametrize("action", ["start", "stop", "pause", "resume"])
def test_a_command_goes_to_the_desk_and_its_answer_comes_back(
    client: TestClient, gateway: FakeGateway, action: str
) -> None:
    gateway.answers[action] = Answer(409, {"status": "error", "code": "X", "message": "no"})
    answer = client.post(f"/tomic/{action}", headers=HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (409, "X")
    assert gateway.asked[0][0] == action


def test_a_command_carries_who_asked_and_from_where(
    client: TestClient, gateway: FakeGateway
) -> None:
    client.post("/tomic/pause", headers=HEADERS)
    assert [by for _, _, by in gateway.asked] == ["api key@testclient"]


def test_pause_carries_its_reason(client: TestClient, gateway: FakeGateway) -> None:
    client.post("/tomic/pause", headers=HEADERS, json={"reason": "budget day"})
    client.post("/tomic/pause", headers=HEADERS)
    assert [body["reason"] for _, body, _ in gateway.asked] == ["budget day", "Manual pause"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/tomic/journal?limit=0", "limit"),
        ("/tomic/journal?limit=501", "limit"),
        ("/tomic/journal?limit=many", "limit"),
        ("/tomic/audit?category=GOSSIP", "category"),
        ("/tomic/commands?status=LOST", "status"),
        ("/tomic/commands?offset=-1", "offset"),
        ("/tomic/dead-letters?limit=-1", "limit"),
        ("/tomic/signals/quality?run_scan=perhaps", "run_scan"),
    ],
)
def test_an_unknown_query_value_names_the_field(client: TestClient, path: str, field: str) -> None:
    answer = client.get(path, headers=HEADERS)
    assert answer.status_code == 400
    assert field in answer.json()["message"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"not json", 400),
        (b"[1, 2]", 400),
        (b'"text"', 400),
        (b"[" * 60_000, 400),
        (b"{" + b" " * 70_000 + b"}", 413),
    ],
)
def test_a_signal_that_is_no_json_object_reaches_nobody(
    client: TestClient, gateway: FakeGateway, content: bytes, status: int
) -> None:
    answer = client.post("/tomic/signals", headers=HEADERS, content=content)
    assert answer.status_code == status
    assert answer.json()["status"] == "error"
    assert gateway.asked == []


def test_more_than_ten_signals_a_minute_are_too_many(
    client: TestClient, gateway: FakeGateway
) -> None:
    codes = [
        client.post("/tomic/signals", headers=HEADERS, json={"n": number}).status_code
        for number in range(11)
    ]
    assert codes == [200] * 10 + [429]
    gateway.clock_ns += 61_000_000_000
    assert client.post("/tomic/signals", headers=HEADERS, json={}).status_code == 200


def test_a_scan_that_nobody_answers_gives_the_cached_one_with_a_word(
    client: TestClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web_status.api.quality.SCAN_WITHIN_S", 0.05)
    gateway.answers["scan"] = None
    gateway.report("signal_loop", {"generated_at": "t", "signals": {}}, age_s=3)
    data = client.get("/tomic/signals/quality", headers=HEADERS).json()["data"]
    assert data["cached"]
    assert data["cached_age_s"] == 3
    assert data["message"] == "the signal loop did not answer"


def test_the_quality_of_signals_shows_risks_own_part(
    client: TestClient, gateway: FakeGateway
) -> None:
    evaluation = {
        "instrument": "NIFTY", "strategy_type": "IRON_CONDOR", "result": "blocked_breaker",
        "code": "GROSS_NOTIONAL", "reason": "six times the capital",
    }  # fmt: skip
    risk = {
        "pending_signals": 2,
        "counters": {"duplicate": 1, "blocked_breaker": 1},
        "recent_evaluations": [evaluation],
    }
    gateway.report("risk_agent", risk)
    reasons = {"no_action_reasons": [f"reason {number}" for number in range(12)]}
    gateway.report("signal_loop", {"generated_at": "t", "diagnostics": reasons})
    url = "/tomic/signals/quality?run_scan=false"
    data = client.get(url, headers=HEADERS).json()["data"]
    assert data["risk"] == risk
    said = data["diagnostics"]["no_action_reasons"]
    assert said[-1] == "risk, last: NIFTY IRON_CONDOR blocked_breaker: six times the capital"
    assert len(said) == 12


def test_an_unknown_path_and_a_wrong_method_speak_the_same_envelope(client: TestClient) -> None:
    for answer in (
        client.get("/tomic/nosuch", headers=HEADERS),
        client.delete("/tomic/status", headers=HEADERS),
    ):
        assert set(answer.json()) == {"status", "code", "message"}


def test_a_wrong_method_is_told_the_right_ones(client: TestClient) -> None:
    answer = client.delete("/tomic/status", headers=HEADERS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_the_documentation_needs_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/docs", headers=HEADERS)
    assert "https://" not in page.text.replace("https://github.com", "")
    assert client.get("/docs-assets/swagger-ui-bundle.js").status_code == 200
    paths = client.get("/openapi.json", headers=HEADERS).json()["paths"]
    assert "/tomic/signals" in paths
    assert "/tomic/tree/{name}/restart" in paths


def test_the_documentation_is_of_the_version_whose_words_it_uses(client: TestClient) -> None:
    described = client.get("/openapi.json", headers=HEADERS).json()
    number = described["paths"]["/tomic/dead-letters/{command_id}"]["delete"]["parameters"][0]
    assert number["schema"]["exclusiveMaximum"] == 2**63  # a number from 3.1 on, a yes or no before
    assert described["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_documentation_is_for_who_has_the_key(client: TestClient, path: str) -> None:
    for wrong in (None, ("", ""), ("", "wrong"), (API_KEY, "")):
        answer = client.get(path, auth=wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert client.get(path, headers={"Authorization": b"Basic \xa7"}).status_code == 401
    assert client.get(path, headers={"X-API-KEY": "wrong"}).status_code == 401
    assert client.get(path, headers=HEADERS).status_code == 200
    assert client.get(path, auth=("anyone", API_KEY)).status_code == 200


def test_a_password_that_a_browser_sends_along_changes_nothing(
    client: TestClient, gateway: FakeGateway
) -> None:
    answer = client.post("/tomic/pause", json={}, auth=("", API_KEY))
    assert (answer.status_code, gateway.asked) == (401, [])
    assert "www-authenticate" not in answer.headers


def test_pages_forbid_framing_and_foreign_scripts(client: TestClient) -> None:
    headers = client.get("/tomic/status", headers=HEADERS).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


def test_an_unknown_signal_is_not_found(client: TestClient) -> None:
    assert client.get("/tomic/signals/nobody:1", headers=HEADERS).status_code == 404


def test_the_printed_address_leads_to_the_documentation(client: TestClient) -> None:
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


def test_every_path_of_the_documentation_can_be_tried_with_the_key(client: TestClient) -> None:
    described = client.get("/openapi.json", headers=HEADERS).json()
    (scheme,) = described["components"]["securitySchemes"].items()
    assert (scheme[1]["in"], scheme[1]["name"]) == ("header", "X-API-KEY")
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation["security"] == [{scheme[0]: []}], f"{method} {path}"
