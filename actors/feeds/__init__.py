"""Market data: who wants what, which socket carries it, which broker's is believed."""
