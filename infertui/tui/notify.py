"""What toasts say.

Tells of runs and benches that ended, and of entries that were refused.
"""

from typing import TYPE_CHECKING, Literal

from infertui.errors import InfertuiError
from infertui.metrics.registry import metric_of
from infertui.text import clean, in_lines
from infertui.units import format_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infertui.analysis.bench import Bench
    from infertui.results.result import Result
    from infertui.runner.control import RunnerApi
    from infertui.tui.frame.context import AppContext

Severity = Literal["information", "warning", "error"]
LONGEST = 400
SECONDS: dict[Severity, float] = {"information": 4.0, "warning": 8.0, "error": 12.0}


def of_text(text: str) -> str:
    """Foreign text, cleaned and cut."""
    return in_lines(text, LONGEST)


def of_error(error: InfertuiError) -> str:
    """What went wrong and what can be done."""
    return of_text(str(error))


def of_result(result: "Result") -> tuple[str, Severity]:
    """Which run ended, and how."""
    name = clean(result.name) or "run"
    if result.state == "failed":
        reason = "" if result.error is None else f": {result.error.message}"
        return of_text(f"{name} failed{reason}"), "error"
    if result.state == "interrupted":
        return of_text(f"{name} was interrupted; what it measured is kept"), "warning"
    rate = metric_of("throughput").number(result)
    speed = "" if rate is None else f": {format_number(rate)} tok/s"
    if not result.verdict.valid:
        return of_text(f"{name} finished{speed}, but is not valid"), "warning"
    return of_text(f"{name} finished{speed}"), "information"


def of_bench(bench: "Bench") -> tuple[str, Severity]:
    """What a bench found."""
    from infertui.analysis.bench import headline

    if not bench.used:
        return of_text(f"{bench.bench} is over, and no round of it counts: {'; '.join(bench.left_out)}"), "warning"
    rounds = f"{len(bench.used)} of {bench.rounds} rounds" if bench.left_out else f"{bench.rounds} rounds"
    return of_text("\n".join((f"The bench is over, {rounds}.", *headline(bench)))), "information"


def announce_finished(app_context: "AppContext") -> None:
    """Say what ended since the last call."""
    client_state = app_context.client_state
    while client_state.refused:
        entry = client_state.refused.popleft()
        app_context.say(f"#{entry.id} {entry.label} is refused: {entry.reason}", "error")
    while client_state.finished:
        result = client_state.finished.popleft().result
        if result.bench is None or result.state != "finished":  # of a bench the end counts, not each run
            app_context.announce(result)
        if result.bench is not None:
            _announce_bench(app_context, result)


async def tell_refused(app_context: "AppContext", control: "RunnerApi", ids: "Sequence[int]") -> None:
    """Say what was refused of the entries that were queued together."""
    if len(ids) < 2:
        return  # one alone is not queued then
    its = set(ids)
    entries = (await control.snapshot()).entries
    if refused := [entry for entry in entries if entry.id in its and entry.state == "refused"]:
        first = refused[0]
        app_context.say(
            f"{len(refused)} of {len(ids)} runs are refused. #{first.id} {first.label}: {first.reason}", "warning"
        )


def _announce_bench(app_context: "AppContext", result: "Result") -> None:
    """What a bench found, where that was its last run."""
    from infertui.tui.results.bench import ended_bench

    ended = ended_bench(app_context.client_state.entries.values(), result)
    if ended is None:
        return

    async def tell(control: "RunnerApi") -> None:
        text, severity = of_bench(await control.bench(*ended))
        app_context.say(text, severity)

    app_context.intend(tell)
