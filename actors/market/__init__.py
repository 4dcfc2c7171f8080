"""The market: the session's clock, bars, option chains and how fresh all of it is."""
