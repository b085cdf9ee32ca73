"""The child process in which an engine lives: protocol, the inside, and the parent's handle."""
