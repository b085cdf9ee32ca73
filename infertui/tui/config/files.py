"""Opening and saving from the Config pane. Disks can be slow, so everything that reads or writes runs in a thread."""

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path

from infertui.errors import InfertuiError
from infertui.results.table import ResultQuery
from infertui.text import clean
from infertui.tui.config import config_file
from infertui.tui.config.form import options
from infertui.tui.config.form.base import Base, from_defaults, from_file, from_preset, from_text
from infertui.tui.config.form.editor import FormEditor
from infertui.tui.config.form.naming import file_name

_RECENT = 30


class ConfigFiles:
    """Reads into the form of `editor` and writes from it."""

    def __init__(self, editor: FormEditor, environ: Mapping[str, str]) -> None:
        self._editor = editor
        self._app_context = editor.app_context
        self._form = editor.form
        self._environ = environ

    # -- saving

    def save(self) -> None:
        """To the file that it came from; asks for a name where there is none."""
        base = self._form.base
        if not base.file:
            self.save_as()
        elif (text := self._text()) is not None:
            self._editor.run_worker(self._save_over(Path(base.file), text, base.text), group="files")

    def save_as(self) -> None:
        """To a file with another name."""
        if (text := self._text()) is None:
            return
        from infertui.tui.config.dialogs import FilenameScreen

        base = self._form.base
        name = base.file or file_name(self._form)
        screen = FilenameScreen("Save as", name, lambda typed: config_file.path_of(typed, self._environ))

        def named(path: Path | None) -> None:
            if path is not None:
                known = base.text if str(path) == base.file else ""
                self._editor.run_worker(self._save_over(path, text, known, ask=True), group="files")

        self._editor.app.push_screen(screen, named)

    def _text(self) -> str | None:
        try:
            return self._form.toml()
        except InfertuiError as error:
            self._app_context.say(f"Not saved: {error}", "error")
            return None

    async def _save_over(self, path: Path, text: str, known: str, *, ask: bool = False) -> None:
        exists = await asyncio.to_thread(path.exists)
        lost = await asyncio.to_thread(config_file.loss, path, known) if exists else ""
        if exists and (ask or lost):
            why = f" What would be lost: {lost}." if lost.startswith("its") else f" Note that {lost}." if lost else ""
            self._app_context.confirm(
                f"{path} exists already.{why}",
                yes="Overwrite it",
                then=lambda: self._start(self._write(path, text)),
            )
        else:
            await self._write(path, text)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        self._editor.run_worker(work, group="files")

    async def _write(self, path: Path, text: str) -> None:
        try:
            await asyncio.to_thread(config_file.save, path, text)
            base = await asyncio.to_thread(from_file, path, {})
        except InfertuiError as error:
            self._app_context.say(str(error), "error")
            return
        if base.values == self._form.values:
            self._form.saved(base)
        self._app_context.say(f"Saved {path}")

    # -- opening

    def open(self) -> None:
        """Choose among presets, files and recent runs."""
        from infertui.tui.config.dialogs import PickerScreen

        own = config_file.configs_dir(self._environ)
        known = options.preset_options()
        screen = PickerScreen(
            "Open a config",
            known,
            look=self._editor.look,
            free="the path of a file",
            waiting="looking for files and runs",
        )

        def chosen(value: str | None) -> None:
            if value is not None:
                self._editor.run_worker(self._open(value), group="files")

        async def look_around() -> None:
            paths = await asyncio.to_thread(config_file.listed, self._environ, Path.cwd())
            found = [*known, *options.file_options(paths, own)]
            try:
                query = ResultQuery(str(self._app_context.out), limit=_RECENT)
                page = await self._app_context.control.results(query)
            except InfertuiError:
                screen.set_options(found)
            else:
                screen.set_options([*found, *options.run_options(page.rows)])

        self._editor.app.push_screen(screen, chosen)
        self._editor.run_worker(look_around(), group="listing", exclusive=True)

    async def _open(self, value: str) -> None:
        try:
            base = await self._base(value)
        except InfertuiError as error:
            self._app_context.say(str(error), "error")
            return
        self._form.load(base)
        self._app_context.say(f"Opened {base.label}")

    async def _base(self, value: str) -> Base:
        if value == options.DEFAULTS:
            return from_defaults(self._environ)
        if value.startswith(options.PRESET):
            return from_preset(value.removeprefix(options.PRESET), self._environ)
        if value.startswith(options.RUN):
            run = value.removeprefix(options.RUN)
            details = await self._app_context.control.details(str(self._app_context.out), run)
            title = clean(details.result.name) if details.result else ""
            return from_text(details.toml, f"run {run}", title)
        return await asyncio.to_thread(self._from_file, value)

    def _from_file(self, value: str) -> Base:
        if value.startswith(options.FILE):
            return from_file(value.removeprefix(options.FILE), self._environ)
        return from_file(config_file.meant(value, self._environ), self._environ)
