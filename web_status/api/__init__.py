"""Routes by family; the list of all is in docs."""
