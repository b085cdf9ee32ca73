"""Batches and telemetry read from a run's files."""

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from support.kept import RUNS
from support.reported import stored

from infertui.report.series import MAX_POINTS, measured_seconds, read_batches, read_telemetry, window_start
from infertui.results.result import Result

H200 = Path("reports/h200-engines")


def requests(folder: Path, lines: Iterable[Mapping[str, object]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_batch_is_the_mean_over_its_requests_and_failed_ones_do_not_count(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [
        {"batch": 0, "start": 0.0, "latency": 1.0, "ttft": 0.1, "tpot": 0.01},
        {"batch": 0, "start": 0.0, "latency": 3.0, "ttft": 0.3, "tpot": None},
        {"batch": 1, "start": 4.0, "latency": 9.0, "error": "it broke"},
        {"batch": 2, "start": 5.0, "latency": 4.0},
    ]
    found = read_batches(requests(tmp_path, lines))
    assert found.n == 2
    assert found.starts == (0.0, 5.0)
    assert found.latencies == (2.0, 4.0)
    assert found.latency is not None
    assert (found.latency.median, found.latency.values, found.latency.quantiles) == (3.0, (2.0, 4.0), None)
    assert found.ttft is not None
    assert list(found.ttft.values) == pytest.approx([0.2])
    assert found.tpot is not None
    assert found.tpot.values == (0.01,)


def test_a_run_without_files_has_no_batches_and_no_telemetry(tmp_path: Path) -> None:
    assert read_batches(tmp_path / "none").latency is None
    assert read_telemetry(tmp_path / "none", stored(H200)[0]) is None


def test_long_runs_are_thinned_to_a_bounded_number_of_points_that_keep_every_extreme(tmp_path: Path) -> None:
    draw = random.Random(3)
    latencies = [draw.uniform(1.0, 1.1) for _ in range(20_011)]
    latencies[7_777], latencies[13_333] = 9.0, 0.2
    lines = ({"batch": at, "start": float(at), "latency": value} for at, value in enumerate(latencies))
    found = read_batches(requests(tmp_path, lines))
    assert found.n == 20_011
    assert MAX_POINTS / 4 <= len(found.starts) <= MAX_POINTS
    assert list(found.starts) == sorted(found.starts)
    points = dict(zip(found.starts, found.latencies, strict=True))
    assert points[7_777.0] == 9.0
    assert points[13_333.0] == 0.2
    assert found.starts[-1] > 20_011 - 2 * 20_011 / (MAX_POINTS / 4)
    assert found.latency is not None
    assert found.latency.quantiles == pytest.approx(tuple(np.percentile(latencies, (5, 25, 50, 75, 95))))
    assert found.latency.values == (0.2, 9.0)


SECOND = 10**9


def sampled(*stretches: tuple[int, float]) -> list[int]:
    """Stamps: so many samples, so many seconds after each other."""
    stamps = [0]
    for count, gap in stretches:
        stamps += [stamps[-1] + int((step + 1) * gap * SECOND) for step in range(count)]
    return stamps


def a_run(seconds: float) -> Result:
    import msgspec

    result = stored(H200)[0]
    assert result.power is not None
    return msgspec.structs.replace(
        result, sample_hz=10.0, power=msgspec.structs.replace(result.power, window_s=seconds)
    )


def test_the_window_is_the_last_stretch_of_fast_samples() -> None:
    stamps = sampled((5, 0.1), (20, 1.0), (30, 0.1), (1, 1.0))
    assert window_start(stamps, a_run(3.0)) == int(20.5 * SECOND)
    # Of a stretch that is too short, or too long, for what was measured nothing is told.
    assert window_start(stamps, a_run(9.0)) is None
    assert window_start(stamps, a_run(0.5)) is None
    assert window_start([0, SECOND], a_run(3.0)) is None


def test_every_real_run_has_its_window_marked_within_a_sample() -> None:
    runs = [result for result in stored(H200) if (RUNS / result.id).is_dir()]
    assert len(runs) >= 6
    for result in runs:
        seen = read_telemetry(RUNS / result.id, result)
        assert seen is not None
        assert seen.window == measured_seconds(result), result.id
        # Power at rest is near 120 W with a model loaded: within the window it is that of a busy GPU.
        assert result.power is not None
        inside = [w for t, w in zip(seen.times, seen.power, strict=True) if 0 <= t <= (seen.window or 0) and w]
        assert np.mean(inside) == pytest.approx(result.power.mean_power_w, rel=0.15), result.id
