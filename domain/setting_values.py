"""What the text of a setting must be, in words, and how it becomes its value."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from decimal import InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from domain.instruments import EXCHANGES, OPTION_KINDS, Kind, parse_symbol

TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off", "")
STRIKES_MAX = 60  # each side of the money
SECRET_BYTES = 32
_NSE_INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "INDIAVIX")
_BSE_INDICES = ("SENSEX", "BANKEX", "SENSEX50")


@dataclass(frozen=True, slots=True)
class Rule:
    """`words` complete "must be ..."; `read` gives the value, or raises ValueError with the
    sentence of what is wrong."""

    words: str
    read: Callable[[str], Any]


def number(kind: type, low: float | None, high: float | None, open_low: bool = False) -> Rule:
    """A finite number of that kind, from `low` (not itself when `open_low`) to `high`."""
    words = f"between {low} and {high}" if high is not None else f"{low} or more"
    if high is None and open_low:
        words = f"greater than {low}"

    def read(text: str) -> Any:
        try:
            value = kind(text.strip())
        except (ValueError, InvalidOperation):
            raise ValueError(f"must be a number, {words}, not {text!r}") from None
        inside = value == value and value not in (float("inf"), float("-inf"))
        if low is not None:
            inside = inside and (value > low if open_low else value >= low)
        if high is not None:
            inside = inside and value <= high
        if not inside:
            raise ValueError(f"must be {words}")
        return value

    return Rule(words, read)


def choice(*allowed: str) -> Rule:
    """One of some words."""
    words = f"one of {', '.join(allowed)}"

    def read(text: str) -> str:
        if text.strip() not in allowed:
            raise ValueError(f"must be {words}")
        return text.strip()

    return Rule(words, read)


def url(*schemes: str) -> Rule:
    """A URL of one of these schemes, without a slash at its end; empty is allowed."""
    words = f"a URL beginning with {' or '.join(scheme + '://' for scheme in schemes)}"

    def read(text: str) -> str:
        parts = urlsplit(text.strip())
        if text.strip() and (parts.scheme not in schemes or not parts.hostname):
            raise ValueError(f"must be {words}")
        return text.strip().rstrip("/")

    return Rule(words, read)


def pattern(words: str, expression: str) -> Rule:
    """A text that matches a regular expression as a whole."""

    def read(text: str) -> str:
        if not re.fullmatch(expression, text.strip()):
            raise ValueError(f"must be {words}")
        return text.strip()

    return Rule(words, read)


def optional(rule: Rule) -> Rule:
    """The rule, or empty."""
    return Rule(
        f"empty, or {rule.words}", lambda text: rule.read(text) if text.strip() else text.strip()
    )


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(f"must be {truth.words}")


def _port(text: str) -> int:
    if not (text.strip().isdecimal() and 1 <= int(text) <= 65535):
        raise ValueError(f"must be {port.words}")
    return int(text)


def _clock_time(text: str) -> time | None:
    if not text.strip():
        return None
    try:
        hours, minutes = text.strip().split(":")
        return time(int(hours), int(minutes))
    except ValueError:
        raise ValueError("must be HH:MM") from None


def infer_exchange(symbol: str) -> str:
    """The exchange of a bare symbol (`tomic.md` 11.1)."""
    if symbol in _NSE_INDICES:
        return "NSE_INDEX"
    if symbol in _BSE_INDICES:
        return "BSE_INDEX"
    parsed = parse_symbol(symbol)
    if parsed and parsed.kind in (*OPTION_KINDS, Kind.FUTURE):
        return "BFO" if parsed.name in _BSE_INDICES else "NFO"
    return "NSE"


def parse_listing_name(text: str) -> tuple[str, str]:
    """(exchange, symbol) from `EXCH:SYM`, `SYM:EXCH`, `SYM.EXCH` or `SYM`; ValueError when
    empty.
    """
    cleaned = text.strip().upper()
    for separator in (":", "."):
        if separator in cleaned:
            first, second = cleaned.split(separator, 1)
            if first in EXCHANGES:
                return first, second
            if second in EXCHANGES:
                return second, first
            raise ValueError(f"{text!r} names no known exchange")
    if not cleaned:
        raise ValueError("names no symbol")
    return infer_exchange(cleaned), cleaned


def _listings(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_listing_name(part) for part in text.split(",") if part.strip())


def _steps(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError("must be whole numbers separated by commas") from None
    if any(abs(step) > STRIKES_MAX for step in found):
        raise ValueError(f"must each be between -{STRIKES_MAX} and {STRIKES_MAX}")
    return found


def _strike_offset(text: str) -> str:
    word = text.strip().upper()
    distance = word[3:]
    if word == "ATM" or (
        word[:3] in ("ITM", "OTM") and distance.isdigit() and 1 <= int(distance) <= 50
    ):
        return word
    raise ValueError(f"must be {strike_offset.words}")


def _secret_bytes(text: str) -> str:
    try:
        found = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        found = b""
    if len(found) != SECRET_BYTES:
        raise ValueError(f"must be {secret_bytes.words}")
    return text.strip()


any_text = Rule("any text", str.strip)
truth = Rule("one of 1, true, yes, on, 0, false, no, off", _truth)
positive = number(float, 0, None, open_low=True)
not_negative = number(float, 0, None)
port = Rule("a port between 1 and 65535", _port)
clock_time = Rule("HH:MM", _clock_time)
listing = Rule("EXCHANGE:SYMBOL", parse_listing_name)
listings = Rule("EXCHANGE:SYMBOL, ...", _listings)
steps = Rule(f"whole numbers from -{STRIKES_MAX} to {STRIKES_MAX}, with commas", _steps)
strike_offset = Rule("ATM, ITM1..ITM50 or OTM1..OTM50", _strike_offset)
secret_bytes = Rule(f"{SECRET_BYTES} bytes in base 64", _secret_bytes)
