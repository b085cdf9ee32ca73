"""Which model: synthetic shapes, the local catalogue, downloads, whether it fits."""
