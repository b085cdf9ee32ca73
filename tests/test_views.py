"""One run in every view: a heading names one statistic, and shows the same figure wherever it stands."""

import csv
import io
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.reported import gathered
from support.results import make_results

from infertui.analysis.effective import identity
from infertui.analysis.summary_text import figures
from infertui.cli.reading.agreement import HEAD
from infertui.cli.reading.markdown import markdown_table
from infertui.formats.export import document
from infertui.measure.itl import merge_gaps, summarise_gaps
from infertui.measure.quality import Quality
from infertui.measure.statistics import describe
from infertui.metrics.registry import metrics
from infertui.metrics.table import cells, csv_header, csv_values
from infertui.report.document import ReportTable
from infertui.report.run_details import listing
from infertui.results.result import DeviceFigures, Result
from infertui.results.row import ResultLine, row_of
from infertui.targets.engine.base import EffectiveSettings
from infertui.tui.results.columns import COLUMNS, copied, copied_header

MS = 1_000_000
# Five batches, one of which is slow: their median is 31.8 ms, their mean 47.3 (47.28).
TTFT = (0.0312, 0.0315, 0.0318, 0.0321, 0.1098)
TPOT = (0.00571, 0.00579, 0.00583, 0.00588, 0.00912)
LATENCY = (1.110, 1.121, 1.134, 1.140, 1.900)
# 9 steps of 5.0 to 9.0 ms: the fifth is the median, and too few for p90 and p99.
GAPS = [at * MS // 2 for at in (10, 10, 11, 11, 12, 13, 14, 15, 18)]


def stamps() -> list[int]:
    found = [0]
    for gap in GAPS:
        found.append(found[-1] + gap)
    return found


@pytest.fixture
def run() -> Result:
    one = next(
        r for r in make_results(50) if r.state == "finished" and r.verdict.valid and r.loaded and r.loaded.device_uuid
    )
    assert one.loaded
    gaps = merge_gaps(found for _ in range(2) if (found := summarise_gaps(stamps())))
    summary = replace(
        one.summary, ttft=describe(TTFT), tpot=describe(TPOT), latency=describe(LATENCY), itl=gaps,
        memory=replace(one.summary.memory, allocated_peak=3 << 30, resident_peak=2 << 30),
    )  # fmt: skip
    return replace(
        one,
        summary=summary,
        loaded=replace(one.loaded, engine="llama-cpp", engine_requested="llama-cpp", dtype="float32",
                       quantized_layers=211),
        effective=EffectiveSettings({"quantization": "q4_1", "llama_cpp.type_k": "q8_0", "llama_cpp.type_v": "q8_0"}),
        device=DeviceFigures(vram_process=5 << 30),
        quality=Quality(reference="other", beyond=("53.9% of its tokens are the reference's, fewer than 90%",)),
    )  # fmt: skip


@pytest.fixture
def views(run: Result) -> dict[str, dict[str, str]]:
    """What each view shows of it: text by heading."""
    row = row_of(msgspec.json.decode(msgspec.json.encode(run), type=ResultLine))
    everything = tuple(COLUMNS)
    table = next(block for block in listing(gathered(Path(), [run, replace(run, id="2", name="2")])).blocks
                 if isinstance(block, ReportTable))  # fmt: skip
    head, _, body = markdown_table([run], [metric.heading for metric in metrics("markdown")]).split("\n")
    csv_text = io.StringIO()
    csv.writer(csv_text).writerows([csv_header(), csv_values(run)])
    titles, values = csv.reader(io.StringIO(csv_text.getvalue()))
    return {
        "screen": {spec.label: spec.cell(row, spec.wide) for spec in COLUMNS.values()},
        "copied": dict(zip(copied_header(everything), copied(row, everything), strict=True)),
        "text": dict(
            zip((metric.text_heading for metric in metrics("text")), cells(run, metrics("text")), strict=True)
        ),
        "markdown": dict(zip(head[2:-2].split(" | "), body[2:-2].split(" | "), strict=True)),
        "report": {column.name: cell.text for column, cell in zip(table.columns, table.rows[0], strict=True)},
        "csv": dict(zip(titles, values, strict=True)),
    }


def test_the_median_is_the_same_in_every_table(views: dict[str, dict[str, str]]) -> None:
    for heading, shown in {"TTFT p50": "31.8 ms", "TPOT p50": "5.83 ms", "E2E p50": "1.13 s"}.items():
        told = {name: view[heading] for name, view in views.items() if heading in view}
        assert set(told.values()) == {shown}, (heading, told)
        assert set(told) >= {"screen", "markdown", "report"}
    assert views["text"]["TTFT p50"] == "31.8 ms"
    assert views["copied"]["TTFT p50 ms"] == "31.8"
    assert views["csv"]["p50_ttft_s"] == "0.0318"
    assert float(views["csv"]["mean_ttft_s"]) == pytest.approx(0.04728)
    assert views["markdown"]["TTFT mean"] == "47.3 ms"


def test_a_mean_that_no_file_told_is_not_available_anywhere(run: Result) -> None:
    """The median is there; nothing takes its place."""
    summary = run.summary
    assert summary.ttft is not None and summary.itl is not None  # noqa: PT018
    lacking = replace(
        run,
        summary=replace(summary, ttft=replace(summary.ttft, mean=None, std=None), itl=replace(summary.itl, mean=None)),
    )
    assert msgspec.json.decode(msgspec.json.encode(lacking), type=Result) == lacking
    head, _, body = markdown_table([lacking], ["TTFT p50", "TTFT mean"]).split("\n")
    assert (head, body) == ("| TTFT p50 | TTFT mean |", "| 31.8 ms | n/a |")
    told = dict(zip(csv_header(), csv_values(lacking), strict=True))
    assert (told["p50_ttft_s"], told["mean_ttft_s"]) == (0.0318, "")
    assert dict(figures(lacking))["TTFT"].startswith("p50 31.8 ms")
    assert dict(figures(lacking))["ITL"].startswith("p50 ")
    row = row_of(msgspec.json.decode(msgspec.json.encode(lacking), type=ResultLine))
    assert COLUMNS["ttft"].cell(row, 10) == "31.8 ms"
    written = document(lacking, [])
    assert (written["mean_ttft_ms"], written["median_ttft_ms"], written["mean_itl_ms"]) == (None, 31.8, None)


def test_itl_has_two_digits_and_no_percentile_that_nine_steps_cannot_bound(
    run: Result, views: dict[str, dict[str, str]]
) -> None:
    # The fifth gap is 6.0 ms, its bucket's middle within 1 % of that.
    assert {view["ITL p50"] for view in views.values() if "ITL p50" in view} <= {"6.0 ms", "5.9 ms", "6.1 ms"}
    assert len({view["ITL p50"] for view in views.values() if "ITL p50" in view}) == 1
    assert (views["screen"]["ITL p99"], views["markdown"]["ITL p99"]) == ("n/a", "n/a")
    assert views["csv"]["p99_itl_s"] == ""
    told = dict(figures(run))["ITL"]
    assert "p90" not in told
    assert "p99" not in told
    assert told.startswith("mean 6.33 ms  p50 ")
    assert told.endswith("max 9.00 ms  of 18 steps")


def test_no_time_and_no_memory_without_its_statistic(views: dict[str, dict[str, str]]) -> None:
    for name, view in views.items():
        for heading in view:
            if heading.startswith(("TTFT", "TPOT", "ITL", "E2E")):
                assert any(word in heading for word in ("p50", "p99", "mean")), (name, heading)
            assert heading not in ("memory", "VRAM", "mem"), name
    usual = markdown_table([]).split("\n")[0][2:-2].split(" | ")
    for figure in ("TTFT", "TPOT", "E2E latency"):
        assert figure not in usual


def test_which_memory_it_is_is_said(run: Result, views: dict[str, dict[str, str]]) -> None:
    assert views["screen"]["mem GiB"] == "5.00 proc"
    for name in ("markdown", "report"):
        assert views[name]["GPU mem (process)"] == "5.00 GiB"
        assert views[name]["allocator peak"] == "3.00 GiB"
        assert views[name]["host mem peak (RSS)"] == "2.00 GiB"
    assert views["csv"]["vram_process"] == str(5 << 30)
    assert "GPU mem (process) 5.00 GiB" in dict(figures(run))["memory"]
    lacking = replace(run, device=None)
    row = row_of(msgspec.json.decode(msgspec.json.encode(lacking), type=ResultLine))
    assert COLUMNS["vram"].cell(row, 10) == "3.00 alloc"


def test_what_ran_is_one_word_everywhere(run: Result, views: dict[str, dict[str, str]]) -> None:
    word = "q4_1 kv q8_0"
    assert views["screen"]["fmt"] == word
    assert views["text"]["format"] == word
    assert views["markdown"]["format"].replace("\\", "") == word
    assert views["csv"]["format"] == word
    assert dict(identity(run))["weights"].startswith(word + "  ")
    assert "format" in HEAD
    assert "format" in markdown_table([]).split("\n")[0]


def test_a_diverged_run_is_marked_in_every_row(views: dict[str, dict[str, str]]) -> None:
    row = views["copied"]
    assert "diverged" in row["flags"]
    assert "diverged" in views["text"][""]
    assert "diverged" in views["markdown"]["valid"]
    assert "diverged" in views["report"]["marks"]
    assert views["csv"]["diverged"] == "True"
    assert "marks" in HEAD


def test_the_json_is_the_result_itself(run: Result) -> None:
    found = msgspec.json.decode(msgspec.json.encode(run), type=Result)
    assert found.summary.ttft is not None and found.summary.ttft.mean is not None  # noqa: PT018
    assert (found.summary.ttft.p50, round(found.summary.ttft.mean, 5)) == (0.0318, 0.04728)
