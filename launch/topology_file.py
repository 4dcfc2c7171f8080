"""topology.yaml as values that know their lines, and what an actor's class says of its settings."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from actors.actor import Actor
from domain.supervision.topology import Fault, Mapped, Topology, TopologyFaults, read_topology

FILE_BYTES_MAX = 1_000_000


class _Loader(yaml.SafeLoader):
    """Safe YAML whose mappings remember lines and repeated keys."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    made = Mapped()
    yield made
    made.line = node.start_mark.line + 1
    made.key_lines, made.repeated = {}, []
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            key = str(key)
        line = key_node.start_mark.line + 1
        if key in made.key_lines:
            made.repeated.append((key, line))
        made.key_lines[key] = line
        made[key] = loader.construct_object(value_node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_topology(path: Path, overrides: Mapping[str, str]) -> Topology:
    """The checked topology of a file. Raises TopologyFaults, also for a file that is missing, too
    large, not text or not YAML."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise TopologyFaults([Fault(0, f"{path} is larger than {FILE_BYTES_MAX} bytes")])
        text = path.read_text(encoding="utf-8")
    except OSError as failure:
        raise TopologyFaults([Fault(0, f"{path} cannot be read: {failure.strerror}")]) from None
    except UnicodeDecodeError:
        raise TopologyFaults([Fault(0, f"{path} is not UTF-8 text")]) from None
    try:
        parsed = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.MarkedYAMLError as failure:
        line = failure.problem_mark.line + 1 if failure.problem_mark else 0
        recursive = "recursive" in (failure.problem or "")
        text = "a node contains itself" if recursive else f"not YAML: {failure.problem}"
        raise TopologyFaults([Fault(line or _mark_line(failure), text)]) from None
    except yaml.YAMLError as failure:
        raise TopologyFaults([Fault(0, f"not YAML: {failure}")]) from None
    return read_topology(parsed, check_actor, overrides)


def _mark_line(failure: yaml.MarkedYAMLError) -> int:
    return failure.context_mark.line + 1 if failure.context_mark else 0


def load_actor(path: str) -> type[Actor]:
    """The actor class of a dotted path; ValueError with a sentence when there is none."""
    module_name, _, class_name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as failure:
        raise ValueError(f"actor {path!r} cannot be loaded: {failure}") from None
    if not isinstance(found, type) or not issubclass(found, Actor):
        raise ValueError(f"actor {path!r} is not an Actor class")
    return found


def check_actor(path: str, settings: Mapping[str, Any]) -> list[str]:
    """Sentences for what is wrong with an actor's path or its settings; empty when all is well."""
    try:
        schema = load_actor(path).SETTINGS
    except ValueError as fault:
        return [str(fault)]
    hints = typing.get_type_hints(schema)
    known = {field.name: field for field in dataclasses.fields(schema)}
    takes = f"{path.rpartition('.')[2]} takes {', '.join(sorted(known)) or 'none'}"
    faults = [f"unknown setting {key!r}; {takes}" for key in settings if key not in known]
    for name, field in known.items():
        if name not in settings:
            if (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            ):
                faults.append(f"setting {name!r} is missing")
        elif not _fits(settings[name], hints[name]):
            faults.append(f"setting {name}={settings[name]!r} must be {_type_text(hints[name])}")
    if not faults:
        try:
            make_settings(schema, settings)
        except (ValueError, TypeError) as fault:
            faults.append(str(fault))
    return faults


def make_settings(schema: type, settings: Mapping[str, Any]) -> Any:
    """The settings object of an actor from plain YAML values (lists become tuples where it says
    so).
    """
    hints = typing.get_type_hints(schema)
    return schema(**{name: _convert(value, hints[name]) for name, value in settings.items()})


def _convert(value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_convert(item, typing.get_args(hint)[0]) for item in value)
    if hint is float and isinstance(value, int):
        return float(value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return isinstance(value, Mapping) and all(
            _fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in value.items()
        )
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _type_text(hint: Any) -> str:
    words = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    return words.get(hint, str(hint).replace("typing.", ""))
