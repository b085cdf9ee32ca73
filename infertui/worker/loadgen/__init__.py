"""The load generator: processes of their own that send a plan's requests to a server and stamp what comes back."""
