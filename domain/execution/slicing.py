"""Quantities an exchange takes: whole lots, none above the freeze quantity (`tomic.md` 8.6)."""

from __future__ import annotations


def whole_lots(quantity: int, lot_size: int) -> int:
    """The largest multiple of the lot that is not above `quantity`; 0 for none."""
    return max(quantity, 0) // lot_size * lot_size


def slices(quantity: int, lot_size: int, freeze_quantity: int) -> tuple[int, ...]:
    """`quantity` in orders of whole lots at or below the freeze quantity, largest first.

    A freeze quantity of 0 or below one lot sets no limit: the master did not say. A rest below one
    lot stays in the last slice, because an exit must never leave it behind.
    """
    if quantity <= 0:
        return ()
    largest = whole_lots(freeze_quantity, lot_size)
    if largest == 0 or quantity <= largest:
        return (quantity,)
    full, rest = divmod(quantity, largest)
    return (largest,) * full + ((rest,) if rest else ())
