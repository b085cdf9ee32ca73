"""The screen: an earlier moment."""
