"""The lines of a run without a terminal."""

import io

import pytest
from support.batches import even_batch

from infertui.cli.running.plain import PlainView
from infertui.runner.events import BatchMeasured, PhaseEntered, ProgressUnit, RunStarted


@pytest.mark.parametrize("unit", ["batch", "request"])
def test_what_failed_is_called_what_the_run_counts(unit: ProgressUnit) -> None:
    stream = io.StringIO()
    view = PlainView(stream)
    view.take(RunStarted("r", "n", "f", 1, 1, 4, 10, 1, unit=unit))
    view.take(PhaseEntered("r", 0, "measure"))
    view.take(BatchMeasured("r", even_batch(0.5, index=2, error="it broke")))
    assert f"  measure {unit} 3 failed: it broke\n" in stream.getvalue()
