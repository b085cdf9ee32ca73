"""From the form into the queue; what is not going to work is asked about first."""

import asyncio

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.config.sweep import variants_of
from infertui.runner.control import Forecast, RunnerApi, Submission
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.naming import renamed, title_of
from infertui.tui.config.form.notes import in_one_line
from infertui.tui.config.form.options import MachineInfo
from infertui.tui.frame.actions import sign
from infertui.tui.frame.context import AppContext
from infertui.tui.notify import tell_refused


class QueueRequest(Struct, frozen=True):
    """What was asked to be queued, as the form was then; `entry` is what it goes back to, if anything."""

    config: Config
    title: str
    words: str
    """What the names of its runs begin with."""
    count: int
    front: bool
    entry: Entry | None = None


def wanted(form: Form, *, front: bool) -> QueueRequest:
    """What the form makes now. It has no problem."""
    if form.entry is not None and not front:
        return QueueRequest(
            form.config(), form.entry.title, renamed(form.entry.name, form), form.run_count(), front, form.entry
        )
    title, words = title_of(form)
    return QueueRequest(form.config(), title, words, form.run_count(), front)


def doubt(form: Form, machine: MachineInfo, forecast: Forecast | None) -> str:
    """Why what the form holds is not going to run here, as far as that is known; empty where nothing is against it."""
    values = form.values
    if values.get("target.kind") == "endpoint" and values.get("target.serve", "none") == "none":
        return ""
    for key in ("engine.name", "device.name", "model.id"):
        if form.is_swept(key) or (key == "engine.name" and values.get("engine.fallback")):
            continue
        remark = machine.remark(key, values)
        if remark is not None and remark.standing == "warning":
            return f"{form.text(key)}: {remark.text}"
    return in_one_line(forecast)[0] if forecast is not None and forecast.fits is False else ""


def queue(app_context: AppContext, form: Form, what: QueueRequest) -> None:
    """Queue the runs, at the end or before everything that waits; or put the config into its entry."""
    if what.entry is not None:
        _put_back(app_context, form, what, what.entry)
        return
    out = str(app_context.out)

    async def submit(control: RunnerApi) -> None:
        # Thousands of variants take a while to work out.
        variants = await asyncio.to_thread(variants_of, what.config, what.words)
        ids = await control.submit(Submission(what.title, tuple(variants), out, what.front))
        await tell_refused(app_context, control, ids)

    many = f" ({what.count:,} runs)" if what.count > 1 else ""
    name = f"{what.title} {what.words}".strip()
    app_context.intend(submit, done=f"Queued {name}{many}{' first' if what.front else ''}")


def _put_back(app_context: AppContext, form: Form, what: QueueRequest, entry: Entry) -> None:
    if what.count != 1:
        ends = sign(app_context.settings.keys, "config.sweep", "A")
        app_context.say(f"An entry of the queue is one run, and this makes several: end the axes with {ends}.", "error")
        return
    (variant,) = variants_of(what.config, "")
    variant = replace(variant, name=what.words)

    async def edit(control: RunnerApi) -> None:
        await control.edit(entry.id, variant)
        if form.entry is entry:
            form.release()

    app_context.intend(edit, done=f"Put back as entry {entry.id}: {entry.title} {variant.name}".strip())
