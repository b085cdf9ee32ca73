"""What varies among runs is a column of every table by itself: the keys of a sweep, and model and device."""

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.results import make_results
from typer.testing import CliRunner

from infertui.cli.main import app
from infertui.config.parse import flat_values
from infertui.config.schema import Config, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.metrics.varying import AskedSettings, Variation, asked, asked_of
from infertui.results.config_keys import config_keys
from infertui.results.index import ResultIndex
from infertui.results.result import Result
from infertui.results.table import ResultQuery
from infertui.tui.results.columns import arrange, copied, copied_header
from infertui.tui.settings.stored import Settings

RUN = next(one for one in make_results(50) if one.state == "finished" and one.verdict.valid and one.loaded)
assert RUN.loaded
LOADED = RUN.loaded


def run(name: str, *, device: str = "NVIDIA H200", **tables: object) -> Result:
    config = Config(model=ModelConfig(id="m/one"), engine=EngineConfig(name="transformers"))
    return replace(
        RUN, id=f"run-{name.replace(' ', '-')}", name=name, config=replace(config, **tables),
        loaded=replace(LOADED, device_name=device), told={},
    )  # fmt: skip


def sweep() -> list[Result]:
    return [
        run(f"seed={seed} iters={n}", workload=WorkloadConfig(seed=seed), measurement=MeasurementConfig(iterations=n))
        for seed in (0, 7)
        for n in (3, 5)
    ]  # fmt: skip


def varied(*results: Result) -> list[str]:
    found = Variation()
    for result in results:
        found.take(result)
    return [one.key for one in found.found()]


def written(out: Path, results: list[Result]) -> Path:
    (out / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in results))
    return out


def told(out: Path, *arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["results", "--out", str(out), *arguments], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_every_swept_key_is_a_column_of_every_table(tmp_path: Path) -> None:
    out = written(tmp_path, sweep())
    text = told(out)
    assert text[0].split()[5:8] == ["out", "seed", "iters"]
    assert [line.split()[6:8] for line in text[1:]] == [["0", "3"], ["0", "5"], ["7", "3"], ["7", "5"]]
    head, _, *rows = told(out, "--markdown")
    at = head.split(" | ").index("seed")
    assert [line.split(" | ")[at] for line in rows] == ["0", "0", "7", "7"]
    lines = list(csv.DictReader(io.StringIO("\n".join(told(out, "--csv")))))
    assert [(line["workload.seed"], line["measurement.iterations"]) for line in lines] == [
        ("0", "3"), ("0", "5"), ("7", "3"), ("7", "5"),
    ]  # fmt: skip
    page = ResultIndex(out, cache=tmp_path / "cache").page(ResultQuery(str(out), descending=False))
    assert [one.heading for one in page.varied] == ["seed", "iters"]
    layout = arrange(Settings().columns, 76, varied=page.varied)
    cells = [{one.spec.heading: one.spec.cell(row, one.width) for one in layout.placed} for row in page.rows]
    assert [(row["seed"], row["iters"]) for row in cells] == [("0", "3"), ("0", "5"), ("7", "3"), ("7", "5")]
    header = copied_header(Settings().columns, page.varied)
    assert copied(page.rows[0], Settings().columns, varied=page.varied)[header.index("seed")] == "0"


def test_one_run_and_equal_runs_have_no_more_columns(tmp_path: Path) -> None:
    usual = told(written(tmp_path, [run("a")]))[0]
    assert told(written(tmp_path, [run("a"), run("b")]))[0].split() == usual.split()
    assert varied() == []


def test_model_and_device_are_columns_where_they_differ(tmp_path: Path) -> None:
    out = written(tmp_path, [run("a"), run("b", device="NVIDIA A100", model=ModelConfig(id="m/two"))])
    head = told(out)[0].split()
    assert head[:4] == ["run", "model", "device", "engine"]
    assert varied(run("a"), run("b", device="NVIDIA A100")) == ["device"]
    # A device that a failed run did not get to is no other one.
    assert varied(run("a"), replace(run("b"), loaded=None)) == []


def test_a_table_that_tells_a_key_anyway_has_it_once(tmp_path: Path) -> None:
    out = written(tmp_path, [run(f"bs={size}", workload=WorkloadConfig(batch_size=size)) for size in (1, 2)])
    assert "bs" not in told(out)[0].split()
    assert "batch" not in told(out, "--csv")[0].split(",")


def test_keys_of_no_sweep_are_shown_as_long_as_they_are_few() -> None:
    few = run("b", measurement=MeasurementConfig(iterations=9, min_seconds=1.0))
    assert varied(run("a"), few) == ["measurement.iterations", "measurement.min_seconds"]
    many = run("c", measurement=MeasurementConfig(iterations=9, min_seconds=1.0, max_seconds=5.0, sample_hz=5.0,
                                                  total_timeout_s=9.0, load_timeout_s=9.0))  # fmt: skip
    assert varied(run("a"), many) == []
    named = replace(many, name="iters=9")
    assert varied(run("a"), named) == ["measurement.iterations"]


def test_what_an_imported_file_does_not_tell_is_not_as_by_default() -> None:
    imported = replace(run("file"), config=None, imported="a.json", told={"workload.seed": 7})
    assert asked_of(imported).get("workload.seed") == 7
    assert asked_of(imported).get("measurement.iterations") is None
    # Nobody knows whether the file's run had another number of iterations.
    assert varied(imported, replace(imported, told={})) == []
    assert varied(imported, run("a", workload=WorkloadConfig(seed=9))) == ["workload.seed"]


def test_swept_labels_are_columns() -> None:
    one, other = (run(f"site={site}", labels={"site": site}) for site in ("a", "b"))
    assert varied(one, other) == ["labels.site"]
    assert varied(one, run("none")) == ["labels.site"]


@pytest.mark.parametrize("result", [*make_results(10), *sweep()], ids=lambda one: one.id)
def test_a_line_tells_what_its_result_tells(result: Result) -> None:
    whole, keys = config_keys(msgspec.json.encode(result))
    found = asked(result.name, msgspec.json.decode(keys), whole=whole)
    assert found == asked_of(result)
    if result.config is not None:
        flat = flat_values(result.config)
        assert all(found.get(key) == flat[key] for key in ("workload.seed", "measurement.sample_hz", "engine.name"))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=4) | st.lists(inner, max_size=3), max_leaves=12,
), st.text(max_size=30))  # fmt: skip
def test_configs_of_any_version_are_read(tree: object, name: str) -> None:
    config = tree if isinstance(tree, dict) else {"labels": {"x": "y"}, "odd": tree}
    whole, keys = config_keys(msgspec.json.encode({"id": "x", "name": name, "config": config, "schema": 2}))
    found = asked(name, msgspec.json.decode(keys), whole=whole)
    again = Variation()
    again.add(found, {})
    again.add(AskedSettings(), {})
    assert len(again.found()) <= 12
    assert msgspec.json.decode(msgspec.json.encode(found), type=AskedSettings).swept == found.swept


def test_columns_that_are_asked_for(tmp_path: Path) -> None:
    assert RUN.power
    out = written(tmp_path, [run("a")])
    head = told(out, "--columns", "run,tok/s/W,GPU util,temp max,peak tok/s,workload.seed")[0]
    assert [word for word in head.split("  ") if word] == [
        "name", "tok/s/W", "GPU util", "temp max", "peak tok/s", "seed",
    ]  # fmt: skip
    assert told(out, "--columns", "+workload.seed")[0].split()[-1] == "seed"
    assert told(out, "--csv", "--columns", "id,workload.seed") == ["id,workload.seed", "run-a,0"]
    refused = CliRunner().invoke(app, ["results", "--out", str(out), "--columns", "speed"])
    assert 'there is no column "speed"' in str(refused.exception)


def test_columns_are_found_by_any_of_their_headings_and_near_ones_are_named(tmp_path: Path) -> None:
    out = written(tmp_path, [run("a")])
    told(out, "--columns", "ttft p50,p50_tpot_s,B,vram %,J/tok,throughput")
    head = told(out, "--csv", "--columns", "ttft p50,p50_tpot_s,B,vram %,J/tok,throughput")[0]
    assert head == "p50_ttft_s,p50_tpot_s,batch_size,vram_share,joules_per_token,output_throughput"
    refused = CliRunner().invoke(app, ["results", "--out", str(out), "--columns", "ttft p5"])
    assert "Called alike: TTFT p50, TTFT p99" in str(refused.exception)
    assert "Called alike" not in str(CliRunner().invoke(app, ["results", "--columns", "\x1bqqqqq"]).exception)


def test_the_columns_of_a_baseline_can_be_named_with_one(tmp_path: Path) -> None:
    out = written(tmp_path, [run("a"), run("b")])
    assert told(out, "--csv", "--columns", "id,gain", "--baseline", "run-a")[0] == "id,gain,times_baseline"
    assert told(out, "--columns", "id,X BASE,gain", "--baseline", "run-a")[0].split() == ["run", "x", "base", "gain"]
    assert told(out, "--columns", "+gain", "--baseline", "run-a")[0].split().count("gain") == 1
    refused = CliRunner().invoke(app, ["results", "--out", str(out), "--columns", "id,Gain"])
    assert "gain is against another run's throughput" in str(refused.exception)
    assert "--baseline RUN" in str(refused.exception)


def test_the_gain_over_a_baseline_says_how_sure_it_is(tmp_path: Path) -> None:
    """100 tok/s within 99 and 101: 150 is 50 % more, 101 within 98 and 104 is not clear, another batch is unlike."""

    def of(name: str, speed: float, low: float, high: float, **tables: Any) -> Result:
        result = run(name, **tables)
        interval = msgspec.convert({"low": low, "high": high}, type(RUN.summary.output_throughput_interval))
        return replace(
            result, summary=replace(result.summary, output_throughput=speed, output_throughput_interval=interval)
        )

    runs = [
        of("base", 100.0, 99.0, 101.0), of("fast", 150.0, 149.0, 151.0), of("odd", 101.0, 97.0, 105.0),
        of("big", 200.0, 199.0, 201.0, workload=WorkloadConfig(batch_size=2)),
    ]  # fmt: skip
    out = written(tmp_path, runs)
    found = told(out, "--columns", "name", "--baseline", "run-base")
    assert [line.split()[-1] for line in found[1:]] == ["base", "+50.0%", "~+1.0%", "(+100.0%)"]
    assert [line.split()[-2] for line in found[2:]] == ["1.50x", "~1.01x", "(2.00x)"]
