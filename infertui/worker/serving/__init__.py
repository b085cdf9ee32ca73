"""Servers that are started for a run, and ended with it."""
