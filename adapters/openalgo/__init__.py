"""OpenAlgo: one instance stands before one broker and speaks REST and WebSocket (`openalgo.md`)."""
