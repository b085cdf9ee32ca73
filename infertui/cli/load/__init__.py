"""Load on endpoints."""
