"""What results mean: comparisons, limits, bottlenecks, energy, cost."""
