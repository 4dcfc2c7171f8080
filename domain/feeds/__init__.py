"""Decisions of the feeds stage; see the actors of the same name."""
