"""What a bench shows while it runs."""

import io

from msgspec.structs import replace
from support.results import make_results

from infertui.cli.running.benchview import BenchLines, Standing, bench_view, run_line
from infertui.cli.running.live import LiveView
from infertui.config.sweep import Place
from infertui.measure.validity import Verdict
from infertui.results.result import Error, Result
from infertui.runner.events import RunFinished

MEASURED = next(result for result in make_results(50) if result.state == "finished" and result.verdict.valid)


def ran(arm: str, number: int) -> Result:
    place = Place("b1", arm, number, 5, baseline=arm == "a", arms=("a", "b"))
    return replace(MEASURED, id=f"{arm}{number}", bench=place)


def test_each_run_is_a_line_that_says_what_is_wrong_with_it() -> None:
    speed = MEASURED.summary.output_throughput
    assert speed is not None
    line = run_line(ran("a", 1))
    assert line.startswith("round 2/5  a  ")
    assert f"{speed:,.0f}"[:3] in line
    assert "INVALID: it was hot" in run_line(replace(ran("a", 1), verdict=Verdict(("it was\x1b[31m hot",))))
    failed = replace(ran("a", 1), state="failed", error=Error("error", "it broke"), summary=replace(
        MEASURED.summary, output_throughput=None, ttft=None, tpot=None))  # fmt: skip
    assert run_line(failed).startswith("round 2/5  a  no figures  failed")
    assert any("it broke" in line for line in Standing().take(failed))


def test_whole_rounds_say_what_they_know_so_far_and_the_last_leaves_that_to_the_end() -> None:
    standing = Standing([ran(arm, 0) for arm in "ab"])
    told = [standing.take(ran(arm, number)) for number in range(1, 5) for arm in ("ba", "ab")[number % 2]]
    interim = [lines[1:] for lines in told]
    said = "throughput equal within 2%: 0.0% (0.0% to 0.0%)"
    assert interim == [[], [], [], [f"  after 3 of 5 rounds: b against a: {said}"], [],
                       [f"  after 4 of 5 rounds: b against a: {said}"], [], []]  # fmt: skip


def test_views() -> None:
    stream = io.StringIO()
    with bench_view("live", stream, Standing(), quiet=False) as view:
        assert isinstance(view, LiveView)
        view.take(RunFinished("a0", ran("a", 0), kept=True))
    assert stream.getvalue().startswith("round 1/5  a  ")
    silent = io.StringIO()
    with bench_view("auto", silent, Standing(), quiet=True) as view:
        view.take(RunFinished("a0", ran("a", 0), kept=True))
    assert silent.getvalue() == ""
    assert isinstance(bench_view("auto", io.StringIO(), Standing(), quiet=False), BenchLines)
