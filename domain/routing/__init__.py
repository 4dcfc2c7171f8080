"""Decisions of the routing stage; see the actors of the same name."""
