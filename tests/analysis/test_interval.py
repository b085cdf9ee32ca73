"""What every view says beside a throughput: its interval, what that takes for granted, and that there is none."""

import numpy as np
import pytest
from msgspec.structs import replace
from support.batches import SECOND, even_batch
from support.results import make_results
from support.series import STRETCHED

from infertui.analysis.summary_text import figures
from infertui.config.schema import ValidityConfig
from infertui.measure.statistics import Independence, Interval
from infertui.measure.summary import summarise
from infertui.measure.validity import Circumstances, judge
from infertui.metrics.registry import metric_of, metrics
from infertui.metrics.table import cells

MEASURED = next(result for result in make_results(50) if result.state == "finished" and result.verdict.valid)


@pytest.mark.parametrize(
    ("interval", "rests_on", "table", "words"),
    [
        (Interval(99.0, 101.0), "examined", "99.0-101", "95 % 99.0 to 101"),
        (Interval(99.0, 101.0), "", "99.0-101", "95 % 99.0 to 101"),  # kept before that was told
        (Interval(99.0, 101.0), "assumed", "99.0-101 assumed", "95 % 99.0 to 101, assuming independent iterations"),
        (None, "missing", "dependent?", "no interval: iterations may depend on one another"),
        (None, "", "n/a", ""),
    ],
)
def test_views_say_the_same(interval: Interval | None, rests_on: Independence, table: str, words: str) -> None:
    summary = replace(
        MEASURED.summary, output_throughput=100.0, output_throughput_interval=interval, independence=rests_on
    )
    result = replace(MEASURED, summary=summary)
    names = [metric.text_heading for metric in metrics("text")]
    assert cells(result, metrics("text"))[names.index("95 %")] == table
    assert dict(figures(result))["output throughput"] == "  ".join(part for part in ("100 tok/s", words) if part)
    beside = table.replace("-", " to ") if table != "n/a" else ""
    assert metric_of("throughput_bounds").write(result) == f"100 ({beside})" if beside else "100"


def test_a_run_that_only_wanders_says_so_where_its_verdict_is_told() -> None:
    (run,) = STRETCHED["wander 0.8"].draw(np.random.default_rng(1), 1, 5)
    batches = [
        replace(even_batch(float(parts.sum())), stretches_ns=tuple(round(float(part) * SECOND) for part in parts))
        for parts in run
    ]
    assert summarise(batches).output_throughput_interval is None
    assert summarise(batches).independence == "missing"
    verdict = judge(batches, Circumstances(output_len=10), ValidityConfig())
    assert any("may depend on one another too much for an interval" in note for note in verdict.notes)
