"""Decisions of the journal stage; see the actors of the same name."""
