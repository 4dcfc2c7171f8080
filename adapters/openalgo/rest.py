"""OpenAlgo over REST: orders, books, money, instruments, history (`openalgo.md` 3-5, `tomic.md`
8.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from adapters.http import HttpClient
from adapters.openalgo import mapping
from adapters.ports import PlacedOrder
from domain.brokers import (
    BrokerEndpoint,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    Funds,
    HistoryBar,
    MarginQuote,
    OrderRequest,
)
from domain.errors import BrokerFailure, OutcomeUnknown
from domain.instruments import Listing

BOOK_TIMEOUT_S = 5.0  # `tomic.md` 8.6
MASTER_TIMEOUT_S = 60.0
MARGIN_POSITIONS_MAX = 50
INTERVALS = ("1m", "15m", "D")

Result = TypeVar("Result")


class OpenAlgoBroker:
    """BrokerPort on one OpenAlgo instance; blocks, so for a worker thread only."""

    def __init__(
        self,
        endpoint: BrokerEndpoint,
        key: str,
        capabilities: Capabilities,
        wait: Callable[[float], Any] | None = None,
    ) -> None:
        self.capabilities = capabilities
        self._key = key
        self._http = HttpClient(
            endpoint.rest_url,
            key,
            orders_per_s=capabilities.orders_per_s,
            reads_per_s=capabilities.reads_per_s,
            wait=wait,
        )

    def ping(self) -> bool:
        """True when the instance answers and takes the key; raises the BrokerFailure otherwise."""
        self._read("ping", timeout_s=BOOK_TIMEOUT_S)
        return True

    def is_sandbox(self) -> bool:
        """True only when the instance says that it is in analyzer mode (`tomic.md` 8.9)."""
        data = self._read("analyzer", timeout_s=BOOK_TIMEOUT_S).get("data")
        return isinstance(data, dict) and data.get("analyze_mode") is True

    def place(self, requests: Sequence[OrderRequest]) -> list[PlacedOrder]:
        """One placeorder each, in the order given: each names its contract and its own outcome.

        optionsmultiorder takes legs by offset from the money, which the server resolves anew; an
        order of ours is for the contract that was weighed.
        """
        return [self._place_one(request) for request in requests]

    def cancel(self, order_id: str, tag: str) -> None:
        """Cancels by id; raises the BrokerFailure of a refusal or of an unknown outcome."""
        call = self._http.send(
            "cancelorder", {"apikey": self._key, "strategy": tag, "orderid": order_id}
        )
        if call.failure:
            raise call.failure

    def orders(self) -> list[BrokerOrder]:
        """The order book. Rows of brokers that do not tell fills are completed from the trade
        book."""
        data = self._read("orderbook", timeout_s=BOOK_TIMEOUT_S).get("data")
        rows = _rows(data.get("orders") if isinstance(data, dict) else data, "orderbook")
        fills: dict[str, tuple[int, Decimal]] = {}
        if _mapped("orderbook", lambda: any(mapping.is_partial_row(row) for row in rows)):
            trades = _rows(
                self._read("tradebook", timeout_s=BOOK_TIMEOUT_S).get("data"), "tradebook"
            )
            fills = _mapped("tradebook", lambda: mapping.fills_of(trades))
        return _mapped("orderbook", lambda: [mapping.to_order(row, fills) for row in rows])

    def positions(self) -> list[BrokerPosition]:
        """The position book without flat rows."""
        rows = _rows(self._read("positionbook").get("data"), "positionbook")
        return _mapped("positionbook", lambda: mapping.to_positions(rows))

    def funds(self) -> Funds:
        """Money of the account."""
        data = self._read("funds", timeout_s=BOOK_TIMEOUT_S).get("data")
        return _mapped("funds", lambda: mapping.to_funds(_object(data)))

    def margin(self, requests: Sequence[OrderRequest]) -> MarginQuote:
        """What these orders would block together, at most 50."""
        positions = [mapping.order_body(request) for request in requests[:MARGIN_POSITIONS_MAX]]
        data = self._read("margin", {"positions": positions}).get("data")
        total = _mapped(
            "margin", lambda: mapping.number(_object(data).get("total_margin_required"))
        )
        return MarginQuote(total)

    def listings(self) -> list[Listing]:
        """The instrument master of every exchange."""
        answer = self._read("instruments", method="GET", timeout_s=MASTER_TIMEOUT_S)
        rows = _rows(answer.get("data"), "instruments")
        listings = _mapped("instruments", lambda: [mapping.to_listing(row) for row in rows])
        return [listing for listing in listings if listing]

    def history(self, listing: Listing, interval: str, first: date, last: date) -> list[HistoryBar]:
        """Candles of both dates and between; ValueError for an interval not in INTERVALS."""
        if interval not in INTERVALS:
            raise ValueError(f"interval {interval!r} is none of {', '.join(INTERVALS)}")
        answer = self._read(
            "history",
            {
                "symbol": listing.symbol,
                "exchange": listing.exchange,
                "interval": interval,
                "start_date": first.isoformat(),
                "end_date": last.isoformat(),
            },
        )
        rows = _rows(answer.get("data"), "history")
        return _mapped("history", lambda: mapping.to_bars(rows))

    def close(self) -> None:
        """Ends connections."""
        self._http.close()

    def _read(self, path: str, fields: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
        return self._http.read(path, {"apikey": self._key, **(fields or {})}, **how)

    def _place_one(self, request: OrderRequest) -> PlacedOrder:
        body = {
            "apikey": self._key,
            "strategy": request.tag,
            **mapping.order_body(request),
        }
        call = self._http.send("placeorder", body)
        order_id, failure = _outcome(call.body, call.failure)
        return PlacedOrder(request.client_order_id, order_id, failure, call.request, call.answer)


def _outcome(
    answer: dict[str, Any], failure: BrokerFailure | None
) -> tuple[str, BrokerFailure | None]:
    """An order id, or the failure; a success without an id proves nothing (`data_pipeline.md`
    8)."""
    if failure:
        return "", failure
    order_id = answer.get("orderid")
    if not isinstance(order_id, (str, int)) or not str(order_id).strip():
        return "", OutcomeUnknown("the broker answered success without an order id")
    return str(order_id), None


def _rows(value: Any, path: str) -> list[dict[str, Any]]:
    """The rows of a book; a book that is no list is unknown, never empty."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise OutcomeUnknown(f"{path}: the answer holds no list of rows")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("the answer holds no object")
    return value


def _mapped(path: str, read: Callable[[], Result]) -> Result:
    try:
        return read()
    except ValueError as fault:
        raise OutcomeUnknown(f"{path}: {fault}") from None
