"""What answers requests. `engine/`: libraries, each in a worker."""
