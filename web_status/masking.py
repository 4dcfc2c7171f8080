"""Secrets never reach a page: values under their names are shown as two letters, stars, two
letters.
"""

from __future__ import annotations

from typing import Any

SECRET_NAMES = frozenset(
    {"api_key", "execution_api_key", "apikey", "authorization", "broker_order_id"}
)


def masked(value: Any) -> Any:
    """A copy with every secret masked, at any depth (`tomic.md` 1.6)."""
    if isinstance(value, dict):
        return {
            key: _mask(item) if _is_secret(key) else masked(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def _is_secret(name: Any) -> bool:
    return isinstance(name, str) and name.lower() in SECRET_NAMES


def _mask(value: Any) -> Any:
    if isinstance(value, str) and len(value) > 4:
        return f"{value[:2]}***{value[-2:]}"
    return value
