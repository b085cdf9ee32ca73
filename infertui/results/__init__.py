"""What is kept: run folders, results.jsonl, fingerprints."""
