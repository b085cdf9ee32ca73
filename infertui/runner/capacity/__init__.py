"""A search for the most load that a live endpoint takes while it keeps its objectives, and its folder."""
