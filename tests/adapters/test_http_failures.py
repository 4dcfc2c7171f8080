"""adapters.http against small servers that fail in each way a broker can (`data_pipeline.md` 8)."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from adapters.http import HttpClient, Pace
from domain.errors import (
    BrokerFailure,
    BrokerRejected,
    NotAuthenticated,
    NotSent,
    OutcomeUnknown,
    RateLimited,
)

KEY = "f00d" + "a1b2" * 15


class RawServer:
    """Accepts connections, reads each request and lets `answer(connection)` reply as it likes."""

    def __init__(self, answer):
        self.requests = []
        self.stopped = threading.Event()
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self.stopped.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                self.requests.append(read_request(connection))
                self._answer(connection)

    def close(self):
        self.stopped.set()
        self._thread.join()
        self._socket.close()


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head.decode(), body.decode()


def reply(status, body, kind="application/json"):
    text = body if isinstance(body, str) else json.dumps(body)
    data = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(text.encode())}\r\n"
        f"Connection: close\r\n\r\n{text}"
    ).encode()
    return lambda connection: connection.sendall(data)


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def client(url, waits=None):
    waits = [] if waits is None else waits
    return HttpClient(url, KEY, orders_per_s=8, reads_per_s=40, wait=waits.append)


def send(url, timeout_s=2.0):
    return client(url).send("placeorder", {"apikey": KEY, "symbol": "SBIN"}, timeout_s)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_refused_connection_proves_that_nothing_was_sent():
    assert type(send(f"http://127.0.0.1:{free_port()}").failure) is NotSent


def test_a_host_that_does_not_exist_proves_that_nothing_was_sent():
    assert type(send("http://no-such-host.invalid:5000").failure) is NotSent


def test_a_time_out_before_the_connection_stands_proves_that_nothing_was_sent(monkeypatch):
    monkeypatch.setattr("adapters.http.CONNECT_TIMEOUT_S", 0.2)
    # A listener whose queue is full answers no further handshake.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for caller in crowd:
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        failure = send(f"http://127.0.0.1:{full.getsockname()[1]}").failure
        for caller in crowd:
            caller.close()
    assert type(failure) is NotSent


def test_silence_after_the_request_was_taken_leaves_the_outcome_unknown(serve):
    server = serve(lambda connection: server.stopped.wait(1))
    assert type(send(server.url, timeout_s=0.2).failure) is OutcomeUnknown
    assert len(server.requests) == 1


def test_an_answer_that_stops_half_way_leaves_the_outcome_unknown(serve):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"
    server = serve(lambda connection: connection.sendall(head))
    assert type(send(server.url).failure) is OutcomeUnknown


def test_a_body_that_drips_is_not_waited_for_without_end(serve):
    now = [0.0]

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        now[0] = 1_000.0
        connection.sendall(b"{" * 500)

    server = serve(drip)
    slow = HttpClient(
        server.url, KEY, orders_per_s=8, reads_per_s=40, wait=lambda _: None, clock=lambda: now[0]
    )
    assert type(slow.send("placeorder", {}, 1.0).failure) is OutcomeUnknown


def reset(connection):
    linger_zero = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)


def test_a_reset_after_sending_leaves_the_outcome_unknown(serve):
    assert type(send(serve(reset).url).failure) is OutcomeUnknown


def test_a_close_without_an_answer_leaves_the_outcome_unknown(serve):
    assert type(send(serve(lambda connection: None).url).failure) is OutcomeUnknown


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, {"status": "error", "message": "An unexpected error occurred"}, OutcomeUnknown),
        (502, "<html>Bad Gateway</html>", OutcomeUnknown),
        (302, "", OutcomeUnknown),
        (200, "<html>Login</html>", OutcomeUnknown),
        (200, "", OutcomeUnknown),
        (200, "[]", OutcomeUnknown),
        (200, {"orderid": "1"}, OutcomeUnknown),
        (200, {"status": "error", "message": "no funds"}, BrokerRejected),
        (400, {"status": "error", "message": "Invalid symbol"}, BrokerRejected),
        (404, "<html></html>", BrokerRejected),
        (422, {"message": {"exchange": ["Unknown field."]}}, BrokerRejected),
        (401, {"status": "error", "message": "who?"}, NotAuthenticated),
        (403, {"status": "error", "message": "Invalid openalgo apikey"}, NotAuthenticated),
        (429, {"message": "10 per 1 second"}, RateLimited),
    ],
)
def test_each_answer_has_its_class(serve, status, body, kind):
    assert type(send(serve(reply(status, body)).url).failure) is kind


def test_a_refusal_carries_the_brokers_words(serve):
    server = serve(
        reply(400, {"status": "error", "message": "Quantity must be in multiples of 65"})
    )
    assert "Quantity must be in multiples of 65" in str(send(server.url).failure)


def test_a_success_hands_over_its_body(serve):
    call = send(serve(reply(200, {"status": "success", "orderid": "26112170164581"})).url)
    assert call.failure is None
    assert call.body["orderid"] == "26112170164581"


@pytest.mark.parametrize("status", [429, 500, 200])
def test_an_order_is_sent_once_whatever_happens(serve, status):
    server = serve(reply(status, "?"))
    waits = []
    client(server.url, waits).send("placeorder", {})
    assert len(server.requests) == 1
    assert waits == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_read_is_tried_three_times_two_seconds_apart_and_then_raises(serve, status):
    server = serve(reply(status, {"status": "error", "message": "later"}))
    waits = []
    with pytest.raises(BrokerFailure):
        client(server.url, waits).read("orderbook", {})
    assert len(server.requests) == 3
    assert waits == [2.0, 2.0]


def test_a_read_that_was_refused_in_words_is_not_tried_again(serve):
    server = serve(reply(403, {"status": "error", "message": "Invalid openalgo apikey"}))
    with pytest.raises(NotAuthenticated):
        client(server.url).read("orderbook", {})
    assert len(server.requests) == 1


def test_a_read_that_succeeds_at_the_third_try_succeeds(serve):
    answers = iter([reply(500, ""), reply(502, ""), reply(200, {"status": "success", "data": 7})])
    server = serve(lambda connection: next(answers)(connection))
    assert client(server.url).read("ping", {})["data"] == 7


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_key_stands_in_no_failure_and_in_no_kept_text(serve, method):
    echo = reply(400, {"status": "error", "message": f"bad key {KEY}"})
    server = serve(echo)
    with pytest.raises(BrokerRejected) as raised:
        client(server.url).read("instruments", {"apikey": KEY}, method=method)
    call = send(server.url)
    kept = f"{raised.value!r} {raised.value.__cause__!r} {call}"
    assert KEY not in kept
    assert "f00d…" in kept
    assert raised.value.__context__ is None


def test_the_key_stands_in_no_failure_of_the_connection():
    with pytest.raises(NotSent) as raised:
        client(f"http://127.0.0.1:{free_port()}").read("instruments", {"apikey": KEY}, method="GET")
    assert KEY not in repr(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(("rate", "limit"), [(8, 10), (40, 50)])
def test_no_second_carries_more_calls_than_the_instance_allows(rate, limit):
    now = [0.0]
    taken = []
    pace = Pace(rate, lambda seconds: now.__setitem__(0, now[0] + seconds), lambda: now[0])
    for _ in range(200):
        pace.take()
        taken.append(now[0])
    for start in taken:
        assert sum(start <= at < start + 1 for at in taken) <= limit


def test_a_pace_does_not_hold_up_calls_below_its_rate():
    now, waits = [0.0], []
    pace = Pace(8, waits.append, lambda: now[0])
    for _ in range(50):
        now[0] += 0.125
        pace.take()
    assert waits == []


def test_calls_of_several_threads_at_once_take_one_place_each_in_the_line():
    waits = []
    pace = Pace(8, waits.append, lambda: 0.0)  # a burst of two, then one each eighth of a second
    for _ in range(5):
        pace.take()
    assert waits == [0.125, 0.25, 0.375]


def test_each_thread_reads_on_a_connection_of_its_own():
    client = HttpClient("http://127.0.0.1:1", "k", orders_per_s=1, reads_per_s=1)
    mine = client._session()
    others = []
    thread = threading.Thread(target=lambda: others.append(client._session()))
    thread.start()
    thread.join()
    assert client._session() is mine
    assert others[0] is not mine
    client.close()


def test_orders_go_on_a_connection_of_their_own_each_and_reads_on_a_kept_one():
    peers = {"placeorder": set(), "funds": set()}

    class Keeping(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            peers[self.path.rpartition("/")[2]].add(self.client_address)
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"status":"success"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            """Nothing: the test looks at the connections."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keeping)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = HttpClient(url, "k", orders_per_s=100, reads_per_s=100)
    for _ in range(3):
        assert client.send("placeorder", {}).failure is None
        client.read("funds", {})
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()
    assert len(peers["placeorder"]) == 3
    assert len(peers["funds"]) == 1
