"""The report's figures, from facts as the recorder keeps them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from domain.charges import order_charges, rates_on
from domain.clock import exchange_time
from domain.journal.report import ReportBuilder, page

AT_NS = 1_795_149_900_000_000_000
RATES = rates_on(exchange_time(AT_NS).date())


def filled(
    key: str, action: str, quantity: int, price: str, purpose: str = "ENTRY"
) -> tuple[str, dict[str, Any]]:
    fill = {
        "fill_id": 1, "client_order_id": key, "strategy_id": "S", "leg_no": 0, "exchange": "NFO",
        "symbol": "CE1", "product": "NRML", "action": action, "quantity": quantity,
        "price": price, "at_ns": AT_NS,
    }  # fmt: skip
    return "OrderFilled", {"fill": fill, "broker": "alpha", "purpose": purpose}


def report_of(*facts: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    builder = ReportBuilder()
    for kind, body in facts:
        builder.add(kind, AT_NS, body)
    return builder.result({})


def cost(action: str, quantity: int, price: str) -> Decimal:
    return order_charges(action, quantity, Decimal(price), RATES).total


def test_an_entry_that_was_taken_back_is_in_the_result() -> None:
    closed = {
        "strategy_tag": "T", "reason": "external", "detail": "a leg was refused", "stood": False,
        "gross": "-65.00", "charges": "1", "net": "-66.00",
    }  # fmt: skip
    report = report_of(
        filled("a", "BUY", 65, "50"), filled("b", "SELL", 65, "49"), ("StructureClosed", closed)
    )
    charges = cost("BUY", 65, "50") + cost("SELL", 65, "49")
    assert Decimal(report["gross_pnl"]) == -65
    assert Decimal(report["charges"]) == charges
    assert Decimal(report["net_pnl"]) == -65 - charges
    assert (report["structures_closed"], report["entries_taken_back"]) == (0, 1)
    assert any("entries taken back 1" in line for line in page(report))


def test_a_structure_that_still_stands_has_paid_for_its_entry() -> None:
    report = report_of(filled("a", "SELL", 65, "50"))
    assert Decimal(report["gross_pnl"]) == 0
    assert Decimal(report["net_pnl"]) == -cost("SELL", 65, "50")


def test_an_order_that_fills_in_parts_pays_one_brokerage() -> None:
    report = report_of(filled("a", "BUY", 65, "50"), filled("a", "BUY", 65, "51"))
    assert Decimal(report["charges"]) == cost("BUY", 130, "50.5")


def test_what_was_booked_and_not_traded_costs_nothing() -> None:
    report = report_of(
        filled("a", "BUY", 65, "50"), filled("c", "SELL", 65, "52", purpose="CORRECTION")
    )
    assert Decimal(report["gross_pnl"]) == 130
    assert Decimal(report["charges"]) == cost("BUY", 65, "50")


RATE = {"code": "ORDER_RATE", "text": "30 orders in a minute"}
LOSS = {"code": "DAILY_MAX_LOSS", "text": "6.1 % of capital are lost"}
SIGNAL = {
    "source": "VOLATILITY", "instrument": "NIFTY", "strategy": "IRON_CONDOR", "correlation_id": "c1"
}  # fmt: skip


def ended(command_id: int, refusal: dict[str, str]) -> tuple[str, dict[str, Any]]:
    body = {
        "command_id": command_id, "correlation_id": f"c{command_id}", "strategy_id": "S",
        "status": "FAILED", "is_exit": False, "refusal": refusal,
    }  # fmt: skip
    return "CommandEnded", body


def denied(command_id: int, refusal: dict[str, str]) -> tuple[str, dict[str, Any]]:
    return "OrderDenied", {"command_id": command_id, "refusal": refusal}


def test_an_entry_that_the_gate_denied_is_one_refusal() -> None:
    refusals = report_of(denied(1, LOSS), ended(1, LOSS), denied(2, LOSS))["refusals"]
    assert refusals == {"DAILY_MAX_LOSS": {"count": 2, "example": LOSS["text"]}}


def test_an_order_that_was_deferred_thrice_is_one_refusal() -> None:
    refusals = report_of(*[denied(1, RATE)] * 3, ended(1, LOSS))["refusals"]
    assert {code: row["count"] for code, row in refusals.items()} == {
        "ORDER_RATE": 1,
        "DAILY_MAX_LOSS": 1,
    }


def test_each_signal_counts_for_itself() -> None:
    refused = [
        ("SignalRefused", {"signal": SIGNAL | {"correlation_id": name}, "refusal": LOSS})
        for name in ("c1", "c2", "c2")
    ]
    assert report_of(*refused)["refusals"]["DAILY_MAX_LOSS"]["count"] == 2


def test_a_scan_that_people_asked_for_refuses_nothing() -> None:
    scan = {"source": "volatility_agent", "dry": False, "notes": [RATE]}
    report = report_of(("ScanCompleted", scan), ("ScanCompleted", scan | {"dry": True}))
    assert report["refusals"]["ORDER_RATE"]["count"] == 1


def test_the_hash_of_the_decisions_does_not_hang_on_how_much_a_sender_said_before() -> None:
    ended = {
        "command_id": 1,
        "status": "DONE",
        "refusal": None,
        "cleared_by": "breaker_gate:1.1:11",
    }
    hashes = [
        report_of(("CommandEnded", body))["decisions_sha256"]
        for body in (
            ended,
            ended | {"cleared_by": "breaker_gate:1.1:12"},
            ended | {"status": "FAILED"},
        )
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]
