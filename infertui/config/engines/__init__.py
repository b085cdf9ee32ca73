"""What each engine offers, described once: its options and options drive files, flags, form, doctor and docs."""
