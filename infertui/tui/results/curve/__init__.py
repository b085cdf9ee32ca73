"""Curves over what a sweep varied, in front of the results."""
