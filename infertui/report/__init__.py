"""Wording and tables of results. Pure: no processes, no terminal, no GPU."""
