"""What can be done with runs of the Results pane. Each act takes the rows that it is on."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infertui.errors import UsageError
from infertui.metrics.varying import Varied
from infertui.results.table import ResultQuery, ResultRow
from infertui.tui.frame.actions import sign
from infertui.tui.frame.context import AppContext
from infertui.tui.notify import tell_refused
from infertui.tui.results.bench import config_of
from infertui.tui.results.columns import copied, copied_header
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from textual.app import App

    from infertui.config.schema import Config
    from infertui.runner.control import RunnerApi

MOST_REPEATED = 100
MOST_COMPARED = 24
MOST_DRAWN = 1000
_MOST_NAMED = 3


_ON_NO_RUN = frozenset({"filter", "columns", "hide_failed", "capacities", "reverse", "sort"})


def reason(act: str, keys: "Mapping[str, str]", *, there: bool, compared: int, drawn: int) -> str:
    """Why an act would do nothing; empty where it does something. `there`: a run is under the cursor. `compared` are
    marked or under the cursor, with the baseline; a curve would be of `drawn` runs."""
    if act in _ON_NO_RUN:
        return ""
    if not there and not compared:
        return "there is no run here"
    mark, base = sign(keys, "list.mark", "space"), sign(keys, "results.baseline", "b")
    if act == "compare" and compared < 2:
        return f"mark two runs with {mark}, or make another one the baseline with {base}"
    if act == "bench" and compared < 2:
        return f"mark two configurations with {mark} at least"
    return "a curve takes three runs at least" if act == "curve" and drawn < 3 else ""


def compare(app: "App[Any]", app_context: AppContext, rows: Sequence[ResultRow]) -> None:
    """Show them side by side; the first is the baseline."""
    if len(rows) < 2:
        keys = app_context.settings.keys
        mark, base = sign(keys, "list.mark", "space"), sign(keys, "results.baseline", "b")
        app_context.say(f"Mark two runs with {mark}, or make another one the baseline with {base}.", "warning")
    elif len(rows) > MOST_COMPARED:
        app_context.say(f"{len(rows):,} runs are too many to compare: up to {MOST_COMPARED}.", "warning")
    else:
        from infertui.tui.results.compare.screen import CompareScreen

        app.push_screen(CompareScreen(app_context, rows, out=str(app_context.out)))


def curve(app: "App[Any]", app_context: AppContext, query: ResultQuery, matching: int, marked: Sequence[str]) -> None:
    """Draw throughput and memory over what varies in the marked runs, or in all that match where fewer than two are."""
    alone = len(marked) < 2
    count = matching if alone else len(marked)
    if count > MOST_DRAWN:
        less = "filter first" if alone else "mark fewer"
        app_context.say(f"{count:,} runs are too many to draw: {less}, up to {MOST_DRAWN:,}.", "warning")
        return
    below = app.screen

    async def read(control: "RunnerApi") -> None:
        from infertui.tui.results.curve.dialog import CurveScreen
        from infertui.tui.results.result_table import all_matching

        runs = tuple(await all_matching(control, query, MOST_DRAWN)) if alone else tuple(marked)
        found = await control.curves(str(app_context.out), runs)
        if not found:
            app_context.say(f"No curve: {no_curve(len(runs), alone=alone)}.", "warning")
        elif app.screen is below:  # else somebody has gone on meanwhile
            app.push_screen(CurveScreen(app_context, lambda: runs, out=str(app_context.out), curves=found))

    app_context.intend(read)


def no_curve(count: int, *, alone: bool) -> str:
    """Why so many runs, the marked ones or `alone` all that match, make no curve."""
    if count < 3:
        return "a curve takes three runs at least"
    which = f"{'the' if alone else 'the marked'} {count:,} runs"
    return f"among {which} no number has three values while all else is the same"


def newest(app_context: AppContext, go_to: Callable[[str], None]) -> None:
    """Go to the run that began last."""

    async def find(control: "RunnerApi") -> None:
        rows = (await control.results(ResultQuery(str(app_context.out), sort="started", limit=1))).rows
        if rows:
            go_to(rows[0].id)

    app_context.intend(find)


def run_again(app_context: AppContext, rows: Sequence[ResultRow], queued: Callable[[], None]) -> None:
    """Queue them once more; `queued` is called when that is done."""
    if len(rows) > MOST_REPEATED:
        app_context.say(f"{len(rows):,} runs are too many to queue at once.", "warning")
        return

    async def submit(control: "RunnerApi") -> None:
        from infertui.config.sweep import Variant
        from infertui.runner.control import Submission

        out = str(app_context.out)
        variants = [Variant(row.name, await config_of(control, out, row), {}) for row in rows]
        ids = await control.submit(Submission("again", tuple(variants), out))
        queued()
        await tell_refused(app_context, control, ids)

    if rows:
        what = safe(rows[0].name) if len(rows) == 1 else f"{len(rows)} runs"
        app_context.intend(submit, done=f"Queued {what} once more.")


def tune_again(app: "App[Any]", app_context: AppContext, row: ResultRow) -> None:
    """A tuning session from the run's config, or the one under way."""
    from infertui.tui.tuning.begin import tune

    async def config(control: "RunnerApi") -> "Config":
        return await config_of(control, str(app_context.out), row)

    tune(app, app_context, config, row.name)


def load(app_context: AppContext, row: ResultRow) -> None:
    """Load the run's config into the Config pane."""

    async def fetch(control: "RunnerApi") -> None:
        details = await control.details(str(app_context.out), row.id)
        if not details.toml:
            imported = details.result is not None and details.result.imported
            why = "it was imported, and cannot be repeated" if imported else "its folder is gone"
            raise UsageError(f"{row.id} has no run.toml: {why}")
        app_context.open_in_config(details.toml, row.name)

    app_context.intend(fetch)


def delete(
    app_context: AppContext, rows: Sequence[ResultRow], *, marked: bool, gone: Callable[[list[str]], None]
) -> None:
    """Delete them, after asking; `gone` is told which runs are no more. `marked`: how they were chosen."""
    if not rows:
        return
    runs = [row.id for row in rows]
    # Marked runs need not be in view, and the one under the cursor need not be among them.
    named = [safe(run) for run in runs[:_MOST_NAMED]]
    others = [f"and {len(runs) - len(named):,} more"] if len(runs) > len(named) else []
    count = f"the {'marked ' * marked}run" if len(runs) == 1 else f"the {len(runs):,} marked runs"
    what = f"{count} {', '.join([*named, *others])}"

    async def remove(control: "RunnerApi") -> None:
        await control.delete(str(app_context.out), runs)
        for run in runs:
            app_context.client_state.outcomes.pop(run, None)
        gone(runs)

    done = f"Deleted {named[0] if len(runs) == 1 else f'{len(runs):,} runs'}."
    app_context.confirm(
        f"Delete {what}? {'Its' if len(rows) == 1 else 'Their'} result, requests, telemetry and log are gone then.",
        yes=f"Delete {'it' if len(rows) == 1 else 'them'}",
        then=lambda: app_context.intend(remove, done=done),
    )


def copy_rows(
    app_context: AppContext, rows: Sequence[ResultRow], baseline: ResultRow | None, varied: Sequence[Varied] = ()
) -> None:
    """Copy them for a spreadsheet; several with a header."""
    columns, band = app_context.settings.columns, app_context.settings.equal_within
    lines = [copied(row, columns, baseline, equal_within=band, varied=varied) for row in rows]
    if len(rows) > 1:
        lines.insert(0, copied_header(columns, varied))
    if rows:
        what = "the row" if len(rows) == 1 else f"{len(rows):,} rows"
        app_context.copy("\n".join("\t".join(safe(cell) for cell in line) for line in lines), what)


def copy_as(app: "App[Any]", app_context: AppContext, rows: Sequence[ResultRow], varied: Sequence[Varied] = ()) -> None:
    """Ask in which form, then copy them."""
    from infertui.tui.widgets.dialogs import Answer, ChoiceScreen

    forms: dict[str, Callable[[], None]] = {
        "Leave it": lambda: None,
        "TOML: the config that repeats it": lambda: copy_toml(app_context, rows),
        "Markdown: a table with the columns that are shown": lambda: copy_markdown(app_context, rows, varied),
        "Command line that repeats it": lambda: copy_commands(app_context, rows),
        "Cells with tabs between, for a spreadsheet": lambda: copy_rows(app_context, rows, None, varied),
        "Ids of runs": lambda: app_context.copy("\n".join(safe(row.id) for row in rows), "the ids of the runs"),
    }
    what = safe(rows[0].name or rows[0].id) if len(rows) == 1 else f"{len(rows):,} runs"
    answers = [Answer(words, words) for words in forms]
    screen = ChoiceScreen(f"Copy {what} as", answers, back="leave it")
    app.push_screen(screen, lambda form: forms.get(form or "", lambda: None)())


def copy_toml(app_context: AppContext, rows: Sequence[ResultRow]) -> None:
    """Copy the configs that repeat the runs; of several each with its run above."""
    if len(rows) > MOST_REPEATED:
        app_context.say(f"{len(rows):,} configs are too many to copy: up to {MOST_REPEATED}.", "warning")
        return

    async def read(control: "RunnerApi") -> None:
        from infertui.config.toml import write

        configs = [write(await config_of(control, str(app_context.out), row)) for row in rows]
        texts = [f"# {safe(row.id)}\n{text}" for row, text in zip(rows, configs, strict=True)]
        app_context.copy("\n".join(texts), "the config" if len(rows) == 1 else f"{len(rows)} configs")

    app_context.intend(read)


def copy_markdown(app_context: AppContext, rows: Sequence[ResultRow], varied: Sequence[Varied] = ()) -> None:
    """Copy them as a table of Markdown."""
    columns, band = app_context.settings.columns, app_context.settings.equal_within
    lines = [copied(row, columns, None, equal_within=band, varied=varied) for row in rows]
    head = copied_header(columns, varied)
    table = [head, ["---"] * len(head), *lines]
    text = "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in table)
    app_context.copy(text, "a table of Markdown")


def _markdown_cell(text: str) -> str:
    """What parts cells, and what would be a tag, is escaped."""
    return safe(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def copy_commands(app_context: AppContext, rows: Sequence[ResultRow]) -> None:
    """Copy what repeats the runs from a shell."""
    files = [str(app_context.out / row.id / "run.toml") for row in rows if "imported" not in row.flags]
    if rows and not files:
        app_context.say("Imported runs cannot be repeated: there is no command for it.", "warning")
    if files:
        what = "the command line" if len(files) == 1 else f"{len(files):,} command lines"
        app_context.copy("\n".join(shlex.join(["infertui", "run", file]) for file in files), what)
