"""Account settings: the rules of every account, checked, from values as people write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import time
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.errors import ConfigurationFault

SEGMENTS = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "NCDEX", "MCX")
NEVER = "Never"
RESET_DAYS = (
    NEVER, "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Rules of every account (`openalgo.md` 10, account); leverages are plain factors.

    A segment without a `square_off` of its own has its calendar's. Resting orders are looked at
    every `order_check_interval_s` besides at each tick; gains are told at prices that are taken
    anew every `mtm_update_interval_s`, 0 at each question.
    """

    starting_capital: Decimal = Decimal("10000000.00")
    equity_mis_leverage: Decimal = Decimal(5)
    equity_cnc_leverage: Decimal = Decimal(1)
    futures_leverage: Decimal = Decimal(10)
    option_buy_leverage: Decimal = Decimal(1)
    option_sell_leverage: Decimal = Decimal(1)
    square_off: Mapping[str, time] = field(default_factory=dict)
    order_check_interval_s: int = 5
    mtm_update_interval_s: int = 5
    reset_day: str = NEVER
    reset_time: time = time(0, 0)
    expiry_settlement_timing: str = "expiry_day_close"
    option_expiry_settlement: str = "ltp"


def account_settings(given: Mapping[str, object]) -> AccountSettings:
    """Settings from plain values: numbers or texts, times as "HH:MM"; the others keep defaults.

    Raises ConfigurationFault naming the field and its rule.
    """
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _READERS:
            raise ConfigurationFault(
                f"account setting {name!r} is not known; there is {', '.join(_READERS)}"
            )
        try:
            read[name] = _READERS[name](value)
        except ValueError as fault:
            raise ConfigurationFault(f"account setting {name}={value!r} {fault}") from None
    return AccountSettings(**read)


def account_from(pairs: Iterable[str]) -> AccountSettings:
    """Settings from `FIELD=VALUE` texts; a segment's square-off is `square_off.NFO=15:00`.

    Raises ConfigurationFault as account_settings does.
    """
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationFault(f"an account setting is FIELD=VALUE, not {pair!r}")
        field_name, _, segment = name.partition(".")
        if segment:
            given.setdefault(field_name, {})[segment] = value
        else:
            given[name] = value
    return account_settings(given)


def _amount(value: Any) -> Decimal:
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0:
        raise ValueError("must be a number above 0")
    return number


def _interval(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"must be whole seconds from {low} to {high}")
        return int(text)

    return read


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def _moment(value: Any) -> time:
    try:
        moment = time.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError('must be a time of day in quotes, as "15:15"') from None
    if moment.tzinfo is not None:
        raise ValueError("must be wall time in India, without a zone")
    return moment


def _square_off(value: Any) -> dict[str, time]:
    if not isinstance(value, Mapping) or not set(value) <= set(SEGMENTS):
        raise ValueError(f"must give a time to some of {', '.join(SEGMENTS)}")
    return {segment: _moment(moment) for segment, moment in value.items()}


_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys((row.name for row in fields(AccountSettings)), _amount),
    "square_off": _square_off,
    "order_check_interval_s": _interval(1, 30),
    "mtm_update_interval_s": _interval(0, 60),
    "reset_day": _one_of(*RESET_DAYS),
    "reset_time": _moment,
    "expiry_settlement_timing": _one_of("expiry_day_close", "next_day"),
    "option_expiry_settlement": _one_of("ltp", "zero"),
}
