"""AngelOne's SmartAPI (`broker_protocols.md` 2)."""
