"""Layers on the GPU: the study that finds how many are best, and runs with what it found."""
