"""The embedded exchange: an OpenAlgo server with its own prices, accounts and clock.

Start it with `python -m adapters.sandbox`, or in a program with
`adapters.sandbox.server.SandboxServer`.
The control port's client is `adapters.sandbox.control.SandboxControl`.
"""
