"""The form behind the Config pane: what it holds, how it changes, how its lines read. Knows nothing of Textual."""
