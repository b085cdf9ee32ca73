"""What measured results bear: impact of a setting, what to use for a goal, what to avoid; and its wording. Pure."""
