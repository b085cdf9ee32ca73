"""A real Prometheus that scrapes a real exporter."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemons import Home, home
from support.exporters import exporter
from support.prometheus import complaints, prometheus

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


@pytest.fixture(name="place")
def _place() -> Iterator[Home]:
    with home() as found:
        yield found


def test_what_dashboards_for_dcgm_ask_is_answered(place: Home, nvml_stub: Path, tmp_path: Path) -> None:
    with (
        exporter(place, stub=nvml_stub, gpus=2, power_w=250, util=73) as one,
        prometheus(tmp_path, one.target) as server,
    ):
        assert complaints(one.ask().body) == []
        found = server.until('sum(DCGM_FI_DEV_POWER_USAGE{gpu=~"0|1"})')
        assert float(found[0]["value"][1]) == 500
        found = server.until("avg by (modelName, gpu) (DCGM_FI_DEV_GPU_UTIL)")
        assert {one["metric"]["gpu"]: one["value"][1] for one in found} == {"0": "73", "1": "73"}
        assert server.query("DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)")


def test_a_token_is_given_by_prometheus_as_authorization(place: Home, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN, encoding="utf-8")
    path.chmod(0o600)
    settings = {"authorization": {"credentials_file": str(path)}}
    with (
        exporter(place, "--port", "0", "--token-file", str(path)) as one,
        prometheus(tmp_path, one.target, settings) as server,
    ):
        assert server.until("up == 1")
        assert server.until("infertui_runner_up == 0")
