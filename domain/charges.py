"""Costs of an options trade: brokerage, STT, exchange and SEBI fees, stamp duty, GST.

Rates are data with the date they begin, because budgets and exchange circulars change them; who
computes a cost passes the rates in. Journal and risk use the same function, so that a credit judged
worth its costs is judged by the costs that are later booked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

from domain.prices import money


@dataclass(frozen=True, slots=True)
class ChargeRates:
    """Rates of option trades from `since` on; shares of the premium's turnover except `brokerage`.

    `brokerage` is rupees an order. `stt_sell` is on sales, `stamp_buy` on purchases, `gst` on
    brokerage, exchange and SEBI fees.
    """

    since: date
    stt_sell: Decimal
    exchange: Decimal
    brokerage: Decimal = Decimal(20)
    sebi: Decimal = Decimal("0.000001")
    stamp_buy: Decimal = Decimal("0.00003")
    gst: Decimal = Decimal("0.18")


# STT on the sale of an option: 0.1 % of the premium from 2024-10-01 (Finance (No. 2) Act 2024),
# 0.15 % from 2026-04-01 (Union Budget 2026-27). Exchange fee 0.03503 % of premium (NSE's uniform
# rate since 2024-10-01). SEBI ten rupees a crore; stamp duty 0.003 % on the buy side (Indian Stamp
# Act as amended 2019); GST 18 %. Brokerage: the flat 20 rupees an order that discount brokers take.
CHARGE_RATES = (
    ChargeRates(since=date(2024, 10, 1), stt_sell=Decimal("0.001"), exchange=Decimal("0.0003503")),
    ChargeRates(since=date(2026, 4, 1), stt_sell=Decimal("0.0015"), exchange=Decimal("0.0003503")),
)


@dataclass(frozen=True, slots=True)
class Charges:
    """Rupees, each to the paisa."""

    brokerage: Decimal = Decimal(0)
    stt: Decimal = Decimal(0)
    exchange: Decimal = Decimal(0)
    sebi: Decimal = Decimal(0)
    stamp: Decimal = Decimal(0)
    gst: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """All of it, rupees."""
        return sum((getattr(self, part.name) for part in fields(self)), Decimal(0))

    def __add__(self, other: Charges) -> Charges:
        return Charges(*(getattr(self, p.name) + getattr(other, p.name) for p in fields(self)))


def rates_on(day: date, table: Iterable[ChargeRates] = CHARGE_RATES) -> ChargeRates:
    """The rates in force on a day; the oldest row for days before it. ValueError for an empty
    table."""
    rows = sorted(table, key=lambda row: row.since)
    if not rows:
        raise ValueError("the table of charges has no row")
    return next((row for row in reversed(rows) if row.since <= day), rows[0])


def order_charges(action: str, quantity: int, price: Decimal, rates: ChargeRates) -> Charges:
    """Cost of one filled order of `quantity` units at `price` rupees; nothing for an empty one."""
    if quantity <= 0:
        return Charges()
    turnover = price * quantity
    exchange, sebi = turnover * rates.exchange, turnover * rates.sebi
    return Charges(
        brokerage=money(rates.brokerage),
        stt=money(turnover * rates.stt_sell if action == "SELL" else Decimal(0)),
        exchange=money(exchange),
        sebi=money(sebi),
        stamp=money(turnover * rates.stamp_buy if action == "BUY" else Decimal(0)),
        gst=money((rates.brokerage + exchange + sebi) * rates.gst),
    )


def round_trip_charges(orders: Iterable[tuple[str, int, Decimal]], rates: ChargeRates) -> Decimal:
    """Rupees for opening these (action, quantity, price) orders and closing them at the same
    prices."""
    opposite = {"BUY": "SELL", "SELL": "BUY"}
    whole = Charges()
    for action, quantity, price in orders:
        whole += order_charges(action, quantity, price, rates)
        whole += order_charges(opposite[action], quantity, price, rates)
    return whole.total
