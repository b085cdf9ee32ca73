"""How a run ended, and its result: figures, verdict, limits, kept in its folder and in the index."""

import asyncio
import traceback

from msgspec.structs import replace

from infertui.analysis.energy import with_short_energy
from infertui.errors import InfertuiError, StoreError
from infertui.measure.summary import summarise
from infertui.measure.validity import judge
from infertui.results.jsonl import refusal
from infertui.results.result import Error, Result, State
from infertui.results.runs import RunFolder, Store
from infertui.runner.execution.circumstances import circumstances
from infertui.runner.execution.measuring import Measurement
from infertui.runner.execution.preparing import fallback_text
from infertui.runner.execution.reporter import RunReporter
from infertui.runner.peaks import KnownLimits, with_limits
from infertui.text import clean
from infertui.worker.failure import WorkerError


def state_of(ended: BaseException | None, *, failure: str, complete: bool, ended_by: str) -> tuple[State, Error | None]:
    """The state of a run that `ended` with this, and why it failed.

    `failure`: why it did though nothing was raised. `complete`: all was measured, so that being cancelled takes nothing
    away. `ended_by`: who or what cancelled it.
    """
    if isinstance(ended, asyncio.CancelledError):
        return ("finished" if complete else "interrupted"), None
    if ended_by and isinstance(ended, WorkerError) and "signal" in ended.details:
        return "interrupted", None  # what ends the runner was sent to the worker, too
    if isinstance(ended, InfertuiError):
        return "failed", error_of(ended)
    if isinstance(ended, Exception):
        return "failed", _internal_error(ended)
    return ("failed", Error("error", failure)) if failure else ("finished", None)


def result_of(begun: Result, measured: Measurement, *, known: KnownLimits, idle: dict[str, float]) -> Result:
    """The result of a run of which `begun` says all that is not measured.

    `known` are its device and model, `idle` the watts of devices at rest, by UUID, and of the CPU packages under "".
    For a million batches this computes for half a minute.
    """
    summary = summarise(measured.batches)
    loaded, config = begun.loaded, begun.own_config
    power, device = measured.figures(tokens=summary.output_tokens or 0, idle=idle)
    verdict = judge(
        measured.batches,
        replace(
            circumstances(config, loaded, device, power),
            warmup_steady=measured.steady,
            warmup=tuple(measured.warmup),
            foreign_processes=measured.telemetry.foreign_processes,
            lost_gpus=measured.telemetry.lost(),
            stopped=measured.stopped or begun.ended_by,
            fallback=fallback_text(loaded.engine, loaded) if loaded else "",
        ),
        config.validity,
    )
    result = replace(
        begun,
        verdict=verdict if measured.batches else replace(verdict, notes=()),
        summary=summary,
        phases={phase: round(seconds, 6) for phase, seconds in begun.phases.items()},
        power=power,
        device=device,
        warmup_batches=len(measured.warmup),
        warmup_steady=measured.steady,
        effective=measured.effective,
    )
    return with_short_energy(with_limits(result, known))


def keep(result: Result, folder: RunFolder, store: Store, reporter: RunReporter) -> bool:
    """Write the result; False where that fails. Its figures are still in the event that follows."""
    kept = True
    for write_it in (folder.write_result, store.append):
        try:
            write_it(result)
        except StoreError as error:
            kept = False
            folder.note_end(f"its result could not be kept: {error.message}")
            reporter.note("warning", f"{error.message}. {error.remedy}")
    if kept:
        folder.settled()
    return kept


def error_of(failure: InfertuiError) -> Error:
    """An error as it is kept."""
    if isinstance(failure, WorkerError):
        return Error(failure.kind, failure.message, failure.remedy, failure.details, failure.log_tail)
    return Error(failure.kind, failure.message, failure.remedy)


def _internal_error(failure: Exception) -> Error:
    # From a place that keeps nothing, such as a log's, or of a process that may not start.
    if isinstance(failure, OSError) and (refused := refusal(failure)):
        return error_of(refused)
    return Error(
        "internal",
        f"{type(failure).__name__}: {clean(str(failure))}",
        remedy="This is a bug in infertui; the lines below belong in its report.",
        log_tail=clean("".join(traceback.format_exception(failure)[-6:]), lines=True),
    )
