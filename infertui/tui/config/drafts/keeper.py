"""Keeps what the form of a screen holds on disk, as it is typed, and brings it back at the next start."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from infertui.errors import StoreError
from infertui.paths import state_dir
from infertui.tui.config.drafts.store import Draft, DraftFile
from infertui.tui.config.form.editor import FormEditor
from infertui.tui.frame.actions import sign

if TYPE_CHECKING:
    from infertui.runner.scheduling.queue_store import Entry

FOLDER = "drafts"


class DraftKeeper:
    """Writes the draft after every change, in a thread, one write at a time: what changes meanwhile is in the next."""

    def __init__(self, editor: FormEditor, environ: Mapping[str, str], first: str) -> None:
        """`first` is the preset that a form begins with, of which there is nothing to keep."""
        self._editor = editor
        self._form = editor.form
        self._context = editor.app_context
        self._file = DraftFile(state_dir(environ) / FOLDER, editor.app_context.out)
        self._first = first
        self._opened = False
        self._due = False
        self._writing: asyncio.Task[None] | None = None
        self._told = False
        self._entry: int | None = None
        """An entry that was being edited, until the runner has told whether it still waits."""

    async def restore(self) -> None:
        """Bring back what lies there, and say so."""
        try:
            draft = await asyncio.to_thread(self._file.open)
        except StoreError as error:
            self._tell(error)
            return
        self._opened = True
        if draft is None or self._differs:  # somebody was quicker
            self.changed()
            return
        self._entry = draft.entry
        self._form.load(draft.base, values=draft.values, only=True)
        if draft.cursor:
            self._editor.put_cursor(draft.cursor)
        if draft.typing is not None:
            self._editor.resume(draft.typing)
        typing = " enter goes on with the line." if self._editor.typing is not None else ""
        what = f"{draft.base.label}{_ago(draft.saved)}"
        self._context.say(f"Restored what you left here: {what}.{typing} {self._discards} it.")
        if self._context.client_state.runner is not None:
            self.check_entry(self._context.client_state.entries)

    @property
    def _discards(self) -> str:
        return f"{sign(self._context.settings.keys, 'config.discard', 'X')} discards"

    @property
    def _differs(self) -> bool:
        form = self._form
        return form.values != form.base.values or form.base.target != self._first or self._editor.typing is not None

    def changed(self) -> None:
        """The form holds something else, or another key was typed."""
        self._due = True
        if self._opened and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what is still to be written, and give the place up."""
        if self._writing is not None:
            await self._writing
        await asyncio.to_thread(self._file.close)

    async def _write(self) -> None:
        while self._due:
            self._due = False
            draft = self._draft() if self._differs else None
            try:
                await asyncio.to_thread(self._file.write, draft)
            except StoreError as error:
                self._tell(error)

    def _draft(self) -> Draft:
        form = self._form
        return Draft(
            datetime.now().astimezone().isoformat(timespec="seconds"),
            form.base,
            dict(form.values),
            form.entry.id if form.entry is not None else self._entry,
            self._editor.typing,
            self._editor.key,
        )

    def _tell(self, error: StoreError) -> None:
        if not self._told:
            self._told = True
            self._context.say(error.message, "warning")

    def check_entry(self, entries: "Mapping[int, Entry]") -> None:
        """The queue is known: whether an entry that is being edited still waits."""
        form = self._form
        number = form.entry.id if form.entry is not None else self._entry
        if number is None:
            return
        now = entries.get(number)
        if now is not None and now.state == "queued":
            if form.entry is None:
                form.take_entry(now)
        else:
            form.release()
            run = sign(self._context.settings.keys, "config.run", "r")
            self._context.say(f"Entry {number} of the queue waits no more: {run} queues a run of its own.", "warning")
        self._entry = None


def _ago(saved: str) -> str:
    try:
        seconds = (datetime.now().astimezone() - datetime.fromisoformat(saved)).total_seconds()
    except (ValueError, TypeError):
        return ""
    if seconds < 90:
        return ", a moment ago"
    minutes = seconds / 60
    return f", {minutes:.0f} min ago" if minutes < 100 else f", {minutes / 60:.0f} h ago"
