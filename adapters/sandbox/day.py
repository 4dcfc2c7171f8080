"""The day's appointments of one exchange: square-off, expiry, delivery, roll of the books, reset.

`keep_appointments` is called every minute of the exchange's time, and once at the start so that
what fell due while the process was down is done first (`openalgo.md` 10).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

from adapters.sandbox.books import CANCELLED, ZERO, Holding, Position, Ticket
from adapters.sandbox.exchange import Exchange
from adapters.sandbox.hours import SESSION_ROLLS_AT_HOUR
from adapters.sandbox.margins import PAISA
from adapters.sandbox.matching import as_decimal
from domain.clock import EXCHANGE_ZONE, epoch_ns, exchange_time
from domain.instruments import OPTION_KINDS, Listing, parse_symbol

SQUARE_OFF_TAG = "AUTO_SQUARE_OFF"
SETTLEMENT_TAG = "EXPIRY_SETTLEMENT"


def keep_appointments(exchange: Exchange) -> None:
    """Does everything that is due; doing it twice changes nothing."""
    _roll_the_day(exchange)
    _reset_when_due(exchange)
    if not exchange.market.always_open:
        _square_off(exchange)
    _settle_expired(exchange)
    exchange.save()


def session_start_ns(day: date) -> int:
    """When the books of a day begin."""
    return epoch_ns(datetime.combine(day, time(SESSION_ROLLS_AT_HOUR), EXCHANGE_ZONE))


def _roll_the_day(exchange: Exchange) -> None:
    """The first look of a new day: old rows leave, flat positions go, shares are delivered."""
    account, market = exchange.account, exchange.market
    today = market.session_day()
    if account.ledger.session_day == today.isoformat():
        return
    begins_ns = session_start_ns(today)
    account.orders = {
        key: row
        for key, row in account.orders.items()
        if row.is_working or row.placed_ns >= begins_ns
    }
    account.trades = [row for row in account.trades if row.at_ns >= begins_ns]
    exchange.forget_before(begins_ns)
    for position in list(account.positions.values()):
        _roll_position(exchange, position, today)
    account.ledger.session_day = today.isoformat()
    account.ledger.realized_today = ZERO
    account.changes.ledger = True


def _roll_position(exchange: Exchange, position: Position, today: date) -> None:
    account, market = exchange.account, exchange.market
    if position.updated_ns >= session_start_ns(today):
        return
    account.changes.positions[position.key] = position
    position.realized_today = ZERO
    if position.quantity == 0:
        del account.positions[position.key]
    elif position.product == "CNC" and market.calendar(position.exchange).session(today):
        _deliver(exchange, position)


def _deliver(exchange: Exchange, position: Position) -> None:
    """T+1: bought shares become a holding, sold ones leave it and their gain is booked."""
    account = exchange.account
    key = (position.exchange, position.symbol)
    holding = account.holdings.get(key) or Holding(*key, 0, ZERO, ZERO)
    if position.quantity > 0:
        cost = holding.average_price * holding.quantity
        cost += position.average_price * position.quantity
        holding.quantity += position.quantity
        holding.average_price = cost / holding.quantity
        holding.margin += position.margin
    else:
        sold = min(-position.quantity, holding.quantity)
        gain = (position.average_price - holding.average_price) * sold
        account.realize(gain.quantize(PAISA))
        left = holding.quantity - sold
        holding.margin = _kept(holding, left)
        holding.quantity = left
    if holding.quantity:
        account.holdings[key] = holding
    else:
        account.holdings.pop(key, None)
    account.changes.holdings[key] = holding
    del account.positions[position.key]


def _kept(holding: Holding, left: int) -> Decimal:
    """The money that stays in the shares that are left."""
    return (holding.margin * left / holding.quantity).quantize(PAISA) if left else ZERO


def _square_off(exchange: Exchange) -> None:
    """Intraday orders and positions end at the segment's time, or at once when a day was missed."""
    account, market = exchange.account, exchange.market
    for order in list(account.working.values()):
        if order.product == "MIS" and _is_due(exchange, order.exchange, order.placed_ns):
            exchange.end(order, CANCELLED, "cancelled at square-off")
    for position in list(account.positions.values()):
        due = position.product == "MIS" and position.quantity
        if due and _is_due(exchange, position.exchange, position.updated_ns):
            listing = market.find(position.exchange, position.symbol)
            _close_at(exchange, position, SQUARE_OFF_TAG, _exit_price(exchange, listing, position))


def _is_due(exchange: Exchange, segment: str, since_ns: int) -> bool:
    """True when a square-off moment lies between `since` and now."""
    day = exchange_time(since_ns).date()
    last = exchange.market.now().date()
    while day <= last:
        session = exchange.market.calendar(segment).session(day)
        if session and since_ns < session.square_off_ns <= exchange.market.now_ns():
            return True
        day += timedelta(days=1)
    return False


def _settle_expired(exchange: Exchange) -> None:
    account = exchange.account
    for order in list(account.working.values()):
        if _has_settled(exchange, order.exchange, order.symbol):
            exchange.end(order, CANCELLED, "contract expired")
    for position in list(account.positions.values()):
        if position.quantity and _has_settled(exchange, position.exchange, position.symbol):
            _close_at(exchange, position, SETTLEMENT_TAG, _settlement_price(exchange, position))


def _has_settled(exchange: Exchange, segment: str, symbol: str) -> bool:
    """At the close of the last day, or when a later day has begun.

    An always-open market never closes. The symbol's own date is read: a contract of the past has
    left the master.
    """
    market = exchange.market
    parsed = parse_symbol(symbol)
    if parsed is None:
        return False
    if market.now().date() > parsed.expiry:
        return True
    waits = exchange.account.settings.expiry_settlement_timing == "next_day"
    if waits or market.always_open:
        return False
    session = market.calendar(segment).session(parsed.expiry)
    return session is not None and market.now_ns() >= session.closes_ns


def _settlement_price(exchange: Exchange, position: Position) -> Decimal:
    parsed = parse_symbol(position.symbol)
    worthless = exchange.account.settings.option_expiry_settlement == "zero"
    if worthless and parsed and parsed.kind in OPTION_KINDS:
        return ZERO
    listing = exchange.market.find(position.exchange, position.symbol)
    quote = exchange.market.quote(listing) if listing else None
    return as_decimal(quote.ltp) if quote else position.average_price


def _exit_price(exchange: Exchange, listing: Listing | None, position: Position) -> Decimal:
    """The side of the book a market order would meet; the average when nothing is quoted."""
    price = exchange.market.price(listing) if listing else None
    if price is None:
        return position.average_price
    return (price.bid if position.quantity > 0 else price.ask) or price.ltp


def _close_at(exchange: Exchange, position: Position, tag: str, price: Decimal) -> None:
    action = "SELL" if position.quantity > 0 else "BUY"
    exchange.fill_at(
        Ticket(
            strategy=tag,
            exchange=position.exchange,
            symbol=position.symbol,
            action=action,
            quantity=abs(position.quantity),
            product=position.product,
        ),
        price,
    )


def _reset_when_due(exchange: Exchange) -> None:
    """The weekly reset, when the settings name a day; once a week."""
    settings, market = exchange.account.settings, exchange.market
    now = market.now()
    if settings.reset_day != f"{now:%A}" or now.time() < settings.reset_time:
        return
    moment = epoch_ns(datetime.combine(now.date(), settings.reset_time, EXCHANGE_ZONE))
    if exchange.account.ledger.last_reset_ns < moment:
        exchange.reset()
