"""Positions: one row a leg, folded from fills; net greeks; shorts that nothing covers (`tomic.md`
9.2, 8.8).

P&L: BUY (ltp - average) x quantity, SELL (average - ltp) x quantity. A row's key is
`symbol|strategy_id|leg_no`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from domain.instruments import OPTION_KINDS, Kind
from domain.intents import SizedIntent
from domain.orders import Fill
from domain.prices import money

GREEKS = ("delta", "gamma", "theta", "vega")
# Whose new life opens the question whether our books agree with the broker's.
BOOK_KEEPERS = ("execution_agent", "position_book", "executor")


def keeps_books(node: str) -> bool:
    """True for an actor whose death may have left our books and a broker's apart."""
    return node.partition(".")[0] in BOOK_KEEPERS


@dataclass(frozen=True, slots=True)
class Position:
    """One leg we hold. `quantity` is units, never negative; `direction` says the side. Greeks are a
    unit's, long: theta a calendar day, vega a point of volatility.
    """

    symbol: str
    exchange: str
    product: str
    direction: str
    quantity: int
    average_price: Decimal
    strategy_id: str
    strategy_tag: str
    strategy: str
    leg_no: int
    underlying: str
    kind: Kind
    strike: Decimal
    expiry: date | None
    entry_ns: int
    broker: str
    last_price: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    delta: float = 0.0
    gamma: float = 0.0
    theta: float = 0.0
    vega: float = 0.0
    naked_approved: bool = False

    @property
    def key(self) -> str:
        """Unique in the book."""
        return f"{self.symbol}|{self.strategy_id}|{self.leg_no}"

    @property
    def signed_quantity(self) -> int:
        """Positive for a long, negative for a short."""
        return self.quantity if self.direction == "BUY" else -self.quantity

    @property
    def unrealized(self) -> Decimal:
        """Rupees, on the last price; 0 while no price is known."""
        if self.last_price == 0:
            return Decimal(0)
        return (self.last_price - self.average_price) * self.signed_quantity


def untraded(fill: Fill) -> Position:
    """The leg of a fill before anything was traded in it; what a fill does not tell is empty."""
    return Position(
        symbol=fill.symbol,
        exchange=fill.exchange,
        product=fill.product,
        direction=fill.action,
        quantity=0,
        average_price=Decimal(0),
        strategy_id=fill.strategy_id,
        strategy_tag="",
        strategy="",
        leg_no=fill.leg_no,
        underlying="",
        kind=Kind.EQUITY,
        strike=Decimal(0),
        expiry=None,
        entry_ns=fill.at_ns,
        broker="",
    )


def fold(position: Position, fill: Fill) -> Position:
    """The position after a fill.

    An opposite fill realises (fill - average) x what it takes off; what goes beyond zero opens the
    other side at the fill's price.
    """
    sign = 1 if position.direction == "BUY" else -1
    units = fill.quantity if fill.action == "BUY" else -fill.quantity
    held = position.quantity * sign
    if held == 0 or (held > 0) == (units > 0):
        whole = abs(held) + fill.quantity
        paid = position.average_price * abs(held) + fill.price * fill.quantity
        return replace(
            position,
            direction=fill.action,
            quantity=whole,
            average_price=paid / whole,
            entry_ns=position.entry_ns if held else fill.at_ns,
        )
    taken = min(abs(held), fill.quantity)
    realized = position.realized + (fill.price - position.average_price) * taken * sign
    left = held + units
    if left == 0:
        return replace(position, quantity=0, realized=realized)
    if (left > 0) == (held > 0):
        return replace(position, quantity=abs(left), realized=realized)
    return replace(
        position,
        direction=fill.action,
        quantity=abs(left),
        average_price=fill.price,
        entry_ns=fill.at_ns,
        realized=realized,
    )


def net_greeks(positions: Iterable[Position]) -> dict[str, float]:
    """Signed greeks of the rows together, by name (`tomic.md` 9.2)."""
    rows = list(positions)
    return {name: sum(getattr(row, name) * row.signed_quantity for row in rows) for name in GREEKS}


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """The whole book at one version; what everyone outside the position book knows of it.

    `unexplained` lists exchange:symbol rows whose reconciliation is open: no entries there.
    """

    version: int = 0
    positions: tuple[Position, ...] = ()
    realized_today: Decimal = Decimal(0)
    charges_today: Decimal = Decimal(0)
    unmanaged: tuple[Position, ...] = ()
    unexplained: tuple[str, ...] = ()
    as_of_ns: int = 0

    @property
    def open_positions(self) -> tuple[Position, ...]:
        """Rows with quantity."""
        return tuple(row for row in self.positions if row.quantity)

    @property
    def unrealized(self) -> Decimal:
        """Rupees over all open rows, ours and unmanaged."""
        return sum((row.unrealized for row in self.positions + self.unmanaged), Decimal(0))

    @property
    def gross_notional(self) -> Decimal:
        """Rupees that all structures stand for, ours and unmanaged (`tomic.md` 10.1)."""
        structures: dict[str, list[tuple[Kind, str, Decimal, Decimal, int]]] = {}
        for row in self.positions + self.unmanaged:
            legs = structures.setdefault(row.strategy_id or row.key, [])
            legs.append((row.kind, row.direction, row.strike, row.average_price, row.quantity))
        return sum((structure_notional(legs) for legs in structures.values()), Decimal(0))


@dataclass(frozen=True, slots=True)
class UnhedgedShort:
    """Short option quantity, in units, that no long covers."""

    key: str
    symbol: str
    quantity: int


def unhedged_shorts(positions: Iterable[Position]) -> tuple[UnhedgedShort, ...]:
    """Shorts left over when every long covered what it may (`tomic.md` 8.8 S2).

    A long covers a short of the same underlying and type whose expiry is not later than its own;
    each unit covers one unit. Shorts approved naked are left out. The latest expiries are served
    first, because fewer longs reach them; of one expiry the oldest, so that the newcomer is the one
    named.
    """
    rows = [row for row in positions if row.quantity and row.kind in OPTION_KINDS]
    longs = sorted((row for row in rows if row.direction == "BUY"), key=lambda row: row.key)
    spare = {row.key: row.quantity for row in longs}
    shorts = [row for row in rows if row.direction == "SELL" and not row.naked_approved]
    shorts.sort(key=lambda row: (-_expiry(row).toordinal(), row.entry_ns, row.key))
    naked = []
    for short in shorts:
        missing = short.quantity
        for long in longs:
            if _covers(long, short):
                taken = min(missing, spare[long.key])
                spare[long.key] -= taken
                missing -= taken
        if missing:
            naked.append(UnhedgedShort(short.key, short.symbol, missing))
    return tuple(sorted(naked, key=lambda row: row.key))


def _covers(long: Position, short: Position) -> bool:
    same = long.underlying == short.underlying and long.kind == short.kind
    return same and _expiry(long) >= _expiry(short)


def _expiry(row: Position) -> date:
    return row.expiry or date.min


def structure_notional(
    legs: Iterable[tuple[Kind, str, Decimal, Decimal, int]],
) -> Decimal:
    """Rupees one structure stands for, from (kind, direction, strike, price, units) of its legs.

    Longs at premium, short options at strike, of which only the larger side counts: the index
    cannot be above the calls and below the puts at once (`tomic.md` 10.1). Anything else at its
    price.
    """
    bought, sides = Decimal(0), {Kind.CALL: Decimal(0), Kind.PUT: Decimal(0)}
    for kind, direction, strike, price, quantity in legs:
        if direction == "SELL" and kind in OPTION_KINDS:
            sides[kind] += strike * quantity
        else:
            bought += price * quantity
    return bought + max(sides.values())


def intent_notional(intent: SizedIntent) -> Decimal:
    """Rupees an entry will stand for, at the mid prices it was resolved at."""
    return structure_notional(
        (leg.option_type, leg.direction, leg.strike, money(leg.mid), intent.quantity * leg.ratio)
        for leg in intent.structure.legs
    )
