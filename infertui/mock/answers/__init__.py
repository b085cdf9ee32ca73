"""What the answers look like, dialect by dialect."""
