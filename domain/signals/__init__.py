"""Decisions of the signals stage; see the actors of the same name."""
