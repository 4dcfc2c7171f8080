"""The server's own loop: it sleeps until it is told to end, and then ends at once."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading

import uvicorn
from starlette.responses import PlainTextResponse

from web_status.app import RestingServer

ENDS_WITHIN_S = 30.0


def resting_server() -> RestingServer:
    return RestingServer(uvicorn.Config(PlainTextResponse("here"), log_config=None))


def test_a_server_that_is_told_to_end_wakes_and_ends() -> None:
    server = resting_server()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
        )
        thread.start()
        # Who connects before the loop turns waits for it.
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=ENDS_WITHIN_S)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"here"
        connection.close()
        assert thread.is_alive()
        server.end()
        thread.join(ENDS_WITHIN_S)
    assert not thread.is_alive()


def test_a_server_that_was_told_to_end_before_it_was_up_does_not_stay() -> None:
    server = resting_server()
    server.end()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(asyncio.wait_for(server.serve(sockets=[listener]), ENDS_WITHIN_S))
    assert server.should_exit
