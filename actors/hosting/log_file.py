"""A host's log: one sink made before the fork, which each process points at a file of its own.

A file shared by several processes would lose lines when it is rotated.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Mapping
from typing import Any

from loguru import logger

from actors.hosting.masking import masked

FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <8} {extra[actor]} {message}"
BYTES_MAX = 5_000_000
FILES_KEPT = 3


class LogFile:
    """Where lines go, from `open` on. Loguru calls `write`."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._path = ""
        self._file: logging.Handler | None = None  # most processes never write a line
        self._patched = logger.patch(
            lambda record: record.update(message=masked(record["message"], tuple(secrets.values())))
        )
        logger.add(
            self,
            format=FORMAT,
            level="INFO",
            filter=lambda record: "actor" in record["extra"],
            backtrace=False,
            diagnose=False,  # it would print the values of variables, keys among them
        )

    def open(self, folder: str, name: str) -> Any:
        """This process' logger, bound to its actor."""
        self._path, self._file = f"{folder}/{name}.log", None
        return self._patched.bind(actor=name)

    def write(self, line: str) -> None:
        """One formatted line, its end included."""
        if self._file is None:
            if not self._path:
                return
            self._file = logging.handlers.RotatingFileHandler(
                self._path, maxBytes=BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8"
            )
        self._file.emit(logging.makeLogRecord({"msg": line.rstrip("\n")}))
