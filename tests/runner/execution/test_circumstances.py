"""Violations are held against the stretch over which the driver counted them, of new results and kept ones alike."""

import pytest
from support.runs import simulated

from infertui.measure.validity import judge
from infertui.results.result import DeviceFigures, PowerFigures
from infertui.runner.execution.circumstances import circumstances


def texts(held_s: float, window_s: float | None, span_s: float | None) -> str:
    """What is said of a GPU held down so long, while batches took `window_s` of the `span_s` from first to last."""
    device = DeviceFigures(throttles=("power-cap",), violation_s={"thermal": held_s, "power": held_s})
    power = PowerFigures("gpu", window_s=window_s, span_s=span_s)
    config = simulated()
    verdict = judge([], circumstances(config, None, device, power), config.validity)
    return "; ".join((*verdict.invalid, *verdict.notes))


@pytest.mark.parametrize(
    ("held_s", "window_s", "span_s", "marked"),
    [
        (0.5, 10.0, 100.0, False),  # half a hundredth of the stretch, five of the batches' own time
        (1.5, 10.0, 100.0, True),
        (0.5, 10.0, 10.0, True),
        (0.5, 10.0, None, True),  # of before there was a span: the window was the stretch
        (0.05, 10.0, None, False),
        (0.5, None, None, False),
    ],
)
def test_the_share_is_of_the_whole_stretch(
    held_s: float, window_s: float | None, span_s: float | None, marked: bool
) -> None:
    assert ("clocks held down" in texts(held_s, window_s, span_s)) == marked


def test_the_time_at_the_power_limit_never_exceeds_what_it_is_told_of() -> None:
    assert "at its power limit for 40.0 of 100.0 s" in texts(40.0, 10.0, 100.0)
