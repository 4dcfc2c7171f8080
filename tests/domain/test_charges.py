"""What an options trade costs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from domain.charges import Charges, order_charges, rates_on, round_trip_charges

NOW = rates_on(date(2026, 11, 20))


def test_a_sale_pays_stt_and_no_stamp_duty():
    # 65 units at 100: turnover 6,500. STT 0.15 % 9.75; exchange 0.03503 % 2.28; SEBI 0.01;
    # GST 18 % of 20 + 2.27695 + 0.0065: 4.01.
    charges = order_charges("SELL", 65, Decimal(100), NOW)
    assert charges == Charges(
        brokerage=Decimal("20.00"),
        stt=Decimal("9.75"),
        exchange=Decimal("2.28"),
        sebi=Decimal("0.01"),
        stamp=Decimal("0.00"),
        gst=Decimal("4.01"),
    )
    assert charges.total == Decimal("36.05")


def test_a_purchase_pays_stamp_duty_and_no_stt():
    charges = order_charges("BUY", 65, Decimal(100), NOW)
    assert charges.stt == 0
    # 0.003 % of 6,500 is 0.195.
    assert charges.stamp == Decimal("0.20")


@pytest.mark.parametrize(
    ("day", "stt"),
    [
        (date(2026, 4, 1), "0.0015"),
        (date(2026, 3, 31), "0.001"),
        (date(2024, 10, 1), "0.001"),
        (date(2020, 1, 1), "0.001"),
    ],
)
def test_the_rate_of_the_day_is_used(day, stt):
    assert rates_on(day).stt_sell == Decimal(stt)


def test_no_rates_are_an_error_and_not_free():
    with pytest.raises(ValueError, match="no row"):
        rates_on(date(2026, 1, 1), ())


def test_nothing_filled_costs_nothing():
    assert order_charges("SELL", 0, Decimal(100), NOW).total == 0


def test_a_round_trip_pays_each_side_once():
    buy = order_charges("BUY", 65, Decimal(100), NOW).total
    sell = order_charges("SELL", 65, Decimal(100), NOW).total
    assert round_trip_charges([("SELL", 65, Decimal(100))], NOW) == buy + sell
