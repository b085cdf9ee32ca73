"""A bench from the screen: asked for by rows of the results, queued as runs that belong together."""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infertui.errors import UsageError
from infertui.results.table import ResultRow
from infertui.text import clean
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from textual.app import App

    from infertui.config.schema import Config
    from infertui.runner.control import RunnerApi
    from infertui.tui.frame.context import AppContext

MOST_ARMS = 24
MOST_KEYS = 3
LONGEST_NAME = 60


def ask_for_bench(app: "App[Any]", app_context: "AppContext", rows: Sequence[ResultRow], out: str) -> None:
    """Ask how many rounds, then queue them. The first row is the baseline."""
    if len(rows) < 2:
        app_context.say("A bench measures configurations against each other: mark two rows at least.", "warning")
        return
    if len(rows) > MOST_ARMS:
        app_context.say(f"{len(rows):,} configurations are too many for a bench; up to {MOST_ARMS}.", "warning")
        return
    if theirs := next((row for row in rows if "imported" in row.flags), None):
        app_context.say(f"{theirs.id} was imported: what it was measured with is not known.", "warning")
        return
    from infertui.tui.results.bench_dialog import BenchScreen

    def answered(rounds: int | None) -> None:
        if rounds:
            done = f"Queued a bench of {len(rows)} configurations, {rounds} rounds: {rounds * len(rows)} runs."
            app_context.intend(lambda control: queue_bench(control, rows, rounds, out), done=done)

    app.push_screen(BenchScreen(rows), answered)


async def queue_bench(control: "RunnerApi", rows: Sequence[ResultRow], rounds: int, out: str) -> tuple[int, ...]:
    """Queue `rounds` rounds of the configs that these rows ran; the ids of the entries. Raises UsageError."""
    from infertui.config.bench_plan import plan_bench
    from infertui.runner.control import Submission

    configs = [await config_of(control, out, row) for row in rows]
    plan = plan_bench(list(zip(arm_names(rows, configs), configs, strict=True)), rounds, secrets.randbelow(1 << 31))
    return await control.submit(Submission("bench", tuple(plan), out))


def arm_names(rows: Sequence[ResultRow], configs: Sequence["Config"]) -> list[str]:
    """What sets the configs apart, as the variants of a sweep are called; the runs' names where that is too much."""
    from infertui.config.parse import flat_values
    from infertui.config.sweep import short_name

    flat = [flat_values(config) for config in configs]
    keys = [
        key
        for key in dict.fromkeys(key for one in flat for key in one)
        if not key.startswith("labels.") and len({str(one.get(key)) for one in flat}) > 1
    ]
    names = [" ".join(f"{short_name(key)}={clean(str(one.get(key)))}" for key in keys) for one in flat]
    if keys and len(keys) <= MOST_KEYS and max(map(len, names)) <= LONGEST_NAME:
        return names
    return [row.name or row.id for row in rows]


async def config_of(control: "RunnerApi", out: str, row: ResultRow) -> "Config":
    """The config that a run measured. Raises UsageError where that is not known."""
    result = (await control.details(out, row.id)).result
    if result is None:
        raise UsageError(f"{safe(row.id)} keeps no config that can be read")
    if result.config is None:
        raise UsageError(
            f"{safe(row.id)} was imported from {safe(result.imported)}, and cannot be repeated here: what it was"
            " measured with is not known",
            remedy="Only what infertui measured can be measured again.",
        )
    return result.config
