"""The brokers' own parsers of market data, without their sockets.

`import SmartApi` asks the network for an address and writes a folder, so only the module that
parses is loaded, from its file; no constructor runs, since each opens sockets or logs.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any


def _module(package: str, name: str) -> ModuleType:
    """One module of an installed package, whose `__init__` does not run."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not installed")
    path = Path(next(iter(spec.submodule_search_locations))) / f"{name}.py"
    alone = f"_alone_{package}_{name}"
    own = importlib.util.spec_from_file_location(alone, path)
    if own is None or own.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(own)
    sys.modules[alone] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own.loader.exec_module(module)
    return module


@functools.cache
def kite_ticker() -> Any:
    """A KiteTicker that can parse and do nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kiteconnect import KiteTicker
    return KiteTicker.__new__(KiteTicker)


@functools.cache
def smart_socket() -> Any:
    """A SmartWebSocketV2 that can parse and do nothing else."""
    kind = _module("SmartApi", "smartWebSocketV2").SmartWebSocketV2
    return kind.__new__(kind)


@functools.cache
def dhan_feed() -> Any:
    """A MarketFeed that can parse and do nothing else."""
    kind = _module("dhanhq", "marketfeed").MarketFeed
    return kind.__new__(kind)


@functools.cache
def dhan_depth() -> Any:
    """A FullDepth that can parse and do nothing else."""
    kind = _module("dhanhq", "fulldepth").FullDepth
    return kind.__new__(kind)
