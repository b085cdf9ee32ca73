"""The steps of one load: what was asked in each, and over which requests and which time its figures are."""

import math

from msgspec import Struct

from infertui.measure.load.columns import Columns
from infertui.measure.load.figures import LoadFigures, Steadiness, StepFigures, Window
from infertui.measure.load.steady import steadiness
from infertui.measure.summary import Summary


class AskedStep(Struct, frozen=True):
    """A level from `start` on, before `end`, in seconds after the load began; infinite: it had no end."""

    level: float
    start: float
    end: float


def reached(steps: tuple[AskedStep, ...], stop: float) -> list[AskedStep]:
    """Those that had begun, up to when nothing was sent any more; pauses are none."""
    return [
        AskedStep(step.level, step.start, min(step.end, stop)) for step in steps if step.level and step.start < stop
    ]


def around(columns: Columns, step: AskedStep) -> Columns:
    """The requests that were under way in a step."""
    return columns.where((columns.sent < step.end) & (columns.end > step.start))


def settled_in(columns: Columns, step: AskedStep) -> Steadiness:
    """Since when the load was settled in a step; where nothing tells, its window is all of the step."""
    found = steadiness(columns, step.start, step.end)
    window = found.window
    if found.steady is None or window is None or not (columns.end[columns.end <= step.end] > window.start).any():
        return Steadiness(found.steady, found.reason, Window(step.start, step.end), found.moved, found.change)
    return found


def concurrency_of(step: AskedStep) -> int:
    """Requests in flight that a level is."""
    return math.ceil(step.level)


def step_figures(step: AskedStep, summary: Summary, load: LoadFigures) -> StepFigures:
    """What is told of a step, of the figures of its window."""
    return StepFigures(
        level=step.level,
        start=step.start,
        end=step.end,
        window=load.window,
        steadiness=load.steadiness,
        sent=load.sent,
        requests=summary.requests,
        failed=summary.failed,
        request_throughput=load.request_throughput,
        output_throughput=summary.output_throughput,
        offered_rate=load.offered_rate,
        in_flight=load.in_flight,
        ttft=summary.ttft,
        tpot=summary.tpot,
        latency=summary.latency,
        goodput=load.goodput,
        attainment=load.attainment,
    )
