"""The details of one result."""
