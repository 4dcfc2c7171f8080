"""Messages as bytes: what travels is the journal's plain form, and comes back the same."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgpack
import numpy as np
import pytest

from domain.orders import Fill, Purpose
from domain.readings import FreshnessMark
from domain.stamps import Stamps
from messages.base import Message
from messages.codec import decode, encode, to_plain
from messages.lifecycle import AlertRaised
from messages.market import FreshnessMarked, SessionOpened
from messages.trading import OrderFilled, OrderProposed, RegimeChanged
from tests.kit.risk_makers import a_regime, an_intent

FILL = Fill(7, "k", "s", 0, "NFO", "X", "NRML", "BUY", 65, Decimal("101.35"), 5)
QUOTES = Stamps.of({"NIFTY": 3, "BANKNIFTY": 4})
MARK = FreshnessMark(1, 2, QUOTES, {}, 5, 6, True, depth_ns=Stamps.of({"NIFTY": 9}))
MESSAGES: tuple[Message, ...] = (
    AlertRaised(level="RISK", text="लाल", dedupe_key=""),
    FreshnessMarked(mark=MARK),
    OrderFilled(fill=FILL, broker="alpha", command_id=1, purpose=Purpose.CORRECTION),
    OrderProposed(intent=an_intent()),
    RegimeChanged(regime=a_regime()),
    SessionOpened(
        day=date(2026, 8, 19), opens_ns=1, closes_ns=2, intraday_exit_ns=3, square_off_ns=4
    ),
)


def name_of(message: Message) -> str:
    return type(message).__name__


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_a_message_comes_back_as_it_was_told(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_what_travels_is_the_plain_form_of_the_journal(message: Message) -> None:
    tag, version, fields = msgpack.unpackb(encode(message), strict_map_key=False)
    assert (tag, version) == (name_of(message), message.VERSION)
    assert fields == to_plain(message)


@pytest.mark.parametrize("value", [np.int64(3), object(), np.zeros(2)])
def test_what_is_no_plain_value_does_not_travel(value: Any) -> None:
    mark = FreshnessMark(1, 2, {"NIFTY": value}, {}, 5, 6, True)
    with pytest.raises(TypeError, match="does not travel in a message"):
        encode(FreshnessMarked(mark=mark))


def test_a_message_of_another_release_is_not_guessed_at() -> None:
    for tag, version in (("Unheard", 1), (name_of(MESSAGES[0]), 99)):
        with pytest.raises(ValueError, match="is not known here"):
            decode(msgpack.packb([tag, version, {}]))
