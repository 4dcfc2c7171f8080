"""Decisions of the execution stage; see the actors of the same name."""
