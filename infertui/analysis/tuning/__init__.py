"""What a tuning session turns, and what its segments come to: knobs, comparisons, climbing. Pure."""
