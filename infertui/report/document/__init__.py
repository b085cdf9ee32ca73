"""A report as a document of plain values, put together from runs, and its writers."""
