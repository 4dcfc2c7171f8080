"""Where feed and execution of a broker are, with which key, and what cannot work together."""

from __future__ import annotations

import dataclasses

import pytest

from domain.brokers import BrokerEndpoint
from domain.errors import ConfigurationFault
from domain.settings import read_settings
from domain.supervision.endpoints import Endpoints, read_endpoints
from domain.supervision.topology import Node, Topology
from domain.supervision.values import rest_of_websocket

SANDBOXES = tuple(
    BrokerEndpoint(
        name,
        f"http://127.0.0.1:{rest}",
        f"ws://127.0.0.1:{socket}",
        True,
        True,
        name,
        sandbox=True,
    )
    for name, rest, socket in (("alpha", 5502, 8867), ("beta", 5501, 8866))
)
REAL = tuple(
    dataclasses.replace(
        row, rest_url=f"http://{row.name}:{port}", websocket_url=f"ws://{row.name}:{port + 1}",
        sandbox=False,
    )
    for row, port in zip(SANDBOXES, (7000, 7100), strict=True)
)  # fmt: skip


def read(
    environment: dict[str, str],
    rows: tuple[BrokerEndpoint, ...] = SANDBOXES,
    sequence: tuple[str, ...] = ("alpha", "beta"),
    variables: dict[str, str] | None = None,
) -> Endpoints:
    topology = Topology(Node("root"), rows, variables or {}, sequence)
    return read_endpoints(topology, read_settings(environment), environment, "alpha")


def places(found: Endpoints, name: str = "alpha") -> tuple[str, str, str]:
    """(REST for orders, WebSocket, REST of the feed)."""
    orders = next(row for row in found.brokers if row.name == name)
    data = next(row for row in found.feeds if row.name == name)
    return orders.rest_url, data.websocket_url, data.rest_url


def test_without_a_word_both_roles_are_the_row() -> None:
    found = read({})
    assert found.brokers == found.feeds == SANDBOXES
    assert (found.keys, found.notes) == ({}, ())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TOMIC_FEED_PRIMARY_WS": "ws://f:8766"}, (5502, "ws://f:8766", "http://f:5001")),
        ({"TOMIC_FEED_PRIMARY_WS": "wss://f/ws"}, (5502, "wss://f/ws", "https://f")),
        (
            {"TOMIC_FEED_PRIMARY_WS": "ws://f:999", "TOMIC_ANALYTICS_REST": "http://f:998/"},
            (5502, "ws://f:999", "http://f:998"),
        ),
        (
            {"TOMIC_FEED_PRIMARY_WS": "ws://f:999", "TOMIC_EXECUTION_REST": "http://x:998"},
            ("http://x:998", "ws://f:999", "http://x:998"),
        ),
        (
            {"TOMIC_FEED_PRIMARY_WS": "ws://x:8765", "TOMIC_EXECUTION_REST": "http://x:998"},
            ("http://x:998", "ws://x:8765", "http://x:998"),
        ),
        ({"TOMIC_EXECUTION_REST": "http://x:998"}, ("http://x:998", 8867, 5502)),
        ({"MULTI_BROKER_ALPHA_WS_URL": "ws://f:8765/"}, (5502, "ws://f:8765", "http://f:5000")),
        ({"FLASK_PORT": "5001"}, (5001, 8766, 5001)),
        ({"WEBSOCKET_URL": "https://w:9000"}, (5000, "wss://w:9000", 5000)),
        ({"WEBSOCKET_HOST": "w", "WEBSOCKET_PORT": "9"}, (5000, "ws://w:9", 5000)),
        ({"HOST_SERVER": "https://h/"}, ("https://h", 8765, "https://h")),
        (
            {"FLASK_PORT": "5001", "TOMIC_EXECUTION_REST": "http://x:998"},
            ("http://x:998", 8766, 5001),
        ),
    ],
)  # fmt: skip
def test_each_role_is_where_the_environment_says(
    environment: dict[str, str], expected: tuple[str | int, ...]
) -> None:
    schemes = ("http", "ws", "http")
    wanted = tuple(
        place if isinstance(place, str) else f"{scheme}://127.0.0.1:{place}"
        for place, scheme in zip(expected, schemes, strict=True)
    )
    assert places(read(environment)) == wanted


def test_a_row_that_names_a_real_server_is_stronger_than_an_instances_own_variables() -> None:
    found = read({"FLASK_PORT": "5001", "HOST_SERVER": "http://h"}, REAL)
    assert places(found) == ("http://alpha:7000", "ws://alpha:7001", "http://alpha:7000")


def test_a_feed_beside_a_real_row_reads_where_the_row_says() -> None:
    found = read({"TOMIC_FEED_PRIMARY_WS": "ws://alpha:999"}, REAL)
    assert places(found) == ("http://alpha:7000", "ws://alpha:999", "http://alpha:7000")
    known = read({"TOMIC_FEED_PRIMARY_WS": "ws://beta:7101"}, REAL)
    assert places(known)[2] == "http://beta:7100"


def test_a_broker_that_takes_no_orders_has_one_place() -> None:
    rows = (SANDBOXES[0], dataclasses.replace(SANDBOXES[1], executes=False))
    words = {"TOMIC_FEED_PRIMARY_WS": "ws://f:8765", "TOMIC_FEED_FALLBACK_WS": "ws://g:8766"}
    assert places(read(words, rows), "beta") == ("http://g:5001", "ws://g:8766", "http://g:5001")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TOMIC_FEED_PRIMARY_WS": "ws://f:999"}, "name it in TOMIC_ANALYTICS_REST"),
        ({"MULTI_BROKER_BETA_WS_URL": "ws://f:999"}, "name it in MULTI_BROKER_BETA_URL"),
        ({"MULTI_BROKER_BETA_WS_URL": "http://f"}, "must be a URL of ws or wss"),
        ({"TOMIC_ANALYTICS_REST": "http://f:5000"}, "set TOMIC_FEED_PRIMARY_WS as well"),
        ({"TOMIC_FEED_FALLBACK_WS": "ws://f:8766"}, "set TOMIC_FEED_PRIMARY_WS as well"),
        (
            {"TOMIC_EXECUTION_REST": "http://x:5000", "TOMIC_MODE": "semi_auto"},
            "TOMIC_MODE=semi_auto: orders would go to http://x:5000 on the made-up prices",
        ),
        ({"FLASK_PORT": "70000"}, "FLASK_PORT='70000': must be a port between 1 and 65535"),
        ({"WEBSOCKET_PORT": "x"}, "WEBSOCKET_PORT='x': must be a port"),
        ({"HOST_SERVER": "somewhere"}, "HOST_SERVER='somewhere': must be a URL beginning"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(
    environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        read(environment)
    assert sentence in str(caught.value)
    assert next(iter(environment)) in str(caught.value) or "TOMIC_MODE" in environment


def test_a_fallback_that_no_broker_stands_for_is_refused() -> None:
    words = {"TOMIC_FEED_PRIMARY_WS": "ws://f:8765", "TOMIC_FEED_FALLBACK_WS": "ws://g:8766"}
    with pytest.raises(ConfigurationFault, match="names no broker for that feed"):
        read(words, sequence=("alpha",))


def test_a_made_up_market_never_stands_in_for_a_real_one() -> None:
    found = read({"TOMIC_FEED_PRIMARY_WS": "ws://f:8765"})
    assert found.feed_sequence == ("alpha",)
    assert [note.split(":")[0] for note in found.notes] == [
        "feed beta stands aside",
        "orders go to http",
    ]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"API_KEY": "s"}, {"alpha": "s", "feed:alpha": "s", "beta": "s", "feed:beta": "s"}),
        (
            {"TOMIC_EXECUTION_API_KEY": "x", "OPENALGO_API_KEY": "s", "API_KEY": "t"},
            {"alpha": "x", "feed:alpha": "x", "beta": "s", "feed:beta": "x"},
        ),
        (
            {"TOMIC_EXECUTION_API_KEY": "x", "TOMIC_FEED_PRIMARY_API_KEY": "p"},
            {"alpha": "x", "feed:alpha": "p", "beta": "p", "feed:beta": "p"},
        ),
        (
            {"TOMIC_FEED_API_KEY": "f", "TOMIC_FEED_FALLBACK_API_KEY": "b", "API_KEY": "s"},
            {"alpha": "s", "feed:alpha": "f", "beta": "b", "feed:beta": "b"},
        ),
        (
            {"MULTI_BROKER_ALPHA_APIKEY": "own", "BETA_SECRET": "named", "API_KEY": "s",
             "TOMIC_FEED_API_KEY": "f", "TOMIC_EXECUTION_API_KEY": "x"},
            {"alpha": "own", "feed:alpha": "own", "beta": "named", "feed:beta": "named"},
        ),
        (
            {"MULTI_BROKER_ALPHA_APIKEY": "own", "TOMIC_EXECUTION_REST": "http://x:5000",
             "TOMIC_EXECUTION_API_KEY": "x", "TOMIC_FEED_API_KEY": "f",
             "TOMIC_FEED_PRIMARY_WS": "ws://f:8766"},
            {"alpha": "x", "feed:alpha": "f", "beta": "f", "feed:beta": "f"},
        ),
    ],
)  # fmt: skip
def test_each_role_has_the_nearest_key(
    environment: dict[str, str], expected: dict[str, str]
) -> None:
    assert read(environment, REAL, variables={"beta": "BETA_SECRET"}).keys == expected


def test_our_own_sandbox_never_gets_a_real_key() -> None:
    assert read({"API_KEY": "k"}).keys == {}
    moved = read({"API_KEY": "k", "TOMIC_FEED_PRIMARY_WS": "ws://f:8765"})
    assert moved.keys == {"feed:alpha": "k"}


def test_the_rest_of_a_websocket_is_its_ports_usual_partner() -> None:
    assert rest_of_websocket("ws://h:8765") == "http://h:5000"
    assert rest_of_websocket("wss://h:8867") == "https://h:5502"
    assert rest_of_websocket("wss://h:443/ws") == "https://h:443"
    assert rest_of_websocket("ws://h:9000") == ""
