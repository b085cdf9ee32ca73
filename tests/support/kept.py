"""Runs measured on NVIDIA H200s: the lines of all of them in `reports/`, and of a few what lay in their folders."""

from pathlib import Path

REPORTS = Path(__file__).parents[2] / "reports"
RUNS = Path(__file__).parents[1] / "kept_runs"
"""Folders of runs: result.json, and telemetry.jsonl or requests.jsonl where a test reads them."""
