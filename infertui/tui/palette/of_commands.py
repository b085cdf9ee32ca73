"""Commands of the command line that have no key here: the same code does them, in a process of its own."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from infertui.tui.frame.reach import READ_ONLY
from infertui.tui.palette.command import PaletteCommand

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp
    from infertui.tui.jobs.ask import Understand


def commands(app: "InfertuiApp") -> Iterator[PaletteCommand]:
    """Report, export, import, calibrate, advise, doctor."""
    out = str(app.out)
    marked = list(cast(Any, app.stage.pane("results")).marked_runs)
    which = f"the {len(marked)} marked runs" if len(marked) > 1 else "the marked run" if marked else ""
    # An id is one of ours, but what else stands in the folder may have made it: none is taken for an option.
    named = ["--", *marked] if marked else []
    yield _command(
        "report", "Write a report", f"about {which or 'the newest runs'}, as HTML and Markdown with charts",
        partial(_ask, app, "Report: a folder", "report", "a folder", ["report", "--from", out], named),
        words="html markdown document share",
    )  # fmt: skip
    yield _command(
        "export", "Export runs", f"{which or 'all runs'} as CSV, as JSON lines or as vllm's JSON",
        partial(_ask, app, "Export: a file", "runs.csv", "a file", ["export", "--from", out], named),
        words="csv json jsonl save table",
    )  # fmt: skip
    read_only = READ_ONLY if app.read_only else ""
    yield _command(
        "import", "Import results", "of other programs: vllm, llama-bench, trtllm-bench, aiperf, guidellm, sglang",
        partial(_ask, app, "Import: files of other programs", "", "files", ["import", "--out", out], []),
        words="load read files", reason=read_only,
    )  # fmt: skip
    busy = "a run is under way, and both would disturb each other" if app.client_state.running else ""
    yield _command(
        "calibrate", "Calibrate", "measure what this device can do at most: memory bandwidth, matrix products",
        partial(_calibrate, app), words="ceiling roofline bandwidth flops peak", reason=read_only or busy,
    )  # fmt: skip
    yield _command(
        "advise", "Advise", f"what {which or 'the results'} bear: what to use for a goal, what to avoid",
        partial(_start, app, "Advise", ["advise", "--out", out, *named]), words="recommend best decide",
    )  # fmt: skip
    yield _command(
        "doctor", "Doctor", "what can be used here, why the rest cannot, and what to do",
        partial(_start, app, "Doctor", ["doctor"]), words="check install engines driver cuda",
    )  # fmt: skip


def _command(name: str, title: str, about: str, run: Any, *, words: str = "", reason: str = "") -> PaletteCommand:
    return PaletteCommand(f"command:{name}", title, run, "Command", about, words=f"{name} {words}", reason=reason)


def _start(app: "InfertuiApp", title: str, arguments: list[str]) -> None:
    from infertui.tui.jobs.screen import start

    start(app, title, arguments)


def _ask(
    app: "InfertuiApp", title: str, proposed: str, placeholder: str, before: list[str], after: list[str]
) -> None:  # fmt: skip
    from infertui.tui.jobs import ask

    understand: Understand = {"report": ask.report_to, "export": ask.export_to, "import": ask.import_from}[before[0]]

    def asked(given: list[str] | None) -> None:
        if given is not None:
            _start(app, title.partition(":")[0], [*before, *given, *after])

    app.push_screen(ask.AskScreen(title, proposed, placeholder, understand), asked)


def _calibrate(app: "InfertuiApp") -> None:
    app.confirm(
        "Calibrate this device? It takes up to a minute, and nothing else should use it meanwhile.",
        yes="Calibrate", then=lambda: _start(app, "Calibrate", ["calibrate"]),
    )  # fmt: skip
