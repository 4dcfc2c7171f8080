"""Before the fork: no holes in the memory that all processes of the tree share.

A child that puts its first thousand objects into holes of what it inherited makes a page its own
for each of them; with the holes filled they lie side by side on pages of its own
(docs/decisions/0014). What fills them is never given back: some 1 MB, once for the whole tree.
"""

from __future__ import annotations

import ctypes

POOL_BYTES = 16_384  # the interpreter's small objects lie in pools, each of one size
POOL_HEADER_BYTES = 48
EMPTY_BYTES = b"".__sizeof__()
SMALL_SIZES = tuple(size for size in range(16, 513, 16) if size >= EMPTY_BYTES)
BLOCKS_MAX = 20_000  # of one size: another allocator than the interpreter's own has no such pools
LARGE_SIZES = (*range(65_536, 1_024, -1_024), *range(1_024, 16, -16))
_filling: list[bytes] = []


class _Usage(ctypes.Structure):
    """`struct mallinfo2` of the C library."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def fill_holes() -> None:
    """Takes every free block that lies between used ones."""
    for size in SMALL_SIZES:
        _fill_pools(size)
    _fill_between()


def _fill_pools(size: int) -> None:
    """Until a pool of that size was filled from its beginning to its end: then none had room."""
    whole = (POOL_BYTES - POOL_HEADER_BYTES) // size
    row, last = 0, 0
    for _ in range(BLOCKS_MAX):
        if row == whole:
            return
        block = bytes(size - EMPTY_BYTES)
        row = row + 1 if id(block) == last + size else 1
        last = id(block)
        _filling.append(block)


def _fill_between() -> None:
    """The C library's heap, up to its open end. Only where the library tells of its use."""
    library = ctypes.CDLL(None)
    usage = getattr(library, "mallinfo2", None)
    if usage is None:
        return
    usage.restype = _Usage
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    for size in LARGE_SIZES:
        end_bytes = usage().keepcost
        while (now := usage()).keepcost == end_bytes and now.fordblks - end_bytes >= size:
            library.malloc(size)
