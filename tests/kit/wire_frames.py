"""Random packets of the brokers' feeds, written with struct from the brokers' own layouts.

Every packet differs from every other in every field; the numbers are such as a market shows.
"""

from __future__ import annotations

import random
import struct

KITE_LENGTHS = (8, 28, 32, 44, 184)
KITE_SEGMENTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12)
SMARTAPI_TYPES = (1, 2, 3, 4, 5, 7, 13)
DHAN_SEGMENTS = (0, 1, 2, 3, 4, 5, 7, 8)
FIRST_TRADE_S, LAST_TRADE_S = 1_700_000_000, 1_800_000_000


def kite_message(packets: list[bytes]) -> bytes:
    """A whole message of these packets."""
    body = b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)
    return struct.pack(">H", len(packets)) + body


def kite_packet(rng: random.Random, length: int) -> bytes:
    """A packet of 8, 28, 32, 44 or 184 bytes."""
    segments = (9,) if length in (28, 32) else KITE_SEGMENTS
    token = rng.randrange(1, 2_000_000) << 8 | rng.choice(segments)
    words = [token, *(rng.randrange(1, 2**31) for _ in range(length // 4 - 1))]
    for at in {32: (7,), 184: (11, 15)}.get(length, ()):
        words[at] = rng.choice((0, rng.randrange(FIRST_TRADE_S, LAST_TRADE_S)))
    packet = bytearray(struct.pack(f">{len(words)}I", *words))
    for at in range(64, length, 12):  # orders, and padding that holds anything
        struct.pack_into(">HH", packet, at + 8, rng.randrange(65_536), rng.randrange(65_536))
    return bytes(packet)


def smartapi_packet(rng: random.Random, mode: int, shuffled: bool = False) -> bytes:
    """A packet of mode 1 to 4; `shuffled` mixes bids and offers of the best five."""
    kind = 1 if mode == 4 else rng.choice(SMARTAPI_TYPES)
    token = str(rng.choice((rng.randrange(1, 10), rng.randrange(10**5), 99_926_000)) or 1)
    noise = rng.randbytes(24 - len(token)) if rng.random() < 0.5 else bytes(24 - len(token))
    head = struct.pack("<BB", mode, kind) + token.encode() + b"\0" + noise
    head += struct.pack("<qq", rng.randrange(2**60), rng.randrange(1, LAST_TRADE_S * 1000))
    if mode == 4:
        return head + b"".join(
            struct.pack("<iih", rng.randrange(2**31), rng.randrange(2**31), rng.randrange(2**15))
            for _ in range(40)
        )
    head += struct.pack("<q", rng.randrange(-(2**40), 2**40))
    if mode == 1:
        return head
    head += struct.pack("<qqq", *(rng.randrange(2**50) for _ in range(3)))
    head += struct.pack("<dd", *(float(rng.randrange(2**50)) for _ in range(2)))
    head += struct.pack("<qqqq", *(rng.randrange(2**50) for _ in range(4)))
    if mode == 2:
        return head
    head += struct.pack(
        "<qqq", rng.randrange(LAST_TRADE_S), rng.randrange(2**50), rng.randrange(99)
    )
    flags = [1] * 5 + [0] * 5
    if shuffled:
        rng.shuffle(flags)
    for flag in flags:
        numbers = rng.randrange(2**50), rng.randrange(2**50), rng.randrange(65_536)
        head += struct.pack("<HqqH", flag, *numbers)
    return head + struct.pack("<qqqq", *(rng.randrange(2**50) for _ in range(4)))


def dhan_price(rng: random.Random) -> float:
    """A price of two decimals below 131,072, where a float32 still holds every paisa."""
    return rng.randrange(5, 13_107_200) / 100


def dhan_packet(rng: random.Random, code: int) -> bytes:
    """A packet of code 2 to 8, or 50."""
    layouts = {2: "fI", 3: "f", 4: "fHIfIIIffff", 5: "I", 6: "fI", 7: "", 50: "h"}
    layout = layouts.get(code, "fHIfIIIIIIffff")
    body = b""
    for letter in layout:
        value = {
            "f": dhan_price,
            "H": lambda rng: rng.randrange(65_536),
            "h": lambda rng: rng.randrange(800, 815),
            "I": lambda rng: rng.randrange(1, 2**31),
        }[letter](rng)
        body += struct.pack(f"<{letter}", value)
    if code in (3, 8):
        for _ in range(5):
            body += struct.pack("<II", rng.randrange(2**32), rng.randrange(2**32))
            body += struct.pack("<HH", rng.randrange(65_536), rng.randrange(65_536))
            body += struct.pack("<ff", dhan_price(rng), dhan_price(rng))
    segment, token = rng.choice(DHAN_SEGMENTS), rng.randrange(1, 2_000_000)
    return struct.pack("<BHBI", code, 8 + len(body), segment, token) + body


def dhan_side(rng: random.Random, code: int, levels: int, count: int) -> bytes:
    """One side of a deep book: 41 bids or 51 asks; `count` is the last word of the header."""
    body = b"".join(
        struct.pack("<dII", dhan_price(rng), rng.randrange(2**32), rng.randrange(2**32))
        for _ in range(levels)
    )
    head = struct.pack(
        "<hBBiI", 12 + len(body), code, rng.choice((1, 2)), rng.randrange(10**6), count
    )
    return head + body


def clean_messages(broker: str, rng: random.Random) -> list[bytes]:
    """As a shard would find them, of all kinds that are not rare."""
    if broker == "kite":
        return [
            kite_message([kite_packet(rng, length) for length in rng.choices(KITE_LENGTHS, k=40)])
            for _ in range(3)
        ] + [b"\0"]
    if broker == "smartapi":
        return [smartapi_packet(rng, mode) for mode in rng.choices((1, 2, 3), k=100)]
    packets = [dhan_packet(rng, code) for code in rng.choices((2, 3, 4, 5, 6, 8), k=100)]
    return [b"".join(packets[:3]), *packets[3:]]
