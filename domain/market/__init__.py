"""Decisions of the market stage; see the actors of the same name."""
