"""What the agents report of context and plans is what the documentation promises."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from starlette.testclient import TestClient

from domain.market.context import Days, context_body, read_underlying
from domain.readings import (
    ChainSummary,
    MarketContext,
    Phase,
    Regime,
    Universe,
    UniverseRow,
    VixRegime,
)
from domain.signals.plans import PlanRules, PlanView, make_plan, plan_row
from tests.kit.fake_gateway import API_KEY, FakeGateway, make_test_app
from web_status.plan_shapes import ContextAnswer, PlanAnswer, UniverseAnswer

NOW = 1_795_149_900_000_000_000  # 2026-11-20 10:15 IST
DAY = date(2026, 11, 20)
FRONT = ChainSummary(
    underlying="NIFTY", expiry=date(2026, 11, 24), spot=25_000.0, forward=25_010.0,
    atm_strike=25_000.0, atm_iv=0.13, put_iv_25d=0.14, call_iv_25d=0.12, put_call_ratio=1.1,
    max_pain=24_900.0, days_to_expiry=4.2, iv_source="feed", as_of_ns=NOW, gamma_exposure=-5.0e9,
    put_wall=24_500.0, call_wall=25_500.0,
)  # fmt: skip
CONTEXT = MarketContext(
    15.0,
    VixRegime.NORMAL,
    (
        read_underlying("NIFTY", 25_000.0, Days(24_900.0, 25_100.0, 24_800.0), FRONT),
        read_underlying("BANKNIFTY", 0.0, Days(), None),
    ),
    NOW,
)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def client(tmp_path: Path, gateway: FakeGateway) -> TestClient:
    return TestClient(make_test_app(tmp_path, gateway), headers={"X-API-KEY": API_KEY})


def strictly(shape: type[BaseModel], body: object) -> None:
    shape.model_validate_json(json.dumps(body, allow_nan=False), strict=True)


def test_the_context_is_answered_as_documented(client: TestClient, gateway: FakeGateway) -> None:
    gateway.report("market_context_agent", context_body(CONTEXT))
    answer = client.get("/tomic/market-context").json()
    strictly(ContextAnswer, answer)
    assert answer["data"]["nifty_trend"] == "ABOVE_20MA"
    assert answer["data"]["banknifty_ltp"] is None
    assert answer["data"]["gex"] == {"NIFTY": -5.0e9}


def test_before_the_first_look_the_context_is_answered_empty_and_as_documented(
    client: TestClient,
) -> None:
    answer = client.get("/tomic/market-context").json()
    strictly(ContextAnswer, answer)
    assert answer == {"status": "unavailable", "data": {}}
    with pytest.raises(ValidationError):
        strictly(ContextAnswer, {"status": "success", "data": {"vix": 14.0}})


def test_the_plans_are_answered_as_documented(client: TestClient, gateway: FakeGateway) -> None:
    regime = Regime(version=1, phase=Phase.BULLISH, vix=15.0, vix_flags=(), as_of_ns=NOW)
    view = PlanView(CONTEXT, regime, NOW, DAY, NOW - 1, NOW + 10**12)
    plan = make_plan("NIFTY", view, PlanRules(), number=1)
    gateway.report(
        "daily_plan_agent", {"date": "2026-11-20", "plans": [plan_row(plan)], "skipped": {}}
    )
    answer = client.get("/tomic/plan").json()
    strictly(PlanAnswer, answer)
    assert answer["date"] == "2026-11-20"
    assert answer["plans"][0]["strategy_type"] == "BULL_PUT_SPREAD"


def test_the_universe_is_told_from_disk_with_a_reason_for_each_share_left_out(
    client: TestClient,
) -> None:
    empty = client.get("/tomic/universe").json()
    strictly(UniverseAnswer, empty)
    assert (empty["status"], empty["watched"]) == ("unavailable", [])
    rows = (
        UniverseRow("NSE", "ACME", rank=1, is_hot=True, rs=110.456, volume=7e5),
        UniverseRow("NSE", "THIN", "VOLUME_BELOW_MIN", "THIN: 4 shares a day"),
        UniverseRow("NSE", "CASH", "NO_OPTIONS", "CASH: no options"),
        UniverseRow("NSE_INDEX", "NIFTY"),
    )
    client.app.state.market.write_universe(Universe(date(2026, 11, 20), 1, 2, rows))
    answer = client.get("/tomic/universe?limit=1").json()
    strictly(UniverseAnswer, answer)
    assert answer["day"] == "2026-11-20"
    told = [(row["instrument"], row["rank"], row["hot"], row["rs"]) for row in answer["watched"]]
    assert told == [("NIFTY", 0, False, None), ("ACME", 1, True, 110.46)]
    assert answer["left_out"] == [
        {"instrument": "CASH", "code": "NO_OPTIONS", "reason": "CASH: no options"}
    ]
    assert answer["left_out_total"] == 2
