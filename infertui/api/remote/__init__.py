"""The runner over TCP: who is let in there, and how a client reaches it."""
