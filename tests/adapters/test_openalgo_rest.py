"""adapters.openalgo.rest: what a broker's answers mean, over a server that says what the test
wants.
"""

import json
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from adapters.openalgo.rest import OpenAlgoBroker
from domain.brokers import BrokerEndpoint, Capabilities, OrderRequest
from domain.errors import BrokerRejected, NotSent, OutcomeUnknown, RateLimited
from domain.instruments import Kind, Listing

KEY = "c0de" * 16
ORDER = OrderRequest(
    "key:1", "TAG", "NFO", "NIFTY24NOV2625950CE", "BUY", 65, "LIMIT", "NRML", Decimal("90.05")
)


class Bench:
    """Answers each endpoint with what `answers` holds for it; keeps the requests."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        bench = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                bench.reply(self, body)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def reply(self, handler, body):
        path = handler.path.split("?")[0].removeprefix("/api/v1/")
        self.requests.append((path, body, handler.path))
        answer = self.answers[path]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        status, content = answer if isinstance(answer, tuple) else (200, answer)
        data = json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def broker(bench):
    endpoint = BrokerEndpoint("alpha", bench.url, "", True, True, "Alpha")
    broker = OpenAlgoBroker(endpoint, KEY, Capabilities(), wait=lambda _: None)
    yield broker
    broker.close()


def ok(**fields):
    return {"status": "success", **fields}


def test_an_order_goes_out_with_its_tag_its_contract_and_its_numbers_as_texts(bench, broker):
    bench.answers["placeorder"] = ok(orderid="26112170164581", mode="analyze")

    (placed,) = broker.place([ORDER])

    assert (placed.order_id, placed.failure) == ("26112170164581", None)
    assert bench.requests[0][1] == {
        "apikey": KEY, "strategy": "TAG", "symbol": "NIFTY24NOV2625950CE", "exchange": "NFO",
        "action": "BUY", "quantity": "65", "pricetype": "LIMIT",
        "product": "NRML", "price": "90.05",
    }  # fmt: skip


def test_the_texts_kept_of_an_order_are_json_without_the_key(bench, broker):
    bench.answers["placeorder"] = ok(orderid="1", echo=KEY)
    (placed,) = broker.place([ORDER])
    assert json.loads(placed.request)["symbol"] == ORDER.symbol
    assert json.loads(placed.answer)["orderid"] == "1"
    assert KEY not in placed.request + placed.answer + repr(placed)


@pytest.mark.parametrize(
    "answer", [ok(), ok(orderid=""), ok(orderid=None), ok(order_id="7"), ok(orderid=[])]
)
def test_a_success_without_an_order_id_is_an_unknown_outcome(bench, broker, answer):
    bench.answers["placeorder"] = answer
    (placed,) = broker.place([ORDER])
    assert type(placed.failure) is OutcomeUnknown
    assert placed.order_id == ""


def test_a_failed_order_keeps_the_others_of_its_step(bench, broker):
    bench.answers["placeorder"] = [
        ok(orderid="1"),
        (400, {"status": "error", "message": "Insufficient funds"}),
        (429, {"message": "10 per 1 second"}),
        ok(orderid=4),
    ]
    rows = broker.place([ORDER] * 4)
    assert [row.order_id for row in rows] == ["1", "", "", "4"]
    assert [type(row.failure) for row in rows] == [
        type(None),
        BrokerRejected,
        RateLimited,
        type(None),
    ]


def test_an_order_to_a_broker_that_is_not_there_was_not_sent(broker, bench):
    endpoint = BrokerEndpoint("gone", "http://127.0.0.1:9", "", True, True, "Gone")
    gone = OpenAlgoBroker(endpoint, KEY, Capabilities(), wait=lambda _: None)
    (placed,) = gone.place([ORDER])
    gone.close()
    assert type(placed.failure) is NotSent


@pytest.mark.parametrize(
    "data", [None, {}, {"orders": None}, {"orders": [1]}, "none", {"orders": [{"orderid": "1"}]}]
)
def test_an_order_book_that_cannot_be_read_is_unknown_and_never_empty(bench, broker, data):
    bench.answers["orderbook"] = ok(data=data)
    with pytest.raises(OutcomeUnknown):
        broker.orders()


def test_an_empty_order_book_is_empty(bench, broker):
    bench.answers["orderbook"] = ok(data={"orders": [], "statistics": {}})
    assert broker.orders() == []


def test_an_older_order_book_that_is_a_list_is_read(bench, broker):
    bench.answers["orderbook"] = ok(data=[])
    assert broker.orders() == []


def test_fills_a_book_does_not_tell_are_taken_from_the_trade_book(bench, broker):
    row = {"orderid": "1", "symbol": "X", "exchange": "NFO", "action": "BUY", "quantity": "75",
           "order_status": "open", "pricetype": "LIMIT", "product": "NRML"}  # fmt: skip
    bench.answers["orderbook"] = ok(data={"orders": [row]})
    bench.answers["tradebook"] = ok(data=[{"orderid": "1", "quantity": 50, "average_price": 9.5}])
    (order,) = broker.orders()
    assert (order.filled_quantity, order.average_price) == (50, Decimal("9.5"))


@pytest.mark.parametrize("data", [None, {}, "x", [{"symbol": "X", "quantity": "lots"}]])
def test_a_position_book_that_cannot_be_read_is_unknown_and_never_empty(bench, broker, data):
    bench.answers["positionbook"] = ok(data=data)
    with pytest.raises(OutcomeUnknown):
        broker.positions()


@pytest.mark.parametrize(
    ("data", "proven"),
    [
        ({"analyze_mode": True, "mode": "analyze"}, True),
        ({"analyze_mode": False, "mode": "live"}, False),
        ({"analyze_mode": "true"}, False),
        ({"mode": "analyze"}, False),
        (None, False),
    ],
)
def test_only_an_analyzer_in_so_many_words_is_a_sandbox(bench, broker, data, proven):
    bench.answers["analyzer"] = ok(data=data)
    assert broker.is_sandbox() is proven


def test_the_key_of_a_get_stands_in_its_query_alone(bench, broker):
    bench.answers["instruments"] = ok(data=[])
    assert broker.listings() == []
    assert f"apikey={KEY}" in bench.requests[0][2]


def test_history_asks_for_both_dates(bench, broker):
    bench.answers["history"] = ok(data=[])
    listing = Listing(1, "NSE", "SBIN", "SBIN", Kind.EQUITY, 1, Decimal("0.05"), 0)
    assert broker.history(listing, "15m", date(2026, 11, 1), date(2026, 11, 20)) == []
    body = bench.requests[0][1]
    assert (body["start_date"], body["end_date"]) == ("2026-11-01", "2026-11-20")
    assert (body["symbol"], body["exchange"], body["interval"]) == ("SBIN", "NSE", "15m")


def test_a_cancel_that_got_no_clear_answer_raises_what_is_known(bench, broker):
    bench.answers["cancelorder"] = [
        ok(orderid="1"),
        (500, {}),
        (404, {"message": "Order 9 not found"}),
    ]
    broker.cancel("1", "TAG")
    with pytest.raises(OutcomeUnknown):
        broker.cancel("1", "TAG")
    with pytest.raises(BrokerRejected, match="not found"):
        broker.cancel("9", "TAG")
    assert len(bench.requests) == 3
