"""Single values of topology.yaml: what each may be, in a sentence for who wrote it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

RESTARTS = ("permanent", "transient", "temporary")


_WEBSOCKET_PORTS = {5000: 8765, 5001: 8766, 5002: 8767, 5500: 8865, 5501: 8866, 5502: 8867}
# An instance's two ports go up together (`tomic.md` 2.2).
_REST_PORTS = {8765 + number: 5000 + number for number in range(100)} | {
    socket: rest for rest, socket in _WEBSOCKET_PORTS.items()
}


def derived_websocket_url(rest_url: str, other_port: str = "") -> str:
    """The WebSocket of an OpenAlgo instance from its REST base (`multibroker.md` 2); `other_port`
    is that of a REST port without a usual partner."""
    parts = urlsplit(rest_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    port = _WEBSOCKET_PORTS.get(parts.port or 0, other_port or 8765)
    return f"{scheme}://{parts.hostname}:{port}"


def rest_of_websocket(url: str) -> str:
    """The REST base of an OpenAlgo instance from its WebSocket: the usual partner of its port, or
    the same host behind a web server; empty when the port tells nothing."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "wss" else "http"
    if parts.port in (None, 80, 443):
        return f"{scheme}://{parts.netloc}"
    port = _REST_PORTS.get(parts.port)
    return f"{scheme}://{parts.hostname}:{port}" if port else ""


def value_fault(key: str, value: Any) -> str:
    """The rule a node key's value breaks; empty when it keeps it."""
    if key == "restart":
        return "" if value in RESTARTS else f"must be one of {', '.join(RESTARTS)}"
    if key in ("pause_on_kill", "handles_orders", "requires_sandbox"):
        return "" if isinstance(value, bool) else "must be true or false"
    if key == "backoff_s":
        fits = (
            isinstance(value, list) and len(value) == 2 and all(is_number(part) for part in value)
        )
        return (
            ""
            if fits and 0 <= value[0] <= value[1]
            else "must be [first, max] in seconds, ascending"
        )
    if key in ("max_restarts", "mailbox_max"):
        low = 0 if key == "max_restarts" else 1
        return "" if is_int(value) and value >= low else f"must be a whole number of {low} or more"
    return "" if is_number(value) and value > 0 else "must be a number of seconds above 0"


def is_number(value: Any) -> bool:
    """A number, and not true or false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_int(value: Any) -> bool:
    """A whole number, and not true or false."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """A URL of one of these schemes, with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        return False
