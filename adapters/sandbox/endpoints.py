"""Endpoints: every path under /api/v1 with its method, its schema, its handler and its manners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adapters.sandbox import (
    account_routes,
    data_routes,
    option_routes,
    order_routes,
    schemas,
)
from adapters.sandbox.order_routes import Handler
from adapters.sandbox.validation import Schema


class Family(StrEnum):
    """How an endpoint words a bad field (`openalgo.md` 1.1)."""

    ORDER = "order"
    DATA = "data"
    OPTIONS = "options"


class Pace(StrEnum):
    """Which rate limit counts (`openalgo.md` 1.2); order endpoints count each by itself."""

    ORDER = "order"
    SMART = "smart"
    API = "api"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path. `keyed` is False where no valid key is needed."""

    name: str
    schema: Schema
    handler: Handler
    family: Family
    pace: Pace = Pace.API
    method: str = "POST"
    keyed: bool = True
    takes_order_id_alias: bool = False


def _order(name: str, schema: Schema, handler: Handler, **manners: Any) -> Endpoint:
    return Endpoint(name, schema, handler, Family.ORDER, **{"pace": Pace.ORDER, **manners})


def _read(name: str, schema: Schema, handler: Handler, **manners: Any) -> Endpoint:
    return Endpoint(name, schema, handler, manners.pop("family", Family.DATA), **manners)


_ALIAS = {"takes_order_id_alias": True}
_ORDER_SHAPED = {"family": Family.ORDER}
_OPTIONS = {"family": Family.OPTIONS}

_ALL = (
    _order("placeorder", schemas.PLACE, order_routes.place_order),
    _order("placesmartorder", schemas.SMART, order_routes.place_smart_order, pace=Pace.SMART),
    _order("modifyorder", schemas.MODIFY, order_routes.modify_order, **_ALIAS),
    _order("cancelorder", schemas.CANCEL, order_routes.cancel_order, **_ALIAS),
    _order("cancelallorder", schemas.TAG_ONLY, order_routes.cancel_all_orders),
    _order("closeposition", schemas.TAG_ONLY, order_routes.close_positions),
    _order("basketorder", schemas.BASKET, order_routes.basket_order),
    _order("splitorder", schemas.SPLIT, order_routes.split_order),
    _read(
        "optionsorder", schemas.OPTIONS_ORDER, option_routes.options_order,
        pace=Pace.ORDER, **_OPTIONS,
    ),
    _read(
        "optionsmultiorder", schemas.OPTIONS_MULTI, option_routes.options_multi_order,
        pace=Pace.ORDER, **_OPTIONS,
    ),
    _read(
        "orderstatus", schemas.ORDER_STATUS, account_routes.order_status,
        **_ORDER_SHAPED, **_ALIAS,
    ),
    _read("openposition", schemas.OPEN_POSITION, account_routes.open_position, **_ORDER_SHAPED),
    _read("margin", schemas.MARGIN, account_routes.margin, **_ORDER_SHAPED),
    _read("analyzer", schemas.KEY_ONLY, data_routes.analyzer, **_ORDER_SHAPED),
    _read("analyzer/toggle", schemas.TOGGLE, data_routes.analyzer_toggle, **_ORDER_SHAPED),
    _read("orderbook", schemas.KEY_ONLY, account_routes.order_book),
    _read("tradebook", schemas.KEY_ONLY, account_routes.trade_book),
    _read("positionbook", schemas.KEY_ONLY, account_routes.position_book),
    _read("positions", schemas.KEY_ONLY, account_routes.position_book),
    _read("holdings", schemas.KEY_ONLY, account_routes.holdings),
    _read("funds", schemas.KEY_ONLY, account_routes.funds),
    _read("pnl/symbols", schemas.KEY_ONLY, account_routes.gains_by_symbol),
    _read("quotes", schemas.QUOTES, data_routes.quotes),
    _read("multiquotes", schemas.MULTI_QUOTES, data_routes.multi_quotes),
    _read("depth", schemas.QUOTES, data_routes.depth),
    _read("history", schemas.HISTORY, data_routes.history),
    _read("intervals", schemas.KEY_ONLY, data_routes.intervals),
    _read("expiry", schemas.EXPIRIES, data_routes.expiry_dates),
    _read("symbol", schemas.QUOTES, data_routes.symbol),
    _read("search", schemas.SEARCH, data_routes.search),
    _read("ping", schemas.KEY_ONLY, data_routes.ping),
    _read("market/holidays", schemas.HOLIDAYS, data_routes.holidays, keyed=False),
    _read("market/timings", schemas.TIMINGS, data_routes.timings, keyed=False),
    _read("telegram/notify", schemas.NOTIFY, data_routes.notify),
    _read("optionchain", schemas.OPTION_CHAIN, option_routes.option_chain, **_OPTIONS),
    _read("optionsymbol", schemas.OPTION_SYMBOL, option_routes.option_symbol, **_OPTIONS),
    _read("optiongreeks", schemas.OPTION_GREEKS, option_routes.option_greeks, **_OPTIONS),
    _read(
        "multioptiongreeks", schemas.MULTI_GREEKS, option_routes.multi_option_greeks, **_OPTIONS
    ),
    _read("syntheticfuture", schemas.SYNTHETIC, option_routes.synthetic_future, **_OPTIONS),
    _read("instruments", schemas.INSTRUMENTS, data_routes.instruments, method="GET"),
    _read("ticker", schemas.TICKER, data_routes.ticker, method="GET"),
)  # fmt: skip

ENDPOINTS: Mapping[tuple[str, str], Endpoint] = {(row.method, row.name): row for row in _ALL}
PATH_ENDPOINTS = ("ticker",)  # what follows the name is an argument
