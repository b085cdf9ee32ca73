"""The screen: queue."""
