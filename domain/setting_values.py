"""How the text of a setting becomes its value: parsers that raise ValueError with the rule that a
text breaks, so that a start can name key, value and rule.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import time
from decimal import InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from domain.instruments import EXCHANGES, OPTION_KINDS, Kind, parse_symbol

TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off", "")
STRIKES_MAX = 60  # each side of the money
_NSE_INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "INDIAVIX")
_BSE_INDICES = ("SENSEX", "BANKEX", "SENSEX50")

Parser = Callable[[str], Any]


def truth(text: str) -> bool:
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("must be one of 1, true, yes, on, 0, false, no, off")


def number(kind: type, low: float | None, high: float | None, open_low: bool = False) -> Parser:
    def parse(text: str) -> Any:
        try:
            value = kind(text.strip())
        except (ValueError, InvalidOperation):
            raise ValueError(f"must be a number, not {text!r}") from None
        inside = value == value and value not in (float("inf"), float("-inf"))
        if low is not None:
            inside = inside and (value > low if open_low else value >= low)
        if high is not None:
            inside = inside and value <= high
        if not inside:
            raise ValueError(f"must be {_range_text(low, high, open_low)}")
        return value

    return parse


def _range_text(low: float | None, high: float | None, open_low: bool) -> str:
    if high is not None:
        return f"between {low} and {high}"
    return f"greater than {low}" if open_low else f"{low} or more"


def choice(*words: str) -> Parser:
    def parse(text: str) -> str:
        if text.strip() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.strip()

    return parse


def url(*schemes: str) -> Parser:
    def parse(text: str) -> str:
        parts = urlsplit(text.strip())
        if text.strip() and (parts.scheme not in schemes or not parts.hostname):
            raise ValueError(
                f"must be a URL beginning with {' or '.join(s + '://' for s in schemes)}"
            )
        return text.strip().rstrip("/")

    return parse


def clock_time(text: str) -> time | None:
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


def listings(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_listing_name(part) for part in text.split(",") if part.strip())


def steps(text: str) -> tuple[int, ...]:
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError("must be whole numbers separated by commas") from None
    if any(abs(step) > STRIKES_MAX for step in steps):
        raise ValueError(f"must each be between -{STRIKES_MAX} and {STRIKES_MAX}")
    return steps


def strike_offset(text: str) -> str:
    word = text.strip().upper()
    number = word[3:]
    if word == "ATM" or (
        word[:3] in ("ITM", "OTM") and number.isdigit() and 1 <= int(number) <= 50
    ):
        return word
    raise ValueError("must be ATM, ITM1..ITM50 or OTM1..OTM50")
