"""The dashboards for Grafana: JSON by Grafana's own types, each query by a Prometheus that scraped real runs."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemons import Home, home, play, wait_until
from support.dashboard_pictures import draw
from support.exporters import exporter, one_value
from support.prometheus import Prometheus, needs, prometheus
from support.runs import simulated

from infertui import paths
from infertui.api.exporter.dashboards import DASHBOARDS, DashboardPanel, DashboardPlan, annotation_queries, document
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.config.sweep import Variant
from infertui.errors import UsageError
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.runner.control import Submission

PRICES = '[[gpu]]\nname = "simulator"\nprice = 3.6\ncurrency = "EUR"\n'
"""A listed price of what the simulator calls its device."""


@pytest.fixture(name="place", scope="module")
def _place() -> Iterator[Home]:
    with home() as found:
        yield found


@pytest.fixture(name="scraped", scope="module")
def _scraped(place: Home, nvml_stub: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has scraped a run on a GPU to its end, and a load that is under way."""
    needs("prometheus")
    place.environment |= {"LD_LIBRARY_PATH": str(nvml_stub), "NVML_STUB_GPUS": "2"}
    prices = place.folder / ".config" / "infertui" / "prices.toml"
    prices.parent.mkdir(parents=True)
    prices.write_text(PRICES, encoding="utf-8")
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        MockServer(MockOptions(ttft_s=0.02, itl_s=0.002, osl=8)) as mock,
        place.serving(),
        exporter(place) as one,
        prometheus(folder, one.target) as server,
    ):
        (uuid, *_) = [labels["UUID"] for labels, _ in one.ask().told["DCGM_FI_DEV_GPU_UTIL"]]
        on_gpu = simulated(
            engine__simulator__virtual_time=False, engine__simulator__gpu_uuid=uuid, engine__simulator__ttft_ms=150.0,
            workload__output_len=16, measurement__iterations=8,
        )  # fmt: skip
        submit(place, on_gpu)
        server.until("infertui_run_progress_ratio > 0")
        wait_until(lambda: one_value(one.ask().told, "infertui_queue_entries", state="finished") == 1)
        submit(place, on_server(mock.url))
        server.until("infertui_load_itl_seconds")
        server.until("infertui_result_joules_per_token")
        server.until("count_over_time(infertui_load_failed_requests_total[10s]) > 10")
        yield server


def submit(place: Home, config: Config) -> None:
    play(place.client.submit(Submission("dashboards", (Variant("", config, {}),), str(place.reports))))


def on_server(url: str) -> Config:
    flags: dict[str, object] = {
        "target.kind": "endpoint", "target.url": url, "load.concurrency": 4, "load.slo": "ttft.p99<200ms itl<50ms",
        "workload.output_len": 8, "measurement.min_seconds": 600.0, "measurement.max_seconds": 600.0,
    }  # fmt: skip
    return load(None, environ={}, flags={key: ("test", value) for key, value in flags.items()}).config


def queries(plan: DashboardPlan, *panels: DashboardPanel) -> list[tuple[str, str]]:
    """Queries of these panels, or of all, with what Grafana puts in the place of variables."""
    return [
        (panel.title, re.sub(r"\$\{?(\w+)\}?", lambda found: "10s" if found[1] == "__rate_interval" else ".*",
                             query.expression))
        for panel in (panels or plan.panels)
        for query in panel.queries
    ]  # fmt: skip


@pytest.mark.parametrize("plan", DASHBOARDS, ids=lambda plan: plan.name)
def test_each_query_has_data_of_a_real_run(plan: DashboardPlan, scraped: Prometheus) -> None:
    empty = [(title, query) for title, query in queries(plan) if not scraped.range(query)]
    assert empty == []


def test_annotations_and_variables_have_data(scraped: Prometheus) -> None:
    assert all(scraped.range(query) for query in annotation_queries())
    for plan in DASHBOARDS:
        for query in plan.variables.values():
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
            assert found is not None
            assert any(found[2] in one["metric"] for one in scraped.range(found[1]))


@pytest.mark.parametrize("plan", DASHBOARDS, ids=lambda plan: plan.name)
def test_a_picture_is_drawn_of_what_it_shows(plan: DashboardPlan, scraped: Prometheus, tmp_path: Path) -> None:
    """INFERTUI_PICTURES=DIR keeps them: docs/dashboards was drawn so."""
    found = [
        [
            (query.legend.replace("{{", "{").replace("}}", "}").format_map(defaultdict(str, one["metric"])),
             [(float(at), float(value)) for at, value in one["values"]])
            for query, (_, asked) in zip(panel.queries, queries(plan, panel), strict=True)
            for one in scraped.range(asked)
        ]
        for panel in plan.panels
    ]  # fmt: skip
    path = Path(os.environ.get("INFERTUI_PICTURES", tmp_path)) / f"{plan.name}.png"
    draw(plan, found, path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("plan", DASHBOARDS, ids=lambda plan: plan.name)
def test_it_is_a_dashboard_to_grafanas_own_types(plan: DashboardPlan) -> None:
    model = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason="grafana-foundation-sdk is missing")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    told = document(plan)
    back = json.loads(json.dumps(model.Dashboard.from_json(told), cls=encoder.JSONEncoder))
    for key in ("uid", "title", "schemaVersion", "tags"):
        assert back[key] == told[key]
    assert [panel["title"] for panel in back["panels"]] == [panel.title for panel in plan.panels]
    assert [[target["expr"] for target in panel["targets"]] for panel in back["panels"]] == [
        [query.expression for query in panel.queries] for panel in plan.panels
    ]


@pytest.mark.parametrize("plan", DASHBOARDS, ids=lambda plan: plan.name)
def test_panels_do_not_overlap(plan: DashboardPlan) -> None:
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in document(plan)["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)


def test_those_that_are_shipped_are_those_that_are_made(place: Home) -> None:
    done = place.command("exporter", "--dashboards", "made")
    made = {path.name: path.read_text(encoding="utf-8") for path in (place.folder / "made").iterdir()}
    assert len(done.stdout.splitlines()) == len(DASHBOARDS)
    shipped = {path.name: path.read_text(encoding="utf-8") for path in (paths.data() / "grafana").iterdir()}
    assert shipped == made, "infertui exporter --dashboards data/grafana"


def test_a_place_where_none_can_be_written(place: Home) -> None:
    (place.folder / "file").touch()
    done = place.command("exporter", "--dashboards", "file/x", code=UsageError.exit_code)
    assert "--dashboards file/x: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr
