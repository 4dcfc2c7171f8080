"""Message <-> bytes: msgpack of [tag, version, fields]; nested nouns follow their type hints.

Refuses an unknown tag or a newer version by ValueError: mail of another release is never guessed
at.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import msgpack

from messages.base import Message

_AS_THEY_ARE = frozenset((type(None), bool, int, float, str, bytes))


def encode(message: Message) -> bytes:
    """Bytes of one message."""
    parts = [type(message).__name__, message.VERSION, message]
    packed: bytes = msgpack.packb(parts, default=_opened)
    return packed


def decode(data: bytes) -> Message:
    """The message in `data`; ValueError when it is none of ours."""
    tag, version, fields = msgpack.unpackb(data, strict_map_key=False)
    kind: Any = Message.TABLE.get(tag)
    if kind is None or version > kind.VERSION:
        raise ValueError(f"message {tag!r} version {version} is not known here")
    message: Message = _reader(kind)(fields)
    return message


def to_plain(value: Any) -> Any:
    """Any noun or message as JSON-ready values (Decimal as text, dates as ISO, enums as their
    value).
    """
    return _plain(value)


def from_plain(kind: type, value: Any) -> Any:
    """The noun of class `kind` from what `to_plain` gave."""
    return _reader(kind)(value)


def _opened(value: Any) -> Any:
    """What msgpack does not know, in terms of what it knows or asks for again: it walks lists and
    tables of numbers itself, a hundred times as fast."""
    if dataclasses.is_dataclass(value):
        kind: Any = type(value)
        return {name: getattr(value, name) for name in _field_names(kind)}
    return _plain(value)


def _plain(value: Any) -> Any:
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        kind: Any = type(value)
        return {name: _plain(getattr(value, name)) for name in _field_names(kind)}
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} does not travel in a message")


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = _reader(next(arg for arg in arguments if arg is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            item = _reader(arguments[0])
            return tuple if item is _same else lambda value: tuple(item(part) for part in value)
        items = [_reader(arg) for arg in arguments]
        return lambda value: tuple(read(part) for read, part in zip(items, value, strict=True))
    if origin is dict:
        key, item = _reader(arguments[0]), _reader(arguments[1])
        if key is _same and item is _same:
            return _same
        return lambda value: {key(k): item(v) for k, v in value.items()}
    if kind is Decimal:
        return Decimal
    if kind is date:
        return date.fromisoformat
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _same


def _same(value: Any) -> Any:
    return value


def _dataclass_reader(kind: Any) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}
    return lambda value: kind(**{name: readers[name](item) for name, item in value.items()})
