"""Searches for the most load a server takes: begun, watched, read back."""
