"""One entry is all that a metric takes: the guide's own is in every view. And what the registry refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from support import new_metric
from support.results import make_results

from infertui.metrics.metric import Metric
from infertui.metrics.partial import partial
from infertui.metrics.registry import find, metrics, register, stored
from infertui.metrics.units import NUMBER
from infertui.results.result import PowerFigures, Result

TESTS = Path(__file__).parents[1]
# Joules a token of three runs: half a token a joule, four, and no energy that anyone told.
KNOWN = (2.0, 0.25, None)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    """The ids of three runs, and what each view shows of them in a process that has the guide's metric."""
    out = tmp_path_factory.mktemp("out")
    measured = [one for one in make_results(50) if one.state == "finished" and one.power and one.loaded][:3]
    results = [
        replace(
            one,
            power=PowerFigures("gpu", "counter", window_s=100.0, joules_per_token=joules),
        )
        for one, joules in zip(measured, KNOWN, strict=True)
    ]
    (out / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in results))
    done = subprocess.run(
        [sys.executable, new_metric.__file__, str(out), "tokens_per_joule>1"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(TESTS), "COLUMNS": "400"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [one.id for one in results], json.loads(done.stdout)


def test_the_metric_of_the_guide_is_in_every_table(seen: tuple[list[str], dict[str, Any]]) -> None:
    shown = seen[1]["shown"]
    guide = new_metric.CONTRIBUTING.read_text("utf-8")
    (promised,) = re.findall(r"```python\n# in the test\n(.*?)```", guide, re.DOTALL)
    exec(promised, {"shown": shown})  # noqa: S102 (the page's own example)
    assert seen[1]["headings"] == ["tok/J", "tok/J"]
    assert seen[1]["copied"] == "0.500"


def test_what_is_not_known_of_it_is_missing_everywhere(seen: tuple[list[str], dict[str, Any]]) -> None:
    assert seen[1]["absent"] == ["", "n/a", None]


def test_runs_are_filtered_and_sorted_by_it(seen: tuple[list[str], dict[str, Any]]) -> None:
    (half, four, none), found = seen
    assert found["listed"] == [four]
    assert found["filtered"] == [four]
    assert found["sorted"] == [four, half, none]


def test_runs_are_compared_by_it(seen: tuple[list[str], dict[str, Any]]) -> None:
    assert seen[1]["compared"] == [["tok/J", 0.5, 4.0, "higher"]]


def test_a_name_is_of_one_metric_alone() -> None:
    names = [name for metric in metrics() for name in (metric.key, *metric.aliases)]
    assert sorted(names) == sorted(set(names))
    for metric in metrics():
        assert all(find(name) is metric for name in (metric.key, *metric.aliases))


def test_no_two_columns_of_a_view_have_one_heading() -> None:
    for headings in (
        [metric.csv_heading for metric in metrics("csv")],
        [metric.heading for metric in metrics("markdown")],
        [metric.report_heading for metric in metrics("report")],
        [metric.screen_heading for metric in metrics("screen")],
        [metric.text_heading for metric in metrics("text")],
    ):
        assert sorted(headings) == sorted(set(headings))


def test_a_heading_names_the_percentile_and_a_time_its_statistic() -> None:
    for metric in metrics():
        if metric.statistic in ("p50", "p99") or (metric.statistic and metric.level != "run" and metric.unit.own):
            headings = (metric.heading, metric.report_heading, metric.screen_heading, metric.text_heading)
            assert all(metric.statistic in heading for heading in (*headings, metric.csv_heading)), metric.key


@pytest.mark.parametrize(
    ("key", "aliases", "said"),
    [
        ("ttft", (), "'ttft' of ttft is a name of ttft already"),
        ("another", ("e2e",), "'e2e' of another is a name of latency already"),
        ("e2e", (), "'e2e' of e2e is a name of latency already"),
        ("another", ("twice", "twice"), "'twice' of another is a name of another already"),
        ("Tokens per joule", (), "'Tokens per joule' is no key: small letters, digits and _, a letter first"),
    ],
)
def test_a_name_that_is_taken_is_refused_and_leaves_the_registry_as_it_was(
    key: str, aliases: tuple[str, ...], said: str
) -> None:
    before = [(metric.key, metric.label) for metric in metrics()]
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        register(Metric(key=key, label="another", help="", unit=NUMBER, read="id", aliases=aliases))
    assert [(metric.key, metric.label) for metric in metrics()] == before
    assert find("another") is None
    assert find("twice") is None


@pytest.mark.parametrize("metric", [*stored(), new_metric.example()], ids=lambda metric: metric.key)
def test_a_line_with_no_more_than_a_metric_names_is_enough_for_it(metric: Metric) -> None:
    line = partial(Result, metric.paths)
    for result in make_results(20):
        assert metric.value(msgspec.json.decode(msgspec.json.encode(result), type=line)) == metric.value(result)  # type: ignore[arg-type]
