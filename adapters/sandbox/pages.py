"""SessionPages: the few paths outside the API: log in, see the key (`openalgo.md` 9).

The sandbox has one user; who knows the API key may log in with it. The cookie's name carries the
instance, for cookies are per host and not per port (`multibroker.md` 1).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from adapters.sandbox.instance import Answer, Instance, error, found

LOGIN_PAGE = """<!doctype html><title>Sandbox {name}</title>
<h1>Sandbox {name}</h1>
<form method="post" action="/auth/login"><label>API key
<input name="password" type="password" autocomplete="off"></label><button>Log in</button></form>"""
KEY_PAGE = """<!doctype html><title>Sandbox {name}</title>
<h1>Sandbox {name}</h1><p>This instance trades with play money only.</p><pre>{key}</pre>"""


class SessionPages:
    """Cookie sessions of one instance, in memory."""

    def __init__(self, instance: Instance, websocket_url: str) -> None:
        self._instance = instance
        self._websocket_url = websocket_url
        self._cookie = f"session_{instance.name}"
        self._sessions: set[str] = set()

    def answer(self, scope: MutableMapping[str, Any], body: bytes) -> Answer | None:
        """The page, or None when the path is not one of ours."""
        path, method = scope["path"].rstrip("/") or "/", scope["method"]
        if (method, path) == ("POST", "/auth/login"):
            return self._log_in(scope, body)
        if method != "GET":
            return None
        if path in ("/", "/auth/login"):
            return _page(LOGIN_PAGE, self._instance.name, "")
        known = self._has_session(scope)
        if path == "/apikey":
            key = self._instance.reveal_key() if known else ""
            return _page(KEY_PAGE if known else LOGIN_PAGE, self._instance.name, key)
        if path in ("/api/websocket/apikey", "/api/websocket/config") and not known:
            return error("Session not found - please refresh page", 401)
        if path == "/api/websocket/apikey":
            return found(api_key=self._instance.reveal_key())
        if path == "/api/websocket/config":
            url = self._websocket_url
            return found(websocket_url=url, is_secure=False, original_url=url)
        return None

    def _log_in(self, scope: MutableMapping[str, Any], body: bytes) -> Answer:
        if not self._instance.accepts(_password(body)):
            return error("Invalid credentials", 401)
        session = secrets.token_urlsafe(32)
        self._sessions.add(session)
        cookie = f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Strict"
        return Answer({"status": "success"}, headers=((b"set-cookie", cookie.encode()),))

    def _has_session(self, scope: MutableMapping[str, Any]) -> bool:
        headers = dict(scope["headers"])
        try:
            cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        return self._cookie in cookies and cookies[self._cookie].value in self._sessions


def _password(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        found_json = json.loads(text)
    except ValueError:
        return parse_qs(text).get("password", [""])[0]
    return str(found_json.get("password", "")) if isinstance(found_json, dict) else ""


def _page(template: str, name: str, key: str) -> Answer:
    return Answer(template.format(name=name, key=key), media_type="text/html; charset=utf-8")
