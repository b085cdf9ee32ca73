"""The screen: gpus."""
