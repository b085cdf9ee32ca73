from typing import Any

import pytest
from msgspec.structs import replace
from support.results import make_results

from infertui.analysis.energy import SHORT, energy_rows, with_short_energy
from infertui.analysis.summary_text import figures
from infertui.metrics.reads import beyond_idle, error_share, gross
from infertui.metrics.wording import joules_text, provenance
from infertui.results.result import PowerFigures, Result

POWER = PowerFigures(
    "gpu", "counter", window_s=10.0, energy_j=3000.0, mean_power_w=300.0, max_power_w=350.0, idle_power_w=100.0,
    joules_per_token=6.0, joules_per_token_above_idle=4.0, tokens_per_s_per_w=1 / 6, samples=100, largest_gap_s=0.12,
)  # fmt: skip


def result(power: PowerFigures | None = POWER, **summary: Any) -> Result:
    made = next(made for made in make_results(50) if made.state == "finished" and made.summary.output_throughput)
    counts = {"output_tokens": 500, "requests": 22, "failed": 2, **summary}
    return replace(made, power=power, summary=replace(made.summary, **counts))


def test_figures_worked_by_hand() -> None:
    # 3000 J on 500 tokens of the 20 requests that did not fail; 10 s at 100 W at rest leave 2000 J.
    assert gross(result()).joules_per_request == 150.0
    assert beyond_idle(result()).joules_per_token == 4.0
    assert beyond_idle(result()).tokens_per_s_per_w == 0.25
    assert energy_rows(result()) == [
        (
            "energy",
            "3,000 J in 10.0 s (counter of the driver; 100 samples, largest gap 120 ms)"
            "  mean 300 W, max 350 W, idle 100 W",
        ),
        (
            "efficiency",
            "6.00 J/tok (4.00 above idle)  150 J/request (100 above idle)  0.167 tok/s/W (0.250 above idle)",
        ),
    ]
    assert dict(figures(result()))["efficiency"].startswith("6.00 J/tok")


def test_what_was_stored_and_what_is_derived_agree() -> None:
    assert gross(result()).joules_per_token == POWER.joules_per_token
    assert beyond_idle(result()).joules_per_token == POWER.joules_per_token_above_idle
    assert gross(result()).tokens_per_s_per_w == pytest.approx(POWER.tokens_per_s_per_w)


def test_without_energy_there_is_the_reason_and_no_number() -> None:
    none = PowerFigures("cpu-package", reason="this machine gives no readable RAPL counter")
    assert energy_rows(result(none)) == [("energy", "n/a: this machine gives no readable RAPL counter")]
    assert energy_rows(result(None)) == [("energy", "n/a")]
    unknown = replace(POWER, idle_power_w=None)
    assert energy_rows(result(unknown))[1] == ("efficiency", "6.00 J/tok  150 J/request  0.167 tok/s/W")


def test_a_figure_that_another_program_told_is_shown_as_far_as_it_goes() -> None:
    told = PowerFigures("gpu", joules_per_token=0.5, reason="its file tells no more")
    assert energy_rows(result(told)) == [
        ("energy", "n/a: its file tells no more"),
        ("efficiency", "0.500 J/tok"),
    ]


@pytest.mark.parametrize(
    ("power", "said"),
    [
        (POWER, "counter of the driver; 100 samples, largest gap 120 ms"),
        (
            replace(POWER, source="integral", samples=1, reason="this device has no energy counter"),
            "integral of power samples; 1 sample, largest gap 120 ms; this device has no energy counter",
        ),
        (replace(POWER, domain="cpu-package", samples=0), "RAPL counter of the CPU packages"),
        (PowerFigures("gpu"), "no source"),
    ],
)
def test_where_it_comes_from(power: PowerFigures, said: str) -> None:
    assert provenance(power) == said


def test_too_short_a_window_is_told_and_marked_wherever_its_energy_stands() -> None:
    """0.48 s at 408 W: the counter may be off by 0.1 of 0.48 s."""
    short = result(replace(POWER, window_s=0.48, energy_j=195.84, error_j=40.8, mean_power_w=408.0))
    assert error_share(short) == pytest.approx(0.1 / 0.48)
    assert joules_text(short, 0.3264) == "0.33+/-21%"
    assert dict(energy_rows(short))["energy"].startswith("196 J +/- 21 % in 480 ms (counter")
    marked = with_short_energy(short)
    assert marked.verdict.marks[-1] == SHORT
    assert "energy is known to 21 % only: 480 ms were measured" in marked.verdict.notes[-1]
    assert "measurement.min_seconds=5" in marked.verdict.notes[-1]
    assert with_short_energy(marked).verdict.marks == marked.verdict.marks


def test_what_was_kept_before_it_was_told_follows_from_the_window() -> None:
    old = replace(POWER, window_s=1.0)
    assert error_share(result(old)) == pytest.approx(0.1)
    assert error_share(result(replace(old, source="integral"))) is None
    assert error_share(result(replace(old, domain="cpu-package"))) is None
    assert error_share(result(None)) is None
    long = result()
    assert with_short_energy(long) == long
    assert joules_text(long, 6.0) == "6.00"
    assert joules_text(long, None) == "n/a"
