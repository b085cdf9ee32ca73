"""The screen: cost."""
