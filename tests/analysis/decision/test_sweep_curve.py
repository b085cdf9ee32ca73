"""Curves over what a sweep varied, as figures and drawn."""

from infertui.analysis.decision.sweep_curve import SweepCurve, SweepPoint, memory_lines, throughput_lines

POINTS = (
    SweepPoint(0, "a", 40.0, memory=1 << 30), SweepPoint(10, "b", 80.0, memory=2 << 30),
    SweepPoint(20, "c", 120.0, memory=3 << 30, valid=False),
)  # fmt: skip
CURVE = SweepCurve("engine.llama_cpp.n_gpu_layers", "n_gpu_layers", POINTS, "isl=64", (30.0,))


def test_the_fastest_is_a_valid_one_where_there_is_one() -> None:
    assert CURVE.fastest.run == "b"
    assert SweepCurve("k", "k", POINTS[2:]).fastest.run == "c"


def test_invalid_runs_and_failures_are_told() -> None:
    lines = throughput_lines(CURVE, ascii_only=True)
    assert lines[0] == "output tok/s over n_gpu_layers, isl=64 (1 of 3 runs are invalid)"
    assert lines[-2].endswith("-x")
    assert lines[-1].split() == ["0", "10", "20", "30", "n_gpu_layers"]


def test_the_knee_is_pointed_at() -> None:
    """40, 80, 83 tok/s: 3.75 % more than at 10 is little; an invalid point beyond it has no say."""
    points = (SweepPoint(0, "a", 40.0), SweepPoint(10, "b", 80.0), SweepPoint(20, "c", 83.0))
    for more in ((), (SweepPoint(30, "d", 500.0, valid=False),)):
        one = SweepCurve("k", "k", (*points, *more))
        assert one.knee == 10
        lines = throughput_lines(one, ascii_only=True)
        assert "knee at 10" in lines[0]
        assert "^" in lines[-2]


def test_memory_is_drawn_where_it_changes() -> None:
    lines = memory_lines(CURVE, ascii_only=True)
    assert lines[0] == "memory, GiB, over n_gpu_layers, isl=64"
    assert lines[1].startswith("3 |")
    flat = SweepCurve("k", "k", tuple(SweepPoint(x, "r", 1.0, memory=100 + x) for x in (0, 1, 2)))
    assert memory_lines(flat) == []
    assert memory_lines(SweepCurve("k", "k", POINTS[:2])) == []
    assert memory_lines(SweepCurve("k", "k", tuple(SweepPoint(x, "r", 1.0) for x in (0, 1, 2)))) == []
