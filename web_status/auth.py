"""Who may call: the API key of this runtime, in the header. Constant-time, never echoed."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from web_status.errors import ApiFault

HEADERS = ("x-api-key", "apikey")


def require_key(request: Request) -> str:
    """The caller's name. Raises ApiFault 401 without the right key."""
    given = next((request.headers[name] for name in HEADERS if name in request.headers), "")
    expected: str = request.app.state.api_key
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise ApiFault(401, "UNAUTHENTICATED", "Authentication required")
    return "api key"
