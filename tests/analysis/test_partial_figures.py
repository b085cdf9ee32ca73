"""The figures of a result of which a part is missing, as of another version's file: what there is stands, alone."""

import pytest
from msgspec.structs import fields, replace
from support.results import make_results

from infertui.analysis.summary_text import figures
from infertui.measure.quality import Agreement, Quality
from infertui.measure.statistics import Distribution
from infertui.results.result import DeviceFigures

MADE = next(result for result in make_results(50) if result.state == "finished")
DEVICE = DeviceFigures(
    vram_device_peak=3 << 30, vram_process=2 << 30, utilization_mean=87.0, utilization_max=99.0, temperature_min=40.0,
    temperature_max=61.0, sm_clock_min=1830.0, sm_clock_mean=1900.0, sm_clock_max=1980.0, throttles=("power-cap",),
    violation_s={"power": 0.5}, cpu_mean=12.0, ram_peak=1 << 30, samples=10, vram_process_by_gpu={"0": 2 << 30},
)  # fmt: skip
WHOLE = "GPU 87 %  1830-1980 MHz  40-61 C  clocks held by power-cap  CPU 12 %  RAM 1.00 GiB"
TIMES = Distribution(
    n=400, mean=0.2, median=0.2, std=0.01, minimum=0.1, maximum=0.4, p50=0.2, p90=0.3, p95=0.32, p99=0.35,
    supported=("p50", "p90", "p95", "p99"),
)  # fmt: skip
OPTIONAL = [field.name for field in fields(DeviceFigures) if field.default is None]


def device_line(device: DeviceFigures) -> str:
    return dict(figures(replace(MADE, device=device)))["device"]


@pytest.mark.parametrize(
    ("missing", "shown"),
    [
        ((), WHOLE),
        (("sm_clock_min",), WHOLE.replace("1830-1980", "1980")),
        (("sm_clock_max",), WHOLE.replace("1830-1980", "1830")),
        (("sm_clock_mean",), WHOLE),
        (("sm_clock_min", "sm_clock_max"), WHOLE.replace("1830-1980", "1900")),
        (("sm_clock_min", "sm_clock_mean", "sm_clock_max"), WHOLE.replace("1830-1980 MHz  ", "")),
        (("temperature_min",), WHOLE.replace("40-61", "61")),
        (("temperature_max",), WHOLE.replace("40-61", "40")),
        (("temperature_min", "temperature_max"), WHOLE.replace("40-61 C  ", "")),
    ],
)
def test_a_device_line_shows_the_ends_that_are_known(missing: tuple[str, ...], shown: str) -> None:
    assert device_line(replace(DEVICE, **dict.fromkeys(missing))) == shown


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_device_of_which_one_figure_is_missing_or_alone_is_shown(name: str) -> None:
    assert "None" not in device_line(replace(DEVICE, **{name: None}))
    assert "None" not in device_line(DeviceFigures(**{name: getattr(DEVICE, name)}))


@pytest.mark.parametrize("name", ["mean", "std", "maximum", "p50", "p90", "p95", "p99"])
def test_times_of_which_one_is_missing_are_shown_without_it(name: str) -> None:
    summary = replace(MADE.summary, ttft=replace(TIMES, **{name: None}))
    shown = dict(figures(replace(MADE, summary=summary)))["TTFT"]
    assert "None" not in shown
    label = {"std": "+/-", "maximum": "max"}.get(name, name)
    assert label not in shown
    assert "p90 300 ms" in shown or name == "p90"


def test_a_share_up_to_ties_without_the_gaps_behind_it_is_left_out() -> None:
    parted = Agreement(prompts=4, equal=2, share=0.625, diverged={"a": 0, "b": 5}, first_divergence=0)
    quality = Quality(reference="ref", agreement=parted, share_without_ties=0.75)
    assert "ties" not in dict(figures(replace(MADE, quality=quality)))["agreement"]


def test_memory_of_several_gpus_is_told_by_gpu() -> None:
    device = replace(DEVICE, vram_process=5 << 30, vram_process_by_gpu={"0": 2 << 30, "1": 3 << 30})
    assert (
        "GPU mem (process) 5.00 GiB (GPU 0 2.00 GiB, GPU 1 3.00 GiB)"
        in dict(figures(replace(MADE, device=device)))["memory"]
    )
