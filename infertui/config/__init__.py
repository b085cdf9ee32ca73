"""What to measure: the schema, TOML in and out, presets, environment, sweeps."""
