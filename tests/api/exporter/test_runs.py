"""What a runner tells of its queue, its runs and their loads: by values, from snapshots and rows of results."""

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace
from support.exporters import Told, parsed
from support.exporters import one_value as value
from support.fake_control import FACTS, FakeControl
from support.runs import simulated
from support.scenes import entry, sample

from infertui.api.exporter.figures import family_of, metrics_told
from infertui.api.exporter.page import RunnerPage
from infertui.api.exporter.runs import ENDED_RUNS
from infertui.errors import StoreError
from infertui.metrics.registry import stored
from infertui.results.table import ResultPage, ResultRow
from infertui.runner.control import Snapshot
from infertui.runner.events import LoadProgressed, PhaseEntered, Progressed, RunStarted
from infertui.runner.execution.progress import RunProgress
from infertui.telemetry.readings import GpuInfo

STAMP = "2026-05-01T09:00:00+00:00"
T0 = 1777626000.0
"""That stamp, in seconds since 1970."""


def told(control: FakeControl) -> Told:
    async def ask() -> bytes:
        return await RunnerPage(control, {}).text()

    return parsed(asyncio.run(ask()))


def runner(**snapshot: Any) -> FakeControl:
    control = FakeControl()
    control.told = Snapshot(**{"number": 0, "runner": FACTS, "paused": False, "entries": (), **snapshot})
    return control


def row(run: str, **figures: Any) -> ResultRow:
    return ResultRow(id=run, name="n", state="finished", started=STAMP, valid=True, **figures)


def load(run: str, **values: Any) -> LoadProgressed:
    known: dict[str, Any] = {
        "t_ns": 1, "phase": "measure", "elapsed": 12.5, "level": 4.0, "by": "concurrency", "in_flight": 3, "sent": 20,
        "done": 17, "failed": 2,
    }  # fmt: skip
    return LoadProgressed(run, **{**known, **values})


def test_a_runner_that_does_nothing() -> None:
    page = told(runner())
    assert value(page, "infertui_runner_up") == 1
    assert value(page, "infertui_info", version="0.0.test", Hostname="box") == 1
    assert value(page, "infertui_queue_entries", state="queued") == 0
    assert value(page, "infertui_queue_paused") == 0
    assert value(page, "infertui_queue_estimate_seconds") == 0
    assert not any(name.startswith(("infertui_run_", "infertui_load_", "infertui_result_")) for name in page)


def test_the_queue() -> None:
    entries = (
        entry(1, "finished"), entry(2, "running"), entry(3, "failed"), entry(4, estimate_s=40.0),
        entry(5, estimate_s=2.5),
    )  # fmt: skip
    page = told(runner(entries=entries, paused=True, clients=3, faults=("a", "b")))
    counts = {labels["state"]: count for labels, count in page["infertui_queue_entries"]}
    assert {state: count for state, count in counts.items() if count} == {
        "finished": 1, "running": 1, "failed": 1, "queued": 2,
    }  # fmt: skip
    assert value(page, "infertui_queue_paused") == 1
    assert value(page, "infertui_queue_estimate_seconds") == 42.5
    assert value(page, "infertui_runner_clients") == 3
    assert value(page, "infertui_runner_faults") == 2


def test_an_estimate_that_lacks_a_part_is_not_told() -> None:
    page = told(runner(entries=(entry(1, estimate_s=40.0), entry(2))))
    assert "infertui_queue_estimate_seconds" not in page


def test_a_run_by_its_info_and_its_times() -> None:
    page = told(runner(entries=(entry(1, "finished", name="bs=4"), entry(2, "running"))))
    info = next(labels for labels, _ in page["infertui_run_info"] if labels["run"] == "run-1")
    assert info["name"] == "bs=4"
    assert info["title"] == "demo"
    assert info["lane"] == "gpu0"
    assert info["target"] == "simulator"
    assert value(page, "infertui_run_under_way", run="run-1") == 0
    assert value(page, "infertui_run_under_way", run="run-2") == 1
    assert value(page, "infertui_run_start_time_seconds", run="run-1") == T0
    assert value(page, "infertui_run_end_time_seconds", run="run-1") == T0 + 60
    assert value(page, "infertui_run_end_time_seconds", run="run-2") is None
    assert value(page, "infertui_run_valid", run="run-1") == 1
    assert value(page, "infertui_run_valid", run="run-2") is None


def test_of_many_runs_the_last_are_told_and_those_under_way() -> None:
    entries = [entry(number, "finished") for number in range(1, 50)]
    page = told(runner(entries=(entry(99, "running"), *reversed(entries))))
    runs = {labels["run"] for labels, _ in page["infertui_run_info"]}
    assert runs == {"run-99", *(f"run-{number}" for number in range(50 - ENDED_RUNS, 50))}


def test_a_run_under_way() -> None:
    progress = RunProgress()
    progress.take(RunStarted("run-1", "n", "/f", 1, 1, wanted=10, output_len=4, batch_size=2))
    progress.take(PhaseEntered("run-1", 5, "measure"))
    progress.take(Progressed("run-1", 6, "measure", 0, 2, 4, 123.5, 0))
    page = told(runner(entries=(entry(1, "running"),), progress={"run-1": progress}))
    assert value(page, "infertui_run_phase", run="run-1", phase="measure") == 1
    assert value(page, "infertui_run_progress_ratio", run="run-1") == 0.05  # half of the first of ten batches
    assert value(page, "infertui_run_tokens_per_second", run="run-1") == 123.5
    assert value(page, "infertui_run_measured_total", run="run-1", unit="batch") == 0
    assert value(page, "infertui_run_ttft_seconds", run="run-1") is None


def test_a_load_with_its_honesty_meter_and_its_objectives() -> None:
    config = simulated()
    config = replace(config, load=replace(config.load, slo="ttft.p99<200ms itl<20ms"))
    progress = RunProgress()
    progress.take(load("run-1", ttft_p50=0.1, ttft_p99=0.15, lag=0.003, late=0.002, cpu=0.25, steady=True))
    page = told(runner(entries=(entry(1, "running", config=config),), progress={"run-1": progress}))
    expected = {
        "infertui_load_level": 4, "infertui_load_in_flight_requests": 3, "infertui_load_sent_requests_total": 20,
        "infertui_load_done_requests_total": 17, "infertui_load_failed_requests_total": 2,
        "infertui_load_elapsed_seconds": 12.5, "infertui_load_steady": 1, "infertui_load_client_lag_seconds": 0.003,
        "infertui_load_client_late_seconds": 0.002, "infertui_load_client_cpu_ratio": 0.25,
    }  # fmt: skip
    assert {name: value(page, name, run="run-1") for name in expected} == expected
    assert value(page, "infertui_load_ttft_seconds", statistic="p99") == 0.15
    assert "infertui_load_itl_seconds" not in page
    assert value(page, "infertui_load_objective_seconds", latency="ttft", statistic="p99") == 0.2
    assert value(page, "infertui_load_objective_seconds", latency="itl", statistic="every") == 0.02


def test_a_load_that_has_not_settled_and_one_that_cannot_be_told() -> None:
    for steady, shown in ((False, 0), (None, None)):
        progress = RunProgress()
        progress.take(load("run-1", steady=steady))
        page = told(runner(progress={"run-1": progress}))
        assert value(page, "infertui_load_steady") == shown
        assert value(page, "infertui_run_under_way", run="run-1") == 1  # a tuning session's has no entry


def test_figures_of_ended_runs_are_those_of_the_registry_and_the_cost_follows_from_a_listed_price() -> None:
    control = runner(entries=(entry(1, "finished"), entry(2, "running")))
    rows = (
        row("run-1", throughput=1000.0, ttft=0.02, vram=2**30, device="NVIDIA H100 80GB HBM3"),
        row("run-7", ttft=1.0),
    )
    control.answers["results"] = ResultPage(total=2, matching=2, offset=0, rows=rows)
    page = told(control)
    assert value(page, "infertui_result_throughput_tokens_per_second", run="run-1") == 1000
    assert value(page, "infertui_result_ttft_seconds", run="run-1") == 0.02
    assert value(page, "infertui_result_vram_bytes", run="run-1") == 2**30
    assert "infertui_result_joules_per_token" not in page
    ((labels, cost),) = page["infertui_result_cost_per_million_output_tokens"]
    assert labels == {"run": "run-1", "currency": "USD"}
    assert cost == pytest.approx(2.69 / 3.6)  # dollars an hour, over 3.6 million tokens an hour


def test_results_are_read_once_and_again_when_another_run_has_ended() -> None:
    control = runner(entries=(entry(1, "finished"),))

    async def scenario() -> None:
        page = RunnerPage(control, {})
        for _ in range(5):
            await page.text()
            await asyncio.sleep(0)  # the reading is beside it
        assert [name for name, _ in control.calls].count("results") == 1
        control.told = replace(control.told, entries=(*control.told.entries, entry(2, "failed")))
        for _ in range(5):
            await page.text()
            await asyncio.sleep(0)  # the reading is beside it
        assert [name for name, _ in control.calls].count("results") == 2

    asyncio.run(scenario())


def test_a_reports_folder_that_cannot_be_read_costs_its_figures_alone() -> None:
    control = runner(entries=(entry(1, "finished"),))
    control.failures["results"] = StoreError("gone")
    page = told(control)
    assert value(page, "infertui_run_valid", run="run-1") == 1
    assert not any(name.startswith("infertui_result_") for name in page)


def test_gpus_of_the_runners_last_sample() -> None:
    infos = (GpuInfo(0, "GPU-0", "NVIDIA A"), GpuInfo(1, "GPU-1", "NVIDIA A"))
    samples = (sample(infos, 0), sample(infos, 1, busy=1))
    page = told(runner(runner=replace(FACTS, gpus=infos), samples=samples))
    assert [labels["Hostname"] for labels, _ in page["DCGM_FI_DEV_POWER_USAGE"]] == ["box", "box"]
    latest = {reading.uuid: reading.power_w for reading in samples[-1].gpus}
    assert {labels["UUID"]: watts for labels, watts in page["DCGM_FI_DEV_POWER_USAGE"]} == latest


@pytest.mark.parametrize("metric", metrics_told(), ids=lambda metric: metric.key)
def test_each_number_of_the_registry_has_a_family_with_its_unit_in_words(metric: Any) -> None:
    assert re.fullmatch(r"infertui_result_[a-z][a-z0-9_]*", family_of(metric).name)
    assert metric.help in family_of(metric).help


def test_all_numbers_of_the_index_are_told() -> None:
    numbers = {metric.key for metric in stored() if metric.unit.kind not in ("text", "moment", "length")}
    assert {metric.key for metric in metrics_told()} == numbers


def test_no_id_of_a_request_is_on_a_page() -> None:
    progress = RunProgress()
    progress.take(load("run-1"))
    page = told(runner(entries=(entry(1, "running"),), progress={"run-1": progress}))
    names = {name for series in page.values() for labels, _ in series for name in labels}
    assert names <= {"run", "name", "title", "model", "target", "lane", "bench", "state", "phase", "unit", "by",
                     "statistic", "latency", "version", "Hostname"}  # fmt: skip


def test_a_scraper_does_not_keep_the_runner_alive() -> None:
    from litestar.testing import TestClient

    from infertui.api.http import create_app
    from infertui.api.stream import Presence

    async def made() -> Presence:
        return Presence()

    presence = asyncio.run(made())
    touched: list[str] = []
    presence.touch = lambda: touched.append("touched")  # type: ignore[method-assign]
    with TestClient(create_app(runner(), presence, identity="one")) as client:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert value(parsed(answer.content), "infertui_runner_up") == 1
        assert touched == []
        client.get("/v1/snapshot")
        assert touched == ["touched"]
