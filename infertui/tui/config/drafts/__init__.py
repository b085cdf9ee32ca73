"""What the form holds is kept as it is typed, and found again at the next start."""
