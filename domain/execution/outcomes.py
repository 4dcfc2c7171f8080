"""What the answer to a placing call means for its row: sent, refused, again later, or unknown.

The table of `tomic.md` 8.3 and `data_pipeline.md` 8. Only what proves that nothing was taken is
ever sent again.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import BrokerFailure, BrokerRejected, NotSent, RateLimited
from domain.order_changes import SendingAnswer
from domain.orders import OrderStatus

# Tries that are used up prove nothing against the order itself: a person may have it tried again.
USED_UP = ("not_sent", "broker_rate_limit")
NOT_SENT_TRIES, NOT_SENT_AGAIN_S = 3, 2.0
RATE_LIMIT_TRIES, RATE_LIMIT_AGAIN_S = 5, 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The row's answer, and after how long it is sent again (0: not at all)."""

    answer: SendingAnswer
    again_after_s: float = 0.0


def outcome_of(
    client_order_id: str,
    order_id: str,
    failure: BrokerFailure | None,
    *,
    sends: int,
    request: str = "",
    reply: str = "",
) -> Outcome:
    """One order's outcome; `sends` counts this sending too. A success without an id is unknown."""
    if failure is None and order_id:
        return Outcome(
            SendingAnswer(
                client_order_id, OrderStatus.SENT, order_id, False, "", "", request, reply
            )
        )
    text = str(failure) if failure is not None else "the broker said success and gave no order id"
    kind, status, again_s = _classify(failure, sends)
    answer = SendingAnswer(
        client_order_id, status, "", status is OrderStatus.SENDING, kind, text, request, reply
    )
    return Outcome(answer, again_s)


def not_proven(client_order_id: str) -> Outcome:
    """The host did not prove that its orders are not real: in sandbox mode nothing goes there."""
    text = "SANDBOX_NOT_ACTIVE: the broker's host is not proven to be a sandbox; nothing was sent"
    answer = SendingAnswer(
        client_order_id, OrderStatus.FAILED, error_kind="sandbox_not_active", error_message=text
    )
    return Outcome(answer)


def _classify(failure: BrokerFailure | None, sends: int) -> tuple[str, OrderStatus, float]:
    if isinstance(failure, NotSent):
        if sends < NOT_SENT_TRIES:
            return "not_sent", OrderStatus.WAITING, NOT_SENT_AGAIN_S
        return "not_sent", OrderStatus.FAILED, 0.0
    if isinstance(failure, RateLimited):
        if sends < RATE_LIMIT_TRIES:
            return "broker_rate_limit", OrderStatus.WAITING, RATE_LIMIT_AGAIN_S
        return "broker_rate_limit", OrderStatus.FAILED, 0.0
    if isinstance(failure, BrokerRejected):
        # Without an order id the broker keeps no row of it (`multi_account.md` 4.2).
        return "broker_reject", OrderStatus.FAILED, 0.0
    return "network_timeout", OrderStatus.SENDING, 0.0
