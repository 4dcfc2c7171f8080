"""Masking: no key in a log, whatever wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAMED = re.compile(
    r"(?i)((?:api_?key|token|secret|password|authorization)[\"']?\s*[:=]\s*[\"']?)([^\s\"',&}]+)"
)
SECRET_LENGTH_MIN = 6  # shorter values would blank out words


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, and without values that stand behind a telling name."""
    for secret in secrets:
        if len(secret) >= SECRET_LENGTH_MIN:
            text = text.replace(secret, "***")
    return _NAMED.sub(r"\1***", text)
