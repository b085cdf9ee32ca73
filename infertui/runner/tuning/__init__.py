"""A tuning session: one target kept loaded and working, measured segment by segment as its knobs are turned."""
