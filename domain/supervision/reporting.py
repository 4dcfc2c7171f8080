"""Whether a report says anything that the one before did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AGES = ("_age_s", "_ago_s")  # whoever shows these counts them on; -1 is never
ROUNDED_TO_S = 0.5


def says_nothing_new(body: Mapping[str, Any], before: Mapping[str, Any], later_s: float) -> bool:
    """True when a report differs from the one `later_s` seconds before by nothing but that time."""
    return body.keys() == before.keys() and all(
        value == before[key] or (key.endswith(AGES) and _went_on(value, before[key], later_s))
        for key, value in body.items()
    )


def _went_on(age_s: Any, before_s: Any, later_s: float) -> bool:
    ages = (age_s, before_s)
    if not all(isinstance(age, (int, float)) and age >= 0 for age in ages):
        return False
    return bool(abs(age_s - before_s - later_s) <= ROUNDED_TO_S)
