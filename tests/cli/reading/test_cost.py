"""`infertui cost` as its users call it."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results, write_results
from support.runs import clean_environment, infertui

from infertui.analysis.cost.total import HEADROOM, PUE, parse_percent
from infertui.cli.main import main
from infertui.cli.reading.cost import cost as command
from infertui.results.result import Result

SIMULATOR = ("run", "--engine", "simulator", "--iterations", "3", "--osl", "8", "--ui", "plain")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in whose user has no prices of their own."""
    (tmp_path / "config").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


Cost = Callable[..., str]


@pytest.fixture
def cost(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cost:
    """The command in this process: what it prints, on standard error where it is to fail."""

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["infertui", "cost", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        assert (caught.value.code or 0) == code, said.err
        return said.err if code else said.out

    return call


def own_prices(home: Path, text: str) -> None:
    (home / "config" / "infertui").mkdir(exist_ok=True)
    (home / "config" / "infertui" / "prices.toml").write_text(text, encoding="utf-8")


def on_h200(home: Path, count: int = 2) -> list[str]:
    """Ids of that many good runs on an H200."""
    write_results(home / "reports", 30)
    found = [
        made.id
        for made in make_results(30)
        if made.state == "finished" and made.verdict.valid and made.power and made.power.domain == "gpu"
    ]
    return found[:count]


def test_forty_percent_is_48_000_a_year_when_it_is_forty_percent_of_the_cost(cost: Cost) -> None:
    lines = cost("--gain", "40%", "--budget", "10000", "--currency", "EUR").splitlines()
    assert lines[0].startswith("40% more throughput")
    assert "34,286 EUR a year" in lines[0]
    assert "28.6% less" in lines[0]
    assert "48,000 EUR a year before" in lines[1]
    assert lines[2].startswith("40% lower cost")
    assert "48,000 EUR a year; it takes 66.7% more throughput" in lines[2]
    found = json.loads(cost("--gain", "40%", "--budget", "10000", "--json"))["gain"]
    assert found["lower_cost"]["yearly"] == pytest.approx(48_000)
    assert found["more_throughput"]["yearly"] == pytest.approx(34_285.7, abs=0.1)


def test_eight_h100_bought_or_rented(cost: Cost) -> None:
    text = cost("--purchase", "8x H100", "--gpu-hour", "3.94")
    assert "276,115 USD a year" in text
    assert "121,105 USD a year" in text
    assert "128% more than the purchase" in text
    found = json.loads(cost("--purchase", "8x H100", "--gpu-hour", "3.94", "--json"))["purchase"]["found"]
    assert found["excess"] == pytest.approx(1.28, abs=0.001)
    dear = cost("--purchase", "100,000", "--gpus", "4", "--gpu", "L40S", "--watts", "3000", "--upkeep", "10%")
    assert "4 GPUs x 0.79 USD" in dear
    assert "10,000 USD" in dear


def test_another_gpu_than_the_run_had_is_bought_only_with_a_warning(home: Path, cost: Cost) -> None:
    (run,) = on_h200(home, 1)
    text = cost(run, "--purchase", "8x H100", "--load", "20k tok/s")
    assert "NOT COMPARABLE" in text
    assert "NVIDIA H200 is rented, NVIDIA H100 80GB HBM3 is bought" in text
    assert "kW (the most that it draws) x" in text, "not with the power of an H200"
    assert "NOT COMPARABLE" not in cost("--purchase", "8x H100")
    assert "NOT COMPARABLE" not in cost(run, "--purchase", "250000")


def test_runs_against_the_first(home: Path, cost: Cost) -> None:
    first, second = on_h200(home)
    text = cost(first, second, "--load", "20k tok/s", "--budget", "10000")
    head, row, *_ = text.splitlines()
    assert head.split()[:2] == ["run", "device"]
    assert row.startswith(first)
    assert "3.59 USD an hour of NVIDIA H200: RunPod" in text
    assert "kept free" in text
    rows = json.loads(cost(first, second, "--json"))["runs"]
    assert [one["id"] for one in rows] == [first, second]
    speeds = [one["output_throughput"] for one in rows]
    assert rows[1]["ratio"] == pytest.approx(speeds[0] / speeds[1])
    assert rows[0]["tokens"]["output"] == pytest.approx(3.59 / 3600 / speeds[0] * 1e6)


def test_one_run_in_sentences_and_as_markdown(home: Path, cost: Cost) -> None:
    (run,) = on_h200(home, 1)
    lines = cost(run[:-2], "--gpu-hour", "2.5", "--currency", "EUR", "--electricity", "0.30").splitlines()
    assert lines[0].split(maxsplit=1) == ["price", "2.50 EUR per GPU-hour (as given)"]
    assert any("0.30 EUR/kWh (as given), PUE 1.56" in line for line in lines)
    markdown = cost(run, "--markdown").splitlines()
    assert markdown[0].startswith("| run | device |")
    assert markdown[2].startswith(f"| {run} | NVIDIA H200 | 3.59 USD |")


def test_own_prices_come_first_and_errors_name_the_key(home: Path, cost: Cost) -> None:
    (run,) = on_h200(home, 1)
    own_prices(home, '[[gpu]]\nname = "NVIDIA H200"\nprice = 1.25\ncurrency = "EUR"\n')
    assert "1.25 EUR per GPU-hour (your " in cost(run)
    listed = cost("--prices")
    assert "1.25 EUR" in listed
    assert "3.59 USD" not in listed
    assert json.loads(cost("--prices", "--json"))["gpus"][0]["price"] == 1.25
    own_prices(home, '[[gpu]]\nname = "NVIDIA H200"\nprice = "cheap"\ncurrency = "EUR"\n')
    said = cost(run, code=2)
    assert "gpu 'NVIDIA H200'.price: 'cheap' is not allowed; allowed: a number" in said
    assert str(home / "config" / "infertui" / "prices.toml") in said


def test_hostile_names_are_inert(home: Path, cost: Cost) -> None:
    made = next(one for one in make_results(9) if one.state == "finished" and one.loaded)
    assert made.loaded is not None
    hostile = replace(made, id="x\x1b]0;owned\x07|*y", loaded=replace(made.loaded, device_name="a\x1b[31m|b<i>"))
    (home / "reports").mkdir()
    (home / "reports" / "results.jsonl").write_bytes(msgspec.json.encode(hostile) + b"\n")
    for options in ((), ("--markdown",)):
        text = cost("x", *options, "--gpu-hour", "1")
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "a\\|b\\<i\\>" in cost("x", "--markdown")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "there is nothing to work out"),
        (("nowhere",), "there is no run 'nowhere' in reports"),
        (("--gain", "40%"), "--gain needs a --budget"),
        (("--gain", "40", "--budget", "1"), "--gain: '40' is not understood"),
        (("--load", "2000"), "--load needs a run, or --throughput"),
        (("--load", "lots", "--throughput", "1"), "the load 'lots' is not understood"),
        (("--currency", "euro", "--prices"), "--currency 'euro' is no currency"),
        (("--throughput", "9", "--gpu", "H"), "--gpu 'H' is any of"),
        (("--throughput", "9", "--gpu", "B200"), "--gpu 'B200' is not in the list of prices"),
        (("--purchase", "a dream"), "--purchase 'a dream' is neither a price nor a server"),
        (("--purchase", "nan"), "--purchase 'nan' is no price"),
        (("--purchase", "9"), "there is no price of a GPU-hour"),
        (("--purchase", "8x H100", "--gpu-hour", "3", "--currency", "EUR"), "prices are in EUR and USD"),
        (("--purchase", "8x H100", "--gpu-hour", "0"), "one of the prices is 0"),
        (("--markdown",), "--markdown is a table of runs"),
        (("--throughput", "0", "--gpu-hour", "1"), "--throughput 0 has no cost per token"),
        (("--throughput", "inf", "--gpu-hour", "1"), "--throughput inf is more than anything can be"),
        (("--gain", "40%", "--budget", "inf"), "--budget inf is more than anything can be"),
        (("--purchase", "9", "--gpu-hour", "inf"), "--gpu-hour inf is more than anything can be"),
        (("--json", "--markdown", "x"), "exclude each other"),
        (("x", "--gpu", "L4"), "are for when there is no run"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(cost: Cost, arguments: tuple[str, ...], said: str) -> None:
    assert said in cost(*arguments, code=2)


def test_the_defaults_are_those_of_the_screen() -> None:
    options = inspect.signature(command).parameters
    assert options["pue"].default == PUE
    assert parse_percent(options["headroom"].default, "--headroom", low=0, high=1) == HEADROOM


def test_a_measured_run_through_to_its_cost(home: Path, cost: Cost, nvml_stub: Path) -> None:
    """A driver library whose power is constant: energy, then electricity, then money, from one run."""
    stub = {"LD_LIBRARY_PATH": str(nvml_stub), "NVML_STUB_POWER_W": "360", "NVML_STUB_NAME": "NVIDIA H200"}
    listed = infertui("gpus", "--json", cwd=home, environment=clean_environment(**stub))
    uuid = _uuid(json.loads(listed.stdout))
    done = infertui(
        *SIMULATOR, "--set", f"engine.simulator.gpu_uuid={uuid}", "--set", "engine.simulator.step_ms=40",
        cwd=home, environment=clean_environment(**stub),
    )  # fmt: skip
    assert "counter of the driver" in done.stdout
    assert "J/request" in done.stdout
    result = msgspec.json.decode((home / "reports" / "results.jsonl").read_bytes(), type=Result)
    assert result.power is not None
    rate = result.summary.output_throughput
    assert rate is not None
    found = json.loads(cost(result.id, "--gpu-hour", "3.6", "--pue", "1", "--electricity", "1", "--json"))["runs"][0]
    assert found["tokens"]["output"] == pytest.approx(0.001 / rate * 1e6)
    # 360 W at the measured rate: kWh of a million tokens.
    window_rate = (result.summary.output_tokens or 0) / (result.power.window_s or 0)
    assert found["electricity"] == pytest.approx(360 / window_rate * 1e6 / 3.6e6, rel=0.02)
    assert "what that machine costs an hour is not known; --gpu-hour PRICE gives it" in cost(result.id)


def _uuid(told: Any) -> str:
    gpus = told["gpus"]
    return str(gpus[0]["info"]["uuid"])
