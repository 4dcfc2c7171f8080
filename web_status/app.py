"""The web server: a FastAPI app on uvicorn in a thread of the status board's process. Loopback
only.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import fastapi_swagger
import uvicorn
from fastapi import Depends, FastAPI, Security
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from persistence.database import open_engine
from persistence.journal import JournalStore
from persistence.market import MarketStore
from persistence.metrics import MetricStore
from persistence.positions import PositionStore
from persistence.views import CommandViews, FactViews
from web_status import errors
from web_status.api import control, dead_letters, outcomes, quality, records, status, trace
from web_status.auth import KEY_HEADER, require_key, require_reader
from web_status.gateway import Gateway
from web_status.shapes import Fault

HOST = "127.0.0.1"
STOP_WITHIN_S = 2.0
DOCS, OPENAPI = "/docs", "/openapi.json"
DOCS_ASSETS = Path(fastapi_swagger.__file__).parent / "resources"
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'"
)
FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"model": Fault, "description": "Bad input; `details` names the fields"},
    401: {"model": Fault, "description": "No key, or a wrong one"},
    404: {"model": Fault, "description": "Unknown"},
    409: {"model": Fault, "description": "Wrong state"},
    "4XX": {"model": Fault, "description": "Any other refusal"},
    503: {"model": Fault, "description": "Nobody answered, or nothing is known yet"},
}
TAGS = [
    {"name": "status", "description": "Cached parts of every actor: answered within a second"},
    {"name": "signals", "description": "What the agents see, and why nothing happened"},
    {"name": "records", "description": "What is on disk"},
    {"name": "traces", "description": "The way of one signal or order"},
    {"name": "control", "description": "Commands of people"},
    {"name": "dead letters", "description": "Commands that gave up"},
    {"name": "outcomes", "description": "Orders of which nobody knows whether they arrived"},
]
DOCS_POLICY = POLICY + " 'unsafe-inline'"


def make_app(gateway: Gateway, runtime: Any) -> FastAPI:
    """The app with all routes; `runtime` is actors.runtime.Runtime."""
    app = FastAPI(
        title="TOMIC", version="0.1.0", openapi_url=None, docs_url=None, redoc_url=None,
        openapi_tags=TAGS,
    )  # fmt: skip
    app.state.gateway = gateway
    app.state.runtime = runtime
    app.state.api_key = runtime.keys["http"]
    main = open_engine(runtime.database_url)
    app.state.commands = CommandViews(main)
    app.state.positions = PositionStore(main)
    journal = open_engine(runtime.journal_url)
    app.state.journal = JournalStore(journal)
    app.state.metrics = MetricStore(journal)
    app.state.facts = FactViews(journal)
    app.state.positions_asked_ns = 0  # monotonic; 0 is never
    app.state.market = MarketStore(open_engine(runtime.market_url))
    app.state.structures = {}  # strategy id -> (tag, lots): read once, they never change
    errors.install(app)
    app.add_middleware(Guarded)
    locked = [Security(KEY_HEADER), Depends(require_key)]
    # A path is looked for in this order: signals first. `/signals/quality` is no correlation id, so
    # it comes before traces.
    for module in (control, status, quality, records, trace, dead_letters, outcomes):
        app.include_router(module.router, prefix="/tomic", dependencies=locked, responses=FAULTS)
    _document(app)
    return app


def _document(app: FastAPI) -> None:
    """The description of the interface and its page, for who has the key."""
    readers = [Depends(require_reader)]
    app.mount("/docs-assets", StaticFiles(directory=DOCS_ASSETS), name="docs-assets")

    @app.get("/", include_in_schema=False)
    def front() -> RedirectResponse:
        return RedirectResponse(DOCS)

    @app.get(OPENAPI, include_in_schema=False, dependencies=readers)
    def description() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get(DOCS, include_in_schema=False, dependencies=readers)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=OPENAPI,
            title="TOMIC: HTTP interface",
            swagger_js_url="/docs-assets/swagger-ui-bundle.js",
            swagger_css_url="/docs-assets/swagger-ui.css",
            swagger_favicon_url="/docs-assets/favicon-32x32.png",
        )


class Guarded:
    """Gives every answer of `app` the headers that bind a browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI 3)."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _guard(MutableHeaders(scope=message), scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, guarded)


def _guard(headers: MutableHeaders, path: str, status: int) -> None:
    headers["Content-Security-Policy"] = DOCS_POLICY if path == DOCS else POLICY
    if status == HTTPStatus.UNAUTHORIZED and path in (DOCS, OPENAPI):
        headers["WWW-Authenticate"] = 'Basic realm="TOMIC: the API key as the password"'
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Cache-Control"] = "no-store"


class RestingServer(uvicorn.Server):
    """Sleeps until somebody asks: the library's own loop wakes ten times a second to look whether
    it shall end, which is a tenth of what the idle tree takes.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends = asyncio.Event()

    async def main_loop(self) -> None:
        """Until `end`."""
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        if not self.should_exit:
            await self._ends.wait()

    def end(self) -> None:
        """From any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._ends.set)


class WebServer:
    """Runs the app in a thread until `stop`."""

    def __init__(self, gateway: Gateway, runtime: Any) -> None:
        # With the protocol named, asyncio sends small answers at once (it sets TCP_NODELAY).
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # A killed predecessor's connections linger; without this every restart fails.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, runtime.settings.http_port))
        config = uvicorn.Config(
            make_app(gateway, runtime), log_config=None, access_log=False, timeout_keep_alive=30,
            date_header=False,
        )  # fmt: skip
        self._server = RestingServer(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Ends within two seconds."""
        self._server.end()
        self._thread.join(STOP_WITHIN_S)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))
