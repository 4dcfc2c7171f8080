"""Decisions of the risk stage; see the actors of the same name."""
