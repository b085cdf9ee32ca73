"""Runs side by side: what is compared, its pictures and its screen."""
