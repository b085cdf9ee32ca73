"""What each engine offers, described once: its levers and options drive files, flags, form, doctor and docs."""
