"""The screen: results."""
