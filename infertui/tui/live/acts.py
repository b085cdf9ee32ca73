"""What can be done with the run that is shown: end it, and once it has ended what leads on from its result."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infertui.errors import UsageError
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.tui.results import acts
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from textual.app import App

    from infertui.results.table import ResultRow
    from infertui.runner.control import RunnerApi
    from infertui.tui.frame.context import AppContext
    from infertui.tui.live.outcome import EndedRun

_BEFORE = 50
"""Runs among which the one before is looked for."""


def reason(name: str, running: Entry | None, ended: "EndedRun | None", *, several: bool) -> str:
    """Why an action of that name would do nothing with what is shown; empty: it works."""
    match name:
        case "cancel":
            return "" if running is not None else "nothing runs"
        case "open":
            return "" if running is not None or ended is not None else "no run is shown"
        case "next" | "previous":
            return "" if several else "there is no other run"
        case "again" | "compare" | "tune" if ended is None:
            return "the run has not ended" if running is not None else "no run is shown"
        case "again" | "tune" if ended is not None and ended.result.imported:
            return "it was imported, and cannot be repeated"
        case "tune" if ended is not None and ended.result.load is not None:
            return "an engine has knobs, and a server was measured"
        case _:
            return ""


def cancel(app_context: "AppContext", entry: Entry) -> None:
    """End it, after asking."""
    app_context.confirm(
        f"Cancel {entry.label}? It is being measured; what it has so far is kept, marked as interrupted.",
        yes="Cancel the run",
        then=lambda: app_context.intend(lambda control: control.cancel([entry.id])),
    )


def again(app_context: "AppContext", ended: "EndedRun", out: str) -> None:
    """Queue it once more."""
    entry = ended.entry
    if entry is not None and entry.state in ENDED:
        app_context.intend(
            lambda control: control.retry([entry.id]), done=f"Queued {safe(entry.label)} once more, at the end."
        )
        return

    async def submit(control: "RunnerApi") -> None:
        acts.run_again(app_context, [await _row(control, out, ended.result.id)], lambda: None)

    app_context.intend(submit)


def compare(app: "App[Any]", app_context: "AppContext", ended: "EndedRun", out: str) -> None:
    """Side by side: with what was queued with it, else with the baseline, else with the run before it."""
    below = app.screen

    async def read(control: "RunnerApi") -> None:
        rows = await _rows(control, app_context.settings.baseline, ended, out)
        if len(rows) < 2:
            app_context.say("There is no other run to compare it with.", "warning")
        elif app.screen is below:  # else somebody has gone on meanwhile
            acts.compare(app, app_context, rows)

    app_context.intend(read)


def tune(app: "App[Any]", app_context: "AppContext", ended: "EndedRun", out: str) -> None:
    """A tuning session from its config, or the one under way."""

    async def read(control: "RunnerApi") -> None:
        acts.tune_again(app, app_context, await _row(control, out, ended.result.id))

    app_context.intend(read)


async def last_run(control: "RunnerApi", out: str) -> str:
    """The run of a folder that began last; empty where there is none."""
    from infertui.results.table import ResultQuery

    rows = (await control.results(ResultQuery(out, sort="started", limit=1))).rows
    return rows[0].id if rows else ""


async def _rows(control: "RunnerApi", baseline: str, ended: "EndedRun", out: str) -> "Sequence[ResultRow]":
    run = ended.result.id
    others = [entry.run for entry in ended.study if entry.run and entry.throughput is not None]
    if 1 < len(others) <= acts.MOST_COMPARED:
        return [row for other in others if (row := await _found(control, out, other)) is not None]
    row = await _row(control, out, run)
    if baseline and baseline != run and (base := await _found(control, out, baseline)) is not None:
        return [base, row]
    from infertui.results.table import ResultQuery

    page = await control.results(ResultQuery(out, sort="started", limit=_BEFORE, find=run))
    at = next((at for at, other in enumerate(page.rows) if other.id == run), len(page.rows))
    before = next((other for other in page.rows[at + 1 :] if other.throughput is not None), None)
    return [row] if before is None else [before, row]


async def _row(control: "RunnerApi", out: str, run: str) -> "ResultRow":
    row = await _found(control, out, run)
    if row is None:
        raise UsageError(f"there is no run {safe(run)} among the results any more")
    return row


async def _found(control: "RunnerApi", out: str, run: str) -> "ResultRow | None":
    from infertui.results.table import ResultQuery

    rows = (await control.results(ResultQuery(out, filter=f'id="{safe(run)}"', limit=1))).rows
    return rows[0] if rows else None
