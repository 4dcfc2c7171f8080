"""Validation: JSON fields into values, with the texts OpenAlgo's clients know (`openalgo.md` 1.1).

A schema is a table of fields; `read` answers the values and the errors, by field. A reader raises
ValueError with its text, or with a table of texts for a list. Numbers may be JSON numbers or
numeric strings; fields that stand in no schema are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

MISSING = "Missing data for required field."
NULL = "Field may not be null."
UNKNOWN = "Unknown field."
TOO_SHORT = "Shorter than minimum length 1."
LARGEST = Decimal(9 * 10**18)  # what a 64-bit column still holds

Errors = dict[Any, Any]
Reader = Callable[[Any], Any]
Checker = Callable[[dict[str, Any]], Errors]


@dataclass(frozen=True, slots=True)
class Field:
    """How one field is read; `default` stands in when it is absent and not required."""

    read: Reader
    required: bool = False
    default: Any = None
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """Fields by name, and checks over all of them that run when every field was good."""

    fields: Mapping[str, Field]
    checks: tuple[Checker, ...] = ()

    def read(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
        """The values, and what is wrong by field (empty when all is well)."""
        values: dict[str, Any] = {}
        errors: Errors = {}
        for name, field in self.fields.items():
            try:
                values[name] = _read_one(field, name, body)
            except ValueError as refused:
                why = refused.args[0]
                errors[name] = why if isinstance(why, dict) else [why]
        errors.update({name: [UNKNOWN] for name in body if name not in self.fields})
        if not errors:
            for check in self.checks:
                errors.update(check(values))
        return values, errors


def _read_one(field: Field, name: str, body: Mapping[str, Any]) -> Any:
    if name not in body:
        if field.required:
            raise ValueError(MISSING)
        return field.default
    if body[name] is None:
        if field.nullable:
            return None
        raise ValueError(NULL)
    return field.read(body[name])


def text(length_min: int = 1, length_max: int = 0, upper: bool = False) -> Reader:
    """A string between two lengths (0 = no maximum), in upper case when wanted."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("Not a valid string.")
        if length_max and not length_min <= len(value) <= length_max:
            raise ValueError(f"Length must be between {length_min} and {length_max}.")
        if len(value) < length_min:
            raise ValueError(TOO_SHORT)
        return value.upper() if upper else value

    return read


def one_of(*choices: str, fold: bool = False) -> Reader:
    """One of these words; with `fold` in any case, answered in upper case."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("Not a valid string.")
        word = value.upper() if fold else value
        if word not in choices:
            raise ValueError(f"Must be one of: {', '.join(choices)}.")
        return word.upper() if word.lower() in ("buy", "sell") else word

    return read


def number(why: str = "", above: Decimal | None = None, least: Decimal | None = None) -> Reader:
    """A finite number as Decimal; `why` is the text when it is not above, or below the least."""

    def read(value: Any) -> Decimal:
        found = _decimal(value, "Not a valid number.")
        if (above is not None and found <= above) or (least is not None and found < least):
            raise ValueError(why)
        return found

    return read


def integer(why: str = "", least: int | None = None) -> Reader:
    """A whole number; `why` is the text when it is below the least."""

    def read(value: Any) -> int:
        found = _decimal(value, "Not a valid integer.")
        if found != found.to_integral_value():
            raise ValueError("Not a valid integer.")
        if least is not None and found < least:
            raise ValueError(why)
        return int(found)

    return read


def within(least: int, most: int, whole: bool = True) -> Reader:
    """A number in a closed range."""
    inner = integer() if whole else number()

    def read(value: Any) -> int | Decimal:
        found: int | Decimal = inner(value)
        if not least <= found <= most:
            raise ValueError(
                f"Must be greater than or equal to {least} and less than or equal to {most}."
            )
        return found

    return read


def boolean(value: Any) -> bool:
    """A JSON boolean, or the words and digits that stand for one."""
    words = {"true": True, "1": True, "yes": True, "on": True}
    words.update({"false": False, "0": False, "no": False, "off": False})
    found = words.get(str(value).lower()) if isinstance(value, bool | int | str) else None
    if found is None:
        raise ValueError("Not a valid boolean.")
    return found


def day(value: Any) -> date:
    """A date as YYYY-MM-DD."""
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("Not a valid date.") from None


def rows(schema: Schema, least: int, most: int, why: str) -> Reader:
    """A list of objects of one schema, each checked; `why` is the text for a wrong count."""

    def read(value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise ValueError("Not a valid list.")
        if not least <= len(value) <= most:
            raise ValueError(why)
        good: list[dict[str, Any]] = []
        errors: Errors = {}
        for place, row in enumerate(value):
            if not isinstance(row, dict):
                errors[place] = {"_schema": ["Invalid input type."]}
                continue
            values, wrong = schema.read(row)
            if wrong:
                errors[place] = wrong
            good.append(values)
        if errors:
            raise ValueError(errors)
        return good

    return read


def _decimal(value: Any, why: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(why)
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(why) from None
    if not found.is_finite() or abs(found) > LARGEST:
        raise ValueError(why)
    return found
