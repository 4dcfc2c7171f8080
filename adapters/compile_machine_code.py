"""Compiles machine_code.c, where it was changed: `python -m adapters.compile_machine_code` (cc).

What the two languages must agree on goes from here as words of the command line, and a fingerprint
of source and words into the library: a test sees when one of them moved and the library did not.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from adapters.dhan.mapping import IST_SHIFT_S, SHIFT_WITHIN_S
from adapters.frame_reader import MESSAGE_BYTES_MAX
from adapters.machine_code import LIBRARY
from adapters.openalgo.frames import EARLIEST_NS, FUTURE_MAX_NS, PRICE_MAX
from adapters.packets import WORDS, word_of
from adapters.price_table import LISTINGS_MAX, READS_MAX
from adapters.smartapi.mapping import TOKEN_DIGITS_MAX
from adapters.token_table import PAGE_BITS, SEGMENTS_MAX

SOURCE = Path(__file__).with_name("machine_code.c")
FIELDS = {
    "RECEIVED": "received_ns", "LAST_TRADE": "last_trade_ns", "EXCHANGE": "exchange_ns",
    "LIMITS": "upper_circuit", "RAW": "last_trade_raw",
} | {
    name.upper(): name
    for name in (
        "divisor", "token", "last_price", "last_qty", "avg_price", "volume", "buy_qty", "sell_qty",
        "open", "high", "low", "close", "oi", "oi_high", "oi_low", "prev_oi", "bids", "asks",
        "sequence",
    )
}  # fmt: skip
FLAGS = ("-O3", "-std=c11", "-fwrapv", "-Wall", "-Werror", "-fPIC", "-shared", "-nostdlib", "-s",
         "-fno-stack-protector", "-fno-asynchronous-unwind-tables")  # fmt: skip


def words() -> list[str]:
    """What C must know of our layouts and limits."""
    numbers = {name: word_of(field) for name, field in FIELDS.items()} | {
        "WORDS": WORDS, "SEGMENTS_MAX": SEGMENTS_MAX, "PAGE_BITS": PAGE_BITS,
        "TOKEN_DIGITS_MAX": TOKEN_DIGITS_MAX, "EARLIEST_NS": f"{EARLIEST_NS}ll",
        "FUTURE_MAX_NS": f"{FUTURE_MAX_NS}ll", "PRICE_MAX": float(PRICE_MAX),
        "IST_SHIFT_S": IST_SHIFT_S, "SHIFT_WITHIN_S": SHIFT_WITHIN_S,
        "MESSAGE_BYTES_MAX": MESSAGE_BYTES_MAX,
        "LISTINGS_MAX": LISTINGS_MAX, "READS_MAX": READS_MAX,
    }  # fmt: skip
    return [f"-D{name}={number}" for name, number in numbers.items()]


def fingerprint() -> str:
    """Of all that the library is made from."""
    told = SOURCE.read_text(encoding="utf-8") + " ".join((*words(), *FLAGS))
    return hashlib.sha256(told.encode()).hexdigest()


def compile_to(path: Path) -> None:
    """Raises CalledProcessError where the compiler finds a fault."""
    stamp = f'-DSOURCE="{fingerprint()}"'
    command = ["cc", *FLAGS, *words(), stamp, "-o", str(path), str(SOURCE)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    compile_to(LIBRARY)
    sys.stdout.write(f"{LIBRARY.name}: {LIBRARY.stat().st_size} bytes\n")
