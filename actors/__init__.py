"""Who acts, in the order of the way: feeds, market, signals, routing, risk, execution, journal.

Beside the way: supervision (keeps it alive), brokers (sessions), desk (what people touch).
"""
