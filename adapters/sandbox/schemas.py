"""Schemas: which fields every endpoint takes (`openalgo.md` 3 to 5)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from adapters.sandbox.validation import (
    TOO_SHORT,
    Errors,
    Field,
    Schema,
    boolean,
    day,
    integer,
    number,
    one_of,
    rows,
    text,
    within,
)
from domain.instruments import EXCHANGES

ZERO = Decimal(0)
DERIVATIVE_EXCHANGES = ("NFO", "BFO", "MCX", "CDS", "NCO", "BCD", "NCDEX", "CRYPTO")
POSITIVE = "Quantity must be a positive number."
POSITIVE_WHOLE = "Quantity must be a positive integer."
MANY = 1_000_000_000


def must(read: Any) -> Field:
    """A required field."""
    return Field(read, required=True)


def may(read: Any, default: Any = None) -> Field:
    """An optional field."""
    return Field(read, default=default)


APIKEY = {"apikey": must(text(1, 256))}
TAG = {**APIKEY, "strategy": must(text())}
SYMBOL = {"symbol": must(text(upper=True)), "exchange": must(one_of(*EXCHANGES))}
ACTION = {"action": must(one_of("BUY", "SELL", "buy", "sell"))}
PRICE_TYPE = one_of("MARKET", "LIMIT", "SL", "SL-M")
PRODUCT = one_of("MIS", "NRML", "CNC")
OPTION_PRODUCT = one_of("MIS", "NRML")
PRICE = number("Price must be a non-negative number.", least=ZERO)
TRIGGER = number("Trigger price must be a non-negative number.", least=ZERO)
DISCLOSED = integer("Disclosed quantity must be a non-negative integer.", least=0)
QUANTITY = number(POSITIVE, above=ZERO)
ORDERID = {"orderid": must(text())}

TERMS = {
    "pricetype": may(PRICE_TYPE, "MARKET"),
    "product": may(PRODUCT, "MIS"),
    "price": may(PRICE, ZERO),
    "trigger_price": may(TRIGGER, ZERO),
    "disclosed_quantity": may(DISCLOSED, 0),
}
OPTION_TERMS = {**TERMS, "product": may(OPTION_PRODUCT, "MIS")}
LAST_PRICE = {"underlying_ltp": Field(number(), nullable=True)}


def whole_quantity(values: dict[str, Any]) -> Errors:
    """Only crypto trades in fractions."""
    quantity = values["quantity"]
    if quantity == quantity.to_integral_value() or values.get("exchange") == "CRYPTO":
        return {}
    return {
        "quantity": [
            f"Fractional quantity ({quantity.normalize():f}) is not allowed "
            "for non-crypto exchanges."
        ]
    }


_WHOLE = (whole_quantity,)
_ORDER = {**SYMBOL, **ACTION, "quantity": must(QUANTITY), **TERMS}

PLACE = Schema({**TAG, **_ORDER, **LAST_PRICE}, _WHOLE)
SMART = Schema(
    {
        **TAG,
        **_ORDER,
        **LAST_PRICE,
        "quantity": must(number("Quantity must be a non-negative number.", least=ZERO)),
        "position_size": must(number()),
    },
    _WHOLE,
)
MODIFY = Schema(
    {
        **TAG,
        **ORDERID,
        **SYMBOL,
        **ACTION,
        "product": must(PRODUCT),
        "pricetype": must(PRICE_TYPE),
        "price": must(PRICE),
        "quantity": must(QUANTITY),
        "disclosed_quantity": must(DISCLOSED),
        "trigger_price": must(TRIGGER),
    },
    _WHOLE,
)
CANCEL = Schema({**TAG, **ORDERID})
TAG_ONLY = Schema(TAG)
KEY_ONLY = Schema(APIKEY)
BASKET = Schema({**TAG, "orders": must(rows(Schema(_ORDER, _WHOLE), 0, MANY, "Not a valid list."))})
SPLIT = Schema(
    {
        **TAG,
        **_ORDER,
        "quantity": must(number("Total quantity must be a positive number.", above=ZERO)),
        "splitsize": must(integer("Split size must be a positive integer.", least=1)),
    },
    _WHOLE,
)
ORDER_STATUS = CANCEL
OPEN_POSITION = Schema({**TAG, **SYMBOL, "product": must(PRODUCT)})
_MARGIN_POSITION = Schema(
    {
        "symbol": must(text(1, 50, upper=True)),
        "exchange": must(one_of(*EXCHANGES)),
        **ACTION,
        "quantity": must(number()),
        "product": must(PRODUCT),
        "pricetype": must(PRICE_TYPE),
        "price": may(PRICE, ZERO),
        "trigger_price": may(TRIGGER, ZERO),
    }
)
MARGIN = Schema(
    {
        **APIKEY,
        "positions": must(rows(_MARGIN_POSITION, 1, 50, "Positions must contain 1 to 50 items.")),
    }
)

UNDERLYING = {"underlying": must(text(upper=True)), "exchange": must(one_of(*EXCHANGES))}
EXPIRY = {"expiry_date": may(text(upper=True), "")}
STRIKE_STEP = {"strike_int": may(within(1, MANY))}
OFFSET = {"offset": must(text(upper=True)), "option_type": must(one_of("CE", "PE", fold=True))}
SPLIT_SIZE = {"splitsize": may(integer("Split size must be a positive integer.", least=0), 0)}
_OPTION_QUANTITY = {"quantity": must(integer(POSITIVE_WHOLE, least=1))}

OPTIONS_ORDER = Schema(
    {
        **TAG,
        **UNDERLYING,
        **EXPIRY,
        **STRIKE_STEP,
        **OFFSET,
        **ACTION,
        **_OPTION_QUANTITY,
        **OPTION_TERMS,
        **SPLIT_SIZE,
    }
)
_LEG = Schema({**OFFSET, **ACTION, **_OPTION_QUANTITY, **EXPIRY, **OPTION_TERMS, **SPLIT_SIZE})
OPTIONS_MULTI = Schema(
    {
        **TAG,
        **UNDERLYING,
        **EXPIRY,
        **STRIKE_STEP,
        "legs": must(rows(_LEG, 1, 20, "Legs must contain 1 to 20 items.")),
    }
)
OPTION_SYMBOL = Schema(
    {**APIKEY, "strategy": may(text()), **UNDERLYING, **EXPIRY, **STRIKE_STEP, **OFFSET}
)
OPTION_CHAIN = Schema(
    {
        **APIKEY,
        **UNDERLYING,
        "expiry_date": must(text(upper=True)),
        "strike_count": may(within(1, 100)),
        "with_greeks": may(boolean, False),
        "interest_rate": may(within(0, 100, whole=False), ZERO),
    }
)
_GREEK_TERMS = {
    "interest_rate": may(within(0, 100, whole=False), ZERO),
    "expiry_time": may(text()),
}
OPTION_GREEKS = Schema(
    {
        **APIKEY,
        "symbol": must(text(upper=True)),
        "exchange": must(one_of(*DERIVATIVE_EXCHANGES)),
        **_GREEK_TERMS,
        "forward_price": may(number("Forward price must be a positive number.", above=ZERO)),
        "underlying_symbol": may(text(upper=True)),
        "underlying_exchange": may(one_of(*EXCHANGES)),
    }
)
_GREEK_ROW = Schema(
    {
        "symbol": must(text(upper=True)),
        "exchange": must(one_of(*DERIVATIVE_EXCHANGES)),
        "underlying_symbol": may(text(upper=True)),
        "underlying_exchange": may(one_of(*EXCHANGES)),
    }
)
MULTI_GREEKS = Schema(
    {
        **APIKEY,
        "symbols": must(rows(_GREEK_ROW, 1, 50, "Symbols must contain 1 to 50 items.")),
        **_GREEK_TERMS,
    }
)
SYNTHETIC = Schema({**APIKEY, **UNDERLYING, "expiry_date": must(text(upper=True))})

QUOTES = Schema({**APIKEY, **SYMBOL})
MULTI_QUOTES = Schema({**APIKEY, "symbols": must(rows(Schema(SYMBOL), 1, MANY, TOO_SHORT))})
HISTORY = Schema(
    {
        **APIKEY,
        **SYMBOL,
        "interval": must(text()),
        "start_date": must(day),
        "end_date": must(day),
        "source": may(one_of("api", "db"), "api"),
    }
)
EXPIRIES = Schema(
    {
        **APIKEY,
        "symbol": must(text(upper=True)),
        "exchange": must(one_of(*DERIVATIVE_EXCHANGES)),
        "instrumenttype": may(one_of("futures", "options"), "options"),
    }
)
SEARCH = Schema({**APIKEY, "query": may(text(0), ""), "exchange": may(one_of(*EXCHANGES))})
INSTRUMENTS = Schema(
    {**APIKEY, "exchange": may(one_of(*EXCHANGES)), "format": may(one_of("json", "csv"), "json")}
)
TICKER = Schema(
    {
        **APIKEY,
        "interval": may(text(), "D"),
        "from": must(day),
        "to": must(day),
        "format": may(one_of("json", "txt"), "json"),
    }
)
TOGGLE = Schema({**APIKEY, "mode": must(boolean)})
HOLIDAYS = Schema({"apikey": may(text(0)), "year": may(within(2020, 2050))})
TIMINGS = Schema({"apikey": may(text(0)), "date": must(text())})
NOTIFY = Schema({**APIKEY, "username": must(text()), "message": must(text())})
