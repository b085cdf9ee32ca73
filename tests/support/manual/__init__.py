"""What pages of `docs/` and the README take from the program itself: its commands, keys, routes and kept results."""
