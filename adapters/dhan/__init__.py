"""DhanHQ v2 (`broker_protocols.md` 3)."""
