"""The frame of the screen: header, footer, layout, help."""
