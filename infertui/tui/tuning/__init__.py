"""The screen of a tuning session: knobs, charts on one time axis, and what each segment came to."""
