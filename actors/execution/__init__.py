"""From a sized intent to positions: rows first, then orders, fills, the book, its comparison."""
