"""Decisions of the supervision stage; see the actors of the same name."""
