"""The terminal beneath the screen: driver, differences, capabilities, what may be printed."""
