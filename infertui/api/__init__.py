"""The runner behind HTTP on a unix socket, and its client."""
