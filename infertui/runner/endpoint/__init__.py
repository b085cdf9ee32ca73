"""Runs on an endpoint: what was found of it, the load on it, what came back."""
