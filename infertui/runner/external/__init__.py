"""Other programs' benchmarks, run and kept."""
