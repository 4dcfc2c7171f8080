"""The server's own loop: it sleeps until it is told to end, and then ends at once."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time

import uvicorn
from starlette.responses import PlainTextResponse

from launch.build import free_port
from web_status.app import RestingServer

HOST, ENDS_WITHIN_S = "127.0.0.1", 30.0


def served(port: int) -> tuple[RestingServer, threading.Thread]:
    server = RestingServer(
        uvicorn.Config(PlainTextResponse("here"), host=HOST, port=port, log_config=None)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    return server, thread


def answer(port: int) -> bytes:
    for _ in range(200):
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read()
        except ConnectionRefusedError:
            time.sleep(0.05)  # it is not up yet
        finally:
            connection.close()
    raise AssertionError("the server never answered")


def test_a_server_that_is_told_to_end_wakes_and_ends() -> None:
    port = free_port()
    server, thread = served(port)
    assert answer(port) == b"here"
    assert thread.is_alive()
    server.end()
    thread.join(ENDS_WITHIN_S)
    assert not thread.is_alive()


def test_a_server_that_was_told_to_end_before_it_was_up_does_not_stay() -> None:
    server = RestingServer(
        uvicorn.Config(PlainTextResponse("here"), host=HOST, port=free_port(), log_config=None)
    )
    server.end()
    asyncio.run(asyncio.wait_for(server.serve(), ENDS_WITHIN_S))
    assert server.should_exit
