"""Charts of runs: what is drawn as plain values, and the drawing of it with matplotlib, imported inside functions."""
