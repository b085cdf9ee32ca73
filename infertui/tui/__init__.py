"""The screen: draws state, sends intents."""
