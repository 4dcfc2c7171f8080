"""What a stand-in feed sends: quotes by hand or by chance, exact in every protocol."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

TICK_SIZE = Decimal("0.05")
OPENED_S = 1_795_145_100  # 2026-11-20 09:15 IST
LEVELS = 5


@dataclass(frozen=True, slots=True)
class Level:
    """One row of the order book's depth."""

    quantity: int
    price: Decimal
    orders: int


@dataclass(frozen=True, slots=True)
class Quote:
    """One instrument's numbers at one moment, prices in rupees, times as epochs.

    `segment` and `token` are the broker's own; where a token holds its segment (Kite), `token` is
    the whole of it. `close` is the previous day's.
    """

    segment: int
    token: int
    last_price: Decimal
    last_qty: int = 0
    avg_price: Decimal = Decimal(0)
    volume: int = 0
    buy_qty: int = 0
    sell_qty: int = 0
    open: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    low: Decimal = Decimal(0)
    close: Decimal = Decimal(0)
    last_trade_s: int = OPENED_S
    exchange_ms: int = OPENED_S * 1000
    oi: int = 0
    oi_high: int = 0
    oi_low: int = 0
    bids: tuple[Level, ...] = (Level(0, Decimal(0), 0),) * LEVELS
    asks: tuple[Level, ...] = (Level(0, Decimal(0), 0),) * LEVELS
    upper_circuit: Decimal = Decimal(0)
    lower_circuit: Decimal = Decimal(0)
    high_52w: Decimal = Decimal(0)
    low_52w: Decimal = Decimal(0)
    prev_oi: int = 0
    sequence: int = 0


def random_quote(chance: random.Random, segment: int, token: int) -> Quote:
    """A quote with every field set and no two alike; float32 holds each price to the paisa."""

    def price() -> Decimal:
        return (
            chance.randrange(20, 4_000) * TICK_SIZE
        )  # below 214, all that int32 holds of currencies

    def count() -> int:
        return chance.randrange(1, 2_000_000_000)

    def levels() -> tuple[Level, ...]:
        return tuple(Level(count(), price(), chance.randrange(1, 32_000)) for _ in range(LEVELS))

    at_s = OPENED_S + chance.randrange(22_500)
    return Quote(
        segment=segment,
        token=token,
        last_price=price(),
        last_qty=chance.randrange(1, 60_000),
        avg_price=price(),
        volume=count(),
        buy_qty=count(),
        sell_qty=count(),
        open=price(),
        high=price(),
        low=price(),
        close=price(),
        last_trade_s=at_s,
        exchange_ms=at_s * 1000 + chance.randrange(1000),
        oi=count(),
        oi_high=count(),
        oi_low=count(),
        bids=levels(),
        asks=levels(),
        upper_circuit=price(),
        lower_circuit=price(),
        high_52w=price(),
        low_52w=price(),
        prev_oi=count(),
        sequence=count(),
    )
