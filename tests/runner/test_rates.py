"""The rate of sampling, when several have a wish."""

from infertui.runner.telemetry import WATCHED_HZ, SampleRates
from infertui.telemetry.sampler import IDLE_HZ, Sampler


def test_the_fastest_wish_counts_and_then_the_idle_rate() -> None:
    sampler = Sampler()
    rates = SampleRates(sampler)
    rates.ask("a", 5.0)
    rates.ask("b", 10.0)
    assert sampler.hz == 10.0
    rates.release("b")
    assert sampler.hz == 5.0
    rates.release("a")
    assert sampler.hz == IDLE_HZ


def test_who_looks_on_gets_more_at_rest_and_changes_nothing_that_is_measured() -> None:
    sampler = Sampler()
    rates = SampleRates(sampler)
    rates.watched(True)
    assert sampler.hz == WATCHED_HZ
    rates.ask("a run without samples", 0.0)
    assert sampler.hz == 0.0
    rates.release("a run without samples")
    assert sampler.hz == WATCHED_HZ
    rates.watched(False)
    assert sampler.hz == IDLE_HZ
