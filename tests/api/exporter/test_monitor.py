"""What is shipped for a Prometheus: its configuration and rules, by its own tool and by the names that there are."""

import re
import subprocess

import pytest
import yaml
from support.prometheus import needs

from infertui import paths
from infertui.api.exporter.access import PORT
from infertui.api.exporter.gpus import OF_GPUS, THROTTLED
from infertui.api.exporter.runs import OF_LOADS, OF_RUNNER, OF_RUNS
from infertui.telemetry.readings import THROTTLE_REASONS

FOLDER = paths.data() / "monitor"
NAMES = {family.name for family in (*OF_GPUS, *OF_RUNNER, *OF_RUNS, *OF_LOADS)}


@pytest.mark.parametrize("what", [("config", "prometheus.yml"), ("rules", "rules.yml")])
def test_prometheus_takes_it(what: tuple[str, str]) -> None:
    kind, name = what
    done = subprocess.run(
        [needs("promtool"), "check", kind, str(FOLDER / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_scrapes_where_the_exporter_is() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{PORT}"]}]


def test_rules_ask_for_what_is_told() -> None:
    (group,) = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))["groups"]
    asked = [rule["expr"] for rule in group["rules"]]
    assert len(asked) > 3
    assert {name for one in asked for name in re.findall(r"infertui_\w+", one)} <= NAMES
    (throttled,) = [one for one in asked if THROTTLED.name in one]
    reasons = re.findall(r'reason=~"([^"]+)"', throttled)[0].split("|")
    assert set(reasons) <= set(THROTTLE_REASONS.values())
