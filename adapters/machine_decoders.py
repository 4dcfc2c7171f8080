"""The brokers' decoders by machine code: each takes what its plain sister in `mapping` takes and
gives the same batch to the byte.

Only messages in perfect order are read here; the first oddity hands the whole call to the plain
decoder, which counts and explains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adapters.dhan import mapping as dhan_mapping
from adapters.kite import mapping as kite_mapping
from adapters.machine_code import CODE, ODD, address
from adapters.packets import ABSENT, PACKET_DTYPE, Batch, Tally, stack
from adapters.smartapi import mapping as smartapi_mapping
from adapters.token_table import TokenTable


def kite(
    messages: Sequence[bytes], tokens: TokenTable | None = None, received_ns: int = ABSENT
) -> Batch:
    """As adapters.kite.mapping.decode."""
    if CODE is None:
        return kite_mapping.decode(messages, tokens, received_ns)
    usable = [message for message in messages if len(message) > kite_mapping.HEARTBEAT_BYTES]
    counts = [message[0] << 8 | message[1] for message in usable]
    packets = np.empty(sum(counts), PACKET_DTYPE)
    at = packets.ctypes.data
    for message, count in zip(usable, counts, strict=True):
        if CODE.kite(message, len(message), at, count, received_ns) == ODD:
            return kite_mapping.decode(messages, tokens, received_ns)
        at += count * PACKET_DTYPE.itemsize
    if tokens is not None:
        tokens.name(packets, kite_mapping.SEGMENT_BITS)
    return Tally(kite_mapping.BROKER).batch(packets)


def smartapi(
    messages: Sequence[bytes], tokens: TokenTable | None = None, received_ns: int = ABSENT
) -> Batch:
    """As adapters.smartapi.mapping.decode."""
    packets = _one_each("smartapi", messages, received_ns)
    if packets is None:
        return smartapi_mapping.decode(messages, tokens, received_ns)
    if tokens is not None:
        tokens.name(packets)
    return Tally(smartapi_mapping.BROKER).batch(packets)


def dhan(
    messages: Sequence[bytes],
    tokens: TokenTable | None = None,
    received_ns: int = ABSENT,
    is_shifted: bool = False,
) -> Batch:
    """As adapters.dhan.mapping.decode."""
    packets = _one_each("dhan", messages, received_ns, dhan_mapping.IST_SHIFT_S * is_shifted)
    if packets is None:
        return dhan_mapping.decode(messages, tokens, received_ns, is_shifted)
    if tokens is not None:
        tokens.name(packets)
    return Tally(dhan_mapping.BROKER).batch(packets)


def _one_each(
    broker: str, messages: Sequence[bytes], received_ns: int, *more: int
) -> np.ndarray | None:
    """Packets of messages that hold one each; None when one is not in perfect order."""
    if CODE is None:
        return None
    stacked = stack(messages)
    packets = np.empty(len(messages), PACKET_DTYPE)
    done = getattr(CODE, broker)(
        address(stacked.wire), address(stacked.starts), address(stacked.lengths), address(packets),
        len(messages), received_ns, *more,
    )  # fmt: skip
    return None if done == ODD else packets
