"""GGUF files: read, laid out, written."""
