"""Stand-ins of the brokers' market data servers: the real protocols on loopback sockets."""
