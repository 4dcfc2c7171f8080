"""Zerodha's Kite Connect v3 (`broker_protocols.md` 1)."""
