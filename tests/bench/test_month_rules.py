"""The rules of the month on paper: a sound run breaks none, and each breach is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bench.month_rules import OPENING_BLOCK_S, Run, broken_rules
from domain.calendar import TradingSession
from domain.clock import NS_PER_S
from domain.intents import Refusal
from domain.orders import CLOSE_COMMAND, CommandRow, CommandStatus, Fill
from messages.codec import to_plain
from messages.trading import (
    OrderAccepted,
    OrderCleared,
    OrderFilled,
    SignalRefused,
    StructureClosed,
    StructureOpened,
    TradingModeChanged,
)
from persistence.journal import Fact
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import LOT, a_position, a_signal, an_intent

OPENS_NS = START_NS
AT_NS = OPENS_NS + (OPENING_BLOCK_S + 60) * NS_PER_S
CLOSES_NS = OPENS_NS + 22_500 * NS_PER_S
SESSION = TradingSession(date(2026, 11, 20), OPENS_NS, CLOSES_NS, CLOSES_NS, CLOSES_NS)
ENTRY, EXIT = 1, 2
LONG, SHORT = a_position("BUY", "PE", 23_600), a_position("SELL", "PE", 23_800)


def a_command(command_id: int = ENTRY, **fields: Any) -> CommandRow:
    defaults = {
        "event_type": CLOSE_COMMAND if command_id == EXIT else "ORDER_REQUEST",
        "idempotency_key": f"k{command_id}", "correlation_id": "c", "strategy_id": "s",
        "strategy_tag": "TAG", "underlying": "NIFTY", "broker_name": "alpha", "payload": "{}",
        "source_agent": "risk_agent", "created_ns": AT_NS, "status": CommandStatus.DONE,
    }  # fmt: skip
    return CommandRow(**(defaults | fields), command_id=command_id)


def a_fill(fill_id: int, symbol: str, action: str, quantity: int = LOT) -> Fill:
    return Fill(
        fill_id, f"k:{fill_id}", "s", 0, "NFO", symbol, "NRML", action, quantity, Decimal(100),
        AT_NS,
    )  # fmt: skip


def accepted(key: str, order: str, command_id: int = ENTRY) -> OrderAccepted:
    return OrderAccepted(
        client_order_id=key, broker_order_id=order, broker="alpha", command_id=command_id
    )


def mode(word: str) -> TradingModeChanged:
    return TradingModeChanged(mode=word, killed=False, reason="a test", since_ns=0)


def a_run(*messages: Any, at_ns: int = AT_NS, **fields: Any) -> Run:
    """A put spread that stands; `messages` come after its facts."""
    fills = (a_fill(1, LONG.symbol, "BUY"), a_fill(2, SHORT.symbol, "SELL"))
    sound = [
        (mode("active"), OPENS_NS),
        (OrderCleared(command_id=ENTRY), AT_NS),
        (accepted("k:1", "A1"), AT_NS),
        (accepted("k:2", "A2"), AT_NS),
        *((OrderFilled(fill=fill, broker="alpha", command_id=ENTRY), AT_NS) for fill in fills),
        (StructureOpened(intent=an_intent(), command_id=ENTRY), AT_NS),
    ]
    facts = [
        Fact(number, f"m{number}", "", type(message).__name__, when_ns, to_plain(message))
        for number, (message, when_ns) in enumerate([*sound, *((row, at_ns) for row in messages)])
    ]
    run = Run(SESSION, facts, [a_command()], [LONG, SHORT], list(fills))
    return replace(run, **fields)


def refused(code: str, text: str) -> SignalRefused:
    return SignalRefused(
        signal=a_signal(), result="rejected_sizing", refusal=Refusal(code=code, text=text)
    )


def test_a_sound_run_breaks_no_rule() -> None:
    assert broken_rules(a_run()) == []


def test_an_exit_may_be_sent_while_halted_and_while_the_session_opens() -> None:
    run = a_run(
        mode("halted"),
        OrderCleared(command_id=EXIT),
        accepted("k:3", "A3", EXIT),
        at_ns=OPENS_NS + NS_PER_S,
    )
    assert broken_rules(replace(run, commands=[a_command(), a_command(EXIT)])) == []


def test_an_underlying_may_be_entered_again_when_its_structure_is_closed() -> None:
    first, second = an_intent(), an_intent(strategy_id="TOMIC_IRON_CONDOR_NIFTY_20261120_2")
    closed = StructureClosed(
        strategy_id=first.strategy_id, strategy_tag=first.strategy_tag, reason="target_hit",
        gross=Decimal(0), charges=Decimal(0), net=Decimal(0),
    )  # fmt: skip
    assert broken_rules(a_run(closed, StructureOpened(intent=second, command_id=ENTRY))) == []


def opened(**fields: Any) -> StructureOpened:
    intent = an_intent(signal=a_signal(instrument="BANKNIFTY"), **({"strategy_id": "B"} | fields))
    return StructureOpened(intent=intent, command_id=ENTRY)


BREACHES: dict[str, tuple[Callable[[], Run], str]] = {
    "a refusal without a sentence": (lambda: a_run(refused("X", " ")), "without a code"),
    "a refusal without a code": (lambda: a_run(refused("", "too dear")), "without a code"),
    "a command that never ended": (
        lambda: a_run(commands=[a_command(status=CommandStatus.UNKNOWN_OUTCOME)]),
        "command 1 of TAG ended as UNKNOWN_OUTCOME",
    ),
    "a command that was given up": (
        lambda: a_run(commands=[a_command(status=CommandStatus.DEAD_LETTER)]), "DEAD_LETTER",
    ),
    "a naked short": (
        lambda: a_run(positions=[SHORT], fills=[a_fill(2, SHORT.symbol, "SELL")]), "naked at the",
    ),
    "one key under two orders": (lambda: a_run(accepted("k:1", "A9")), "k:1 was sent twice"),
    "one order under two keys": (lambda: a_run(accepted("k:9", "A1")), "stands for two orders"),
    "an order after the close": (
        lambda: a_run(accepted("k:3", "A3"), at_ns=CLOSES_NS), "k:3 was sent out of session",
    ),
    "an entry in the first quarter": (
        lambda: a_run(accepted("k:3", "A3"), at_ns=AT_NS - 61 * NS_PER_S), "in the opening block",
    ),
    "an entry while halted": (
        lambda: a_run(mode("halted"), OrderCleared(command_id=ENTRY)),
        "command 1 was cleared while halted (a test)",
    ),
    "an entry while only exits pass": (
        lambda: a_run(mode("reducing"), OrderCleared(command_id=ENTRY)), "while reducing",
    ),
    "an entry without a regime": (lambda: a_run(opened(regime_version=0)), "without a regime"),
    "premium without a volatility index": (lambda: a_run(opened(vix=0.0)), "volatility index"),
    "premium without a margin": (
        lambda: a_run(opened(margin_required=Decimal(0))), "known margin",
    ),
    "a second structure on one underlying": (
        lambda: a_run(StructureOpened(intent=an_intent(strategy_id="B"), command_id=ENTRY)),
        "B was opened on NIFTY beside",
    ),
    "a book that lacks a fill": (lambda: a_run(positions=[LONG]), f"-{LOT} units filled, 0 in"),
    "a fill that nobody told": (
        lambda: a_run(
            fills=[*a_run().fills, a_fill(3, LONG.symbol, "BUY"), a_fill(4, LONG.symbol, "SELL")]
        ),
        "fill 3 of NIFTY",
    ),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_is_named(breach: str) -> None:
    make, said = BREACHES[breach]
    told = broken_rules(make())
    assert any(said in sentence for sentence in told), told
