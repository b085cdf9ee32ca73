"""The screen: logs."""
