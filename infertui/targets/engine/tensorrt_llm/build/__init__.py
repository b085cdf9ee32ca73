"""Building TensorRT engines with the library's own tools, for the versions that have them: 1.0 to 1.2."""
