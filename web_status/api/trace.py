"""The way of one signal and of one order: what decided, with which figures (`tomic.md` 13.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.clock import NS_PER_S, iso_utc
from web_status.api.records import command_item
from web_status.errors import ApiFault
from web_status.masking import masked
from web_status.replies import Reply
from web_status.trace_shapes import OrderStory, SignalTrace

router = APIRouter(tags=["traces"])
ROUTED = {"SignalRouted": "accepted", "SignalSetAside": "set aside"}
WEIGHED = {"OrderCleared": "cleared", "OrderDenied": "denied"}
ROUTED_BEFORE_NS = 300 * NS_PER_S  # a signal older than this became no order
Row = dict[str, Any]


@router.get("/signals/{correlation_id}", responses={200: {"model": SignalTrace}})
def get_signal(request: Request, correlation_id: str) -> Response:
    """How far an injected signal came: its evaluation, its command, its orders and fills."""
    views = request.app.state.commands
    injection = views.injection(correlation_id)
    command = views.by_correlation(correlation_id)
    if injection is None and command is None:
        raise ApiFault(404, "UNKNOWN_SIGNAL", f"no signal {correlation_id!r}")
    evaluation = dict(injection.result) if injection and injection.result else None
    state = "PENDING"
    if command:
        state = str(command["status"])
    elif evaluation:
        state = str(evaluation.get("result", "EVALUATED"))
    found: Row = {"state": state, "evaluation": evaluation, "command": None}
    if command:
        found["command"] = command_item(command)
        found["orders"] = views.orders_of(command["command_id"])
        found["fills"] = views.fills_of(command["command_id"])
    return Reply({"status": "success", "correlation_id": correlation_id, **found})


@router.get("/orders/{order_id}/why", responses={200: {"model": OrderStory}})
def get_order_story(request: Request, order_id: str) -> Response:
    """Why an order exists: its trigger, each gate's word, its sizing, its attempts and fills.

    The id is the row's number, our key, or the broker's own id.
    """
    views = request.app.state.commands
    order = views.order(order_id)
    if order is None:
        raise ApiFault(404, "UNKNOWN_ORDER", f"no order {order_id!r}")
    command = views.command(order["command_id"]) or {}
    intent = json.loads(command.get("payload") or "{}") if not order["is_exit"] else {}
    fills = [
        row
        for row in views.fills_of(order["command_id"])
        if row["client_order_id"] == order["client_order_id"]
    ]
    story = {
        "order": order,
        "trigger": _trigger(order, command, intent),
        "regime": _regime(intent),
        "gates": _gates(request, command, intent),
        "sizing_chain": intent.get("sizing", []),
        "attempts": [_attempt(row) for row in views.attempts_of(order["client_order_id"])],
        "fills": fills,
        "slippage": _slippage(order, fills),
    }
    return Reply(masked(story))


def _trigger(order: Row, command: Row, intent: Row) -> Row:
    """The prices on which it was decided; of an exit the reason, too."""
    structure = intent.get("structure", {})
    legs = [leg for leg in structure.get("legs", ()) if leg["symbol"] == order["symbol"]]
    quote = {name: legs[0][name] for name in ("ltp", "bid", "ask", "iv", "delta")} if legs else {}
    at_ns = structure.get("as_of_ns") or order["created_ns"]
    tick = {
        "symbol": order["symbol"],
        "ltp": order["decision_price"],
        **quote,
        "underlying": order["underlying"],
        "spot": structure.get("spot"),
        "at": iso_utc(at_ns),
    }
    return {"tick": tick, "reason": command.get("reason", "")}


def _regime(intent: Row) -> Row:
    if not intent:
        return {}
    names = {"phase": "regime_phase", "score": "regime_score", "version": "regime_version"}
    return {name: intent.get(key) for name, key in names.items()} | {"vix": intent.get("vix")}


def _gates(request: Request, command: Row, intent: Row) -> list[Row]:
    if not intent:
        text = "a close passes every gate: what reduces risk is not held up"
        return [_gate("exit", {}, "passed", command.get("reason") or text)]
    signal = intent["signal"]
    raised = {name: signal[name] for name in ("instrument", "strategy", "direction", "strength")}
    gates = [_gate("signal", raised | {"source": signal["source"]}, "raised", signal["reason"])]
    created_ns = command["created_ns"]
    until_ns = command["processed_ns"] or request.app.state.gateway.now_ns()
    facts = request.app.state.facts.between(
        (*ROUTED, *WEIGHED), created_ns - ROUTED_BEFORE_NS, until_ns
    )
    for fact in facts:
        kind, body = fact["kind"], fact["body"]
        if kind in ROUTED and body["signal"]["correlation_id"] == command["correlation_id"]:
            gates.append(_routed(kind, body))
    sized = {
        name: intent[name] for name in ("quantity", "lots", "margin_required", "loss_per_unit")
    }
    sized["margin_required"] = float(sized["margin_required"])
    gates.append(_gate("risk", sized, "accepted", intent["entry_reason"]))
    if command.get("approved_by"):
        by = command["approved_by"]
        gates.append(_gate("approval", {"by": by}, "approved", f"approved by {by}"))
    for fact in facts:
        if fact["kind"] in WEIGHED and fact["body"]["command_id"] == command["command_id"]:
            gates.append(_weighed(fact))
    told = any(gate["verdict"] == "cleared" for gate in gates)
    if command["cleared_by"] and not told:  # the gate died before the journal had heard it
        gates.append(_cleared(command["cleared_ns"]))
    return gates


def _routed(kind: str, body: Row) -> Row:
    decision = body.get("decision") or {}
    refusal = body.get("refusal") or {}
    inputs = {name: decision.get(name) for name in ("source", "code", "priority")}
    return _gate("router", inputs, ROUTED[kind], decision.get("reason") or refusal.get("text", ""))


def _weighed(fact: Row) -> Row:
    body = fact["body"]
    refusal = body.get("refusal")
    if refusal is None:
        return _cleared(fact["at_ns"])
    inputs = {"at": iso_utc(fact["at_ns"]), "breaker": body.get("breaker", "")}
    verdict = "deferred" if body.get("retry_after_s") else WEIGHED[fact["kind"]]
    return _gate("breakers", inputs, verdict, refusal["text"])


def _cleared(at_ns: int) -> Row:
    text = "every breaker answered in time, none objected"
    return _gate("breakers", {"at": iso_utc(at_ns), "breaker": ""}, "cleared", text)


def _gate(name: str, inputs: Row, verdict: str, reason: str) -> Row:
    return {"gate": name, "inputs": inputs, "verdict": verdict, "reason": reason}


def _attempt(row: Row) -> Row:
    return {
        "at": iso_utc(row["at_ns"]),
        "request": _decoded(row["request"]),
        "answer": _decoded(row["answer"]),
    }


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _slippage(order: Row, fills: list[Mapping[str, Any]]) -> Row:
    """Rupees per unit against the decision, positive when worse than decided; and ticks."""
    decided, average = order["decision_price"], order["average_price"]
    sign = 1 if order["action"] == "BUY" else -1
    known = bool(decided and order["filled_quantity"])
    return {
        "decision_price": decided,
        "average_price": average,
        "per_unit": (average - decided) * sign if known else None,
        "ticks": max((Decimal(row["slippage_ticks"]) for row in fills), default=None),
    }
