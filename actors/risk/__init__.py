"""Risk: what may be entered, how much of it, and when it is left."""
