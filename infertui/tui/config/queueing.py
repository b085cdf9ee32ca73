"""From the form into the queue."""

import asyncio

from msgspec.structs import replace

from infertui.config.sweep import variants_of
from infertui.runner.control import Forecast, RunnerApi, Submission
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.config.form import notes
from infertui.tui.config.form.form import Form
from infertui.tui.frame.actions import sign
from infertui.tui.frame.context import AppContext
from infertui.tui.notify import tell_refused


def queue(app_context: AppContext, form: Form, forecast: Forecast | None, *, front: bool) -> None:
    """Queue the runs that the form makes, at the end or before everything that waits. The form has no problem."""
    config, out = form.config(), str(app_context.out)
    title = form.base.title or config.model.id

    async def submit(control: RunnerApi) -> None:
        # Thousands of variants take a while to work out.
        variants = await asyncio.to_thread(variants_of, config, "")
        ids = await control.submit(Submission(title, tuple(variants), out, front))
        await tell_refused(app_context, control, ids)

    count = form.run_count()
    many = f" ({count:,} runs)" if count > 1 else ""
    doubt = "; the estimate says that it does not fit" if forecast is not None and forecast.fits is False else ""
    app_context.intend(submit, done=f"Queued {title}{many}{' first' if front else ''}{doubt}")


def put_back(app_context: AppContext, form: Form, entry: Entry) -> None:
    """Put the form's config into the entry that it came from. The form has no problem."""
    if form.run_count() != 1:
        ends = sign(app_context.settings.keys, "config.sweep", "A")
        app_context.say(f"An entry of the queue is one run, and this makes several: end the axes with {ends}.", "error")
        return
    (variant,) = variants_of(form.config(), "")
    variant = replace(variant, name=notes.renamed(entry.name, form))

    async def edit(control: RunnerApi) -> None:
        await control.edit(entry.id, variant)
        if form.entry is entry:
            form.release()

    app_context.intend(edit, done=f"Put back as entry {entry.id}: {entry.title} {variant.name}".strip())
