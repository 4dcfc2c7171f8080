"""Brokers: their sessions, what their books say, and the embedded exchange."""
