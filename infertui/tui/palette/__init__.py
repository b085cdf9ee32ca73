"""The palette: anything on the screen by a few letters of its name."""
