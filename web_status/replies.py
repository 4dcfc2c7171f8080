"""JSON that every reader takes: no NaN, no infinity, no number of another library."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from starlette.responses import JSONResponse


class Reply(JSONResponse):
    """A JSON answer; what is not known is null."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(
            plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        return text.encode()


def plain(value: Any) -> Any:
    """A copy of JSON's own types: Decimals and arrays' scalars as numbers, NaN as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return plain(value.item()) if hasattr(value, "item") else value


def grown(body: Mapping[str, Any], age_s: float) -> dict[str, Any]:
    """A part whose ages count on since it was reported; -1 stays never."""
    return {
        key: older(value, age_s) if key.endswith(("_age_s", "_ago_s")) else value
        for key, value in body.items()
    }


def older(age: Any, by_s: float) -> Any:
    """An age some seconds later; -1 (never) and None stay."""
    is_age = isinstance(age, (int, float)) and age >= 0
    return round(age + by_s, 3) if is_age else age
