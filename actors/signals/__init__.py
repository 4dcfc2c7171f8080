"""Signals: what the market is (regime) and which structures that suits (volatility)."""
