"""Routing: one winner per underlying; the cycle that asks for opinions and sends them to risk."""
