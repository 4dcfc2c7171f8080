"""Who may call: the API key of this runtime, in the header. Constant-time, never echoed."""

from __future__ import annotations

import base64
import hmac

from fastapi.security import APIKeyHeader
from starlette.requests import Request

from web_status.errors import ApiFault

HEADERS = ("x-api-key", "apikey")
KEY_HEADER = APIKeyHeader(  # for the description of the interface; `require_key` compares
    name="X-API-KEY", auto_error=False, description="The key of this installation, from its .env"
)


async def require_key(request: Request) -> str:
    """The caller's name. Raises ApiFault 401 without the right key.

    Waits for nothing: a plain function would be given to another thread.
    """
    given = next((request.headers[name] for name in HEADERS if name in request.headers), "")
    return _compare(request, given)


async def require_reader(request: Request) -> str:
    """As `require_key`; a browser may also send the key as the password it asked its user for. For
    pages that change nothing: a browser sends that password along with every request.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return await require_key(request)
    try:
        words = base64.b64decode(given, validate=True).decode()
    except ValueError:
        words = ""
    return _compare(request, words.partition(":")[2])


def _compare(request: Request, given: str) -> str:
    expected: str = request.app.state.api_key
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise ApiFault(401, "UNAUTHENTICATED", "Authentication required")
    return "api key"
