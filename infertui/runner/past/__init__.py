"""What was, as far as the runner keeps it."""
