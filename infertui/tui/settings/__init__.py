"""The user's settings, and their screen."""
