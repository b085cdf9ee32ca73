"""What really ran, in words."""

import csv
import io
from pathlib import Path

import msgspec
from msgspec.structs import replace
from support.results import make_results
from support.runs import infertui

from infertui.analysis.effective import identity
from infertui.analysis.summary_text import headline
from infertui.cli.reading.markdown import markdown_table
from infertui.cli.running.plain import PlainView, summary_lines
from infertui.metrics.reads import acceptance, caveats, fallback_of
from infertui.results.details import RunDetails
from infertui.results.result import Result
from infertui.results.row import ResultLine, row_of
from infertui.runner.events import ModelLoaded, PhaseEntered
from infertui.targets.engine.base import EffectiveSettings
from infertui.tui.results.details import view as details_view
from infertui.tui.results.details.summary import summary
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

S = 1_000_000_000


def measured(**loaded: object) -> Result:
    """A result of a GPU run in which everything that can be known is known."""
    found = next(r for r in make_results(50) if r.state == "finished" and r.loaded and r.loaded.device != "cpu")
    assert found.loaded
    known = {
        "paths": {"torch": "/venv/torch/__init__.py"}, "quantized_layers": 154, "offloaded_layers": "22 of 23",
        "weight_bytes": 1 << 30, "memory_policy": "fixed pool of 2 GiB", **loaded,
    }  # fmt: skip
    return replace(
        found,
        loaded=replace(found.loaded, **known),
        phases={"spawn": 0.1, "load": 2.0, "compile": 31.5, "capture": 0.25, "warmup": 1.0, "measure": 5.0},
        effective=EffectiveSettings(
            {"mode": "cudagraph", "speculation": "none"},
            {"graph_replays": 1270},
            {"graphs": "1 of batch 4"},
            {"speculation": "not asked for"},
        ),
    )


def test_everything_that_is_known_is_told() -> None:
    rows = dict(identity(measured(), full=True))
    assert rows["torch"] == "2.11.0  /venv/torch/__init__.py"
    assert "1.00 GiB" in rows["weights"]
    assert "154 tensors quantized, the others " in rows["weights"]
    assert "on the GPU: 22 of 23 layers" in rows["weights"]
    assert rows["in force"] == "attention sdpa  mode cudagraph  speculation none (not asked for)"
    assert rows["getting ready"] == "compile 31.5 s  capture 250 ms"
    assert rows["memory policy"] == "fixed pool of 2 GiB"
    assert rows["counters"] == "graph_replays 1,270"
    assert rows["graphs"] == "1 of batch 4"
    assert "speculation" not in rows
    assert "FALLBACK" not in rows


def test_a_run_that_loaded_nothing_has_no_identity() -> None:
    assert identity(replace(measured(), loaded=None)) == []


def test_acceptance_needs_drafts() -> None:
    assert acceptance({"drafted_tokens": 8, "accepted_tokens": 2}) == 0.25
    assert acceptance({"drafted_tokens": 0}) is None
    assert acceptance({"drafted_tokens": 8}) == 0.0


def test_the_details_and_the_plain_output_say_what_ran_and_what_it_stands_in_for() -> None:
    result = measured(engine="transformers", engine_requested="vllm", fallback_reason="no \x1b[31mvllm")
    shown = RunDetails(id=result.id, folder="/r", toml="[engine]", result=result)
    look = RenderContext(DEFAULT_PALETTE)
    told = "transformers was measured, NOT vllm, which cannot be used: no vllm"
    for lines in (
        [line.plain for line in summary(shown, 160, look)],
        [line.plain for line in details_view.config(shown, 160, look)],
        summary_lines(result, kept=True),
    ):
        assert any("FALLBACK" in line and told in line for line in lines)
        assert not any("\x1b" in line for line in lines)
    whole = "\n".join(line.plain for line in details_view.config(shown, 160, look))
    for words in ("/venv/torch/__init__.py", "154 tensors quantized", "compile 31.5 s", "graph_replays 1,270"):
        assert words in whole


def test_plain_lines_tell_of_the_fallback_at_once_and_of_compiling() -> None:
    result = measured(engine="transformers", engine_requested="vllm", fallback_reason="no vllm")
    assert result.loaded
    stream = io.StringIO()
    view = PlainView(stream)
    view.take(ModelLoaded("r", result.loaded, seconds=1.0, reused=False))
    view.take(PhaseEntered("r", 1 * S, "compile"))
    view.take(PhaseEntered("r", 33 * S, "capture"))
    view.take(PhaseEntered("r", 34 * S, "warmup"))
    lines = stream.getvalue().splitlines()
    assert lines[1] == f"FALLBACK: {fallback_of(result.loaded)}"
    assert lines[2:] == ["phase compile", "phase capture, compile took 32.0 s", "phase warmup, capture took 1.00 s"]


def test_no_table_shows_a_fallback_or_another_programs_figures_unmarked(tmp_path: Path) -> None:
    good = measured(engine="transformers", engine_requested="transformers")
    fallen = measured(engine="transformers", engine_requested="vllm", fallback_reason="vllm is not installed")
    other = replace(good, source="llama-bench build \x1b[2J0c1")
    assert [caveats(one) for one in (good, fallen, other)] == [
        [],
        ["fallback, not vllm"],
        ["external: llama-bench build 0c1"],
    ]
    rows = markdown_table([good, fallen, other]).splitlines()[2:]
    assert ["fallback, not vllm" in row for row in rows] == [False, True, False]
    assert ["external: llama-bench" in row for row in rows] == [False, False, True]
    (tmp_path / "results.jsonl").write_bytes(
        b"".join(
            msgspec.json.encode(replace(one, id=f"{one.id}-{number}")) + b"\n"
            for number, one in enumerate((good, fallen, other))
        )
    )
    lines = infertui("results", "--out", str(tmp_path), cwd=tmp_path).stdout.splitlines()
    assert ["cudagraph" in line for line in lines] == [False, True, True, True]
    assert ["fallback, not vllm" in line for line in lines] == [False, False, True, False]
    assert ["external: llama-bench" in line for line in lines] == [False, False, False, True]
    table = list(csv.DictReader(infertui("results", "--out", str(tmp_path), "--csv", cwd=tmp_path).stdout.splitlines()))
    assert [row["source"] for row in table] == ["infertui", "infertui", "llama-bench build 0c1"]
    assert {(row["mode"], row["compile_s"], row["capture_s"]) for row in table} == {("cudagraph", "31.5", "0.25")}


def test_the_table_of_results_knows_what_was_in_force() -> None:
    row = row_of(msgspec.json.decode(msgspec.json.encode(measured()), type=ResultLine))
    assert (row.mode, row.quantization) == ("cudagraph", "")
    older = row_of(msgspec.json.decode(msgspec.json.encode(replace(measured(), effective=None)), type=ResultLine))
    assert older.mode == ""


def test_a_run_that_loaded_nothing_names_the_engine_that_was_asked_for() -> None:
    failed = replace(measured(), loaded=None)
    assert failed.own_config.engine.name in headline(failed)


def test_a_run_that_sampled_says_how_and_a_greedy_one_nothing() -> None:
    greedy = measured()
    config = greedy.own_config
    workload = replace(config.workload, temperature=0.7, top_p=0.9)
    sampled = replace(greedy, config=replace(config, workload=workload))
    assert headline(sampled) == headline(greedy) + "  sampled, temperature 0.7, top_p 0.9"
    assert "top_p" not in headline(replace(sampled, config=replace(config, workload=replace(workload, top_p=1.0))))
