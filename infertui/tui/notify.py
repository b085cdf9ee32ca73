"""What toasts say."""

from typing import TYPE_CHECKING, Literal

from infertui.errors import InfertuiError
from infertui.text import clean, shorten
from infertui.units import format_number

if TYPE_CHECKING:
    from infertui.analysis.bench import Bench
    from infertui.results.result import Result

Severity = Literal["information", "warning", "error"]
LONGEST = 400
SECONDS: dict[Severity, float] = {"information": 4.0, "warning": 8.0, "error": 12.0}


def of_text(text: str) -> str:
    """Foreign text, cleaned and cut."""
    return shorten(clean(text, lines=True).strip(), LONGEST)


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
    rate = result.summary.output_throughput
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
