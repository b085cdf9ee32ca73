"""The dialects, a module each. What they say and read is in `Dialect`; `dialect_of` finds one by its name."""
