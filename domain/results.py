"""What a structure came to when it is flat: rupees, and why it is over (`tomic.md` 9.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.charges import order_charges, rates_on
from domain.clock import exchange_time
from domain.orders import EXIT_WORDS, CommandRow, CommandStatus, OrderRow, Purpose
from domain.prices import money


@dataclass(frozen=True, slots=True)
class Result:
    """Rupees; `reason` is one of `EXIT_WORDS`, `detail` what else is known."""

    gross: Decimal
    charges: Decimal
    reason: str
    detail: str

    @property
    def net(self) -> Decimal:
        """After charges."""
        return self.gross - self.charges


def result_of(entry: CommandRow, orders: Sequence[OrderRow], reasons: Mapping[int, str]) -> Result:
    """The result of a flat strategy, from its entry, all its orders, and the reason of each of its
    commands by number."""
    gross, charges = _amounts(orders)
    return Result(gross, charges, *_reason(entry, orders, reasons))


def _amounts(orders: Sequence[OrderRow]) -> tuple[Decimal, Decimal]:
    gross, charges = Decimal(0), Decimal(0)
    for row in orders:
        if row.filled_quantity:
            gross -= row.average_price * row.signed_filled
            if row.purpose is not Purpose.CORRECTION:
                rates = rates_on(exchange_time(row.created_ns).date())
                cost = order_charges(row.action, row.filled_quantity, row.average_price, rates)
                charges += cost.total
    return money(gross), charges


def _reason(
    entry: CommandRow, orders: Sequence[OrderRow], reasons: Mapping[int, str]
) -> tuple[str, str]:
    """(word, what else is known): a stop's, else that of the close that traded last.

    What a person wrote is `manual`; an entry that was taken back ended by the kill switch, or by
    what the broker or the market did to its legs.
    """
    filled = [row for row in orders if row.filled_quantity]
    if any(row.purpose is Purpose.STOP for row in filled):
        return "sl_hit", ""
    closing = [row.command_id for row in filled if row.purpose is Purpose.CLOSE]
    if closing and closing[-1] in reasons:
        text = reasons[closing[-1]]
        return (text, "") if text in EXIT_WORDS else ("manual", text)
    if entry.status is CommandStatus.DONE:
        return "external", ""
    if entry.error_code == "KILLED":
        return "kill", entry.last_error
    refused = (f"{row.symbol}: {row.error_message}" for row in orders if row.error_message)
    return "external", next(refused, entry.last_error)
