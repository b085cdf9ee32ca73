"""Tells of runs and benches that ended, and of entries that were refused."""

from typing import TYPE_CHECKING

from infertui.tui import notify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infertui.results.result import Result
    from infertui.runner.control import Control
    from infertui.tui.context import Cockpit


def announce_finished(cockpit: "Cockpit") -> None:
    """Say what ended since the last call."""
    mirror = cockpit.mirror
    while mirror.refused:
        entry = mirror.refused.popleft()
        cockpit.say(f"#{entry.id} {entry.label} is refused: {entry.reason}", "error")
    while mirror.finished:
        result = mirror.finished.popleft().result
        if result.bench is None or result.state != "finished":  # of a bench the end counts, not each run
            cockpit.announce(result)
        if result.bench is not None:
            _announce_bench(cockpit, result)


async def tell_refused(cockpit: "Cockpit", control: "Control", ids: "Sequence[int]") -> None:
    """Say what was refused of the entries that were queued together."""
    if len(ids) < 2:
        return  # one alone is not queued then
    its = set(ids)
    entries = (await control.snapshot()).entries
    if refused := [entry for entry in entries if entry.id in its and entry.state == "refused"]:
        first = refused[0]
        cockpit.say(
            f"{len(refused)} of {len(ids)} runs are refused. #{first.id} {first.label}: {first.reason}", "warning"
        )


def _announce_bench(cockpit: "Cockpit", result: "Result") -> None:
    """What a bench found, where that was its last run."""
    from infertui.tui.results.bench import ended_bench

    ended = ended_bench(cockpit.mirror.entries.values(), result)
    if ended is None:
        return

    async def tell(control: "Control") -> None:
        text, severity = notify.of_bench(await control.bench(*ended))
        cockpit.say(text, severity)

    cockpit.intend(tell)
