"""Curves over what a sweep varied, as figures and drawn."""

from infertui.analysis.decision.sweep_curve import ChartSize, SweepCurve, SweepPoint, memory_lines, throughput_lines

POINTS = (
    SweepPoint(0, "a", 40.0, memory=1 << 30), SweepPoint(10, "b", 80.0, memory=2 << 30),
    SweepPoint(20, "c", 120.0, memory=3 << 30, valid=False),
)  # fmt: skip
CURVE = SweepCurve("engine.llama_cpp.n_gpu_layers", "n_gpu_layers", POINTS, "isl=64", (30.0,))


def test_the_fastest_is_a_valid_one_where_there_is_one() -> None:
    assert CURVE.fastest.run == "b"
    assert SweepCurve("k", "k", POINTS[2:]).fastest.run == "c"


def test_invalid_runs_and_failures_are_told() -> None:
    size = ChartSize(31, 5, 6)
    lines = throughput_lines(CURVE, ascii_only=True, size=size, marks=[10])
    assert lines[0] == "output tok/s over n_gpu_layers, isl=64 (1 of 3 runs are invalid)"
    assert lines[1].startswith("   120 |")
    assert lines[-2] == " " * 7 + "+" + "-" * 10 + "^" + "-" * 19 + "x"


def test_memory_is_drawn_where_it_changes() -> None:
    lines = memory_lines(CURVE, ascii_only=True)
    assert lines[0] == "memory over n_gpu_layers, isl=64"
    assert lines[1].startswith("3.00 GiB |")
    flat = SweepCurve("k", "k", tuple(SweepPoint(x, "r", 1.0, memory=100 + x) for x in (0, 1, 2)))
    assert memory_lines(flat) == []
    assert memory_lines(SweepCurve("k", "k", POINTS[:2])) == []
    assert memory_lines(SweepCurve("k", "k", tuple(SweepPoint(x, "r", 1.0) for x in (0, 1, 2)))) == []
