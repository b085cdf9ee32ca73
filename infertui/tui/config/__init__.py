"""The screen: config."""
