"""What toasts say.

Tells of runs, sweeps and benches that ended, and of entries that were refused.
"""

from typing import TYPE_CHECKING

from infertui.errors import InfertuiError
from infertui.text import clean, in_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infertui.analysis.bench import Bench
    from infertui.models.hub.progress import PullView
    from infertui.runner.control import RunnerApi
    from infertui.runner.scheduling.queue_store import Entry
    from infertui.runner.scheduling.studies import Severity, Study
    from infertui.tui.frame.context import AppContext
    from infertui.tui.state import ClientState

LONGEST = 400
SECONDS: "dict[Severity, float]" = {"information": 4.0, "warning": 8.0, "error": 12.0}


def of_text(text: str) -> str:
    """Foreign text, cleaned and cut."""
    return in_lines(text, LONGEST)


def of_error(error: InfertuiError) -> str:
    """What went wrong and what can be done."""
    return of_text(str(error))


def of_bench(bench: "Bench") -> "tuple[str, Severity]":
    """What a bench found."""
    from infertui.analysis.bench import headline

    if not bench.used:
        return of_text(f"{bench.bench} is over, and no round of it counts: {'; '.join(bench.left_out)}"), "warning"
    rounds = f"{len(bench.used)} of {bench.rounds} rounds" if bench.left_out else f"{bench.rounds} rounds"
    return of_text("\n".join((f"The bench is over, {rounds}.", *headline(bench)))), "information"


def announce_ended(app_context: "AppContext", client_state: "ClientState") -> "list[str]":
    """Say what ended since the last call: a study once it is over, and before that the first of it that failed. What is
    over, each in a sentence."""
    while client_state.pulled:
        _announce_pull(app_context, client_state.pulled.popleft())
    if not client_state.ended:
        return []
    from infertui.runner.scheduling.studies import study_of, told

    over: dict[int, Study] = {}
    while client_state.ended:
        entry = client_state.ended.popleft()
        study = study_of(client_state.entries.values(), entry)
        if study.over:
            over[entry.group] = study
        elif entry.state in ("failed", "refused") and sum(map(_failed, study.entries)) == 1:
            app_context.say(told(entry), "error")
    found = [study for study in over.values() if any(one.run or one.state == "refused" for one in study.entries)]
    for study in found:
        last = study.entries[-1]
        if last.place is not None and any(entry.run for entry in study.entries):
            _announce_bench(app_context, study, last.place.bench)
        else:
            app_context.say(study.text, study.severity)
    return [study.text for study in found]


def _failed(entry: "Entry") -> bool:
    return entry.state in ("failed", "refused")


def _announce_pull(app_context: "AppContext", pull: "PullView") -> None:
    """How a download ended."""
    name = clean(pull.model)
    if pull.state == "done":
        app_context.say(f"{name} is here.")
    elif pull.state == "failed":
        app_context.say(f"{name} was not downloaded: {pull.problem}. {pull.remedy}".strip(), "error")


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


def _announce_bench(app_context: "AppContext", study: "Study", bench: str) -> None:
    """What a bench found, which is over, and what failed of it."""
    out = study.entries[-1].out

    async def tell(control: "RunnerApi") -> None:
        text, severity = of_bench(await control.bench(out, bench))
        app_context.say(text, severity)

    if study.severity == "error":
        app_context.say(study.text, study.severity)
    app_context.intend(tell)
