"""HTTP: connections, how bodies are framed, paths and pages."""
