"""Choosing values of the form from lists, and what the machine has to choose from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from infertui.config.fields import Field
from infertui.config.parse import FlatValue
from infertui.errors import ConfigError, InfertuiError
from infertui.tui.config.form import options, values
from infertui.tui.config.form.base import from_preset
from infertui.tui.config.form.editor import FormEditor
from infertui.tui.config.form.options import MachineInfo, Option

if TYPE_CHECKING:
    from infertui.tui.config.dialogs import PickerScreen

ENGINE, MODEL, DEVICE = "engine.name", "model.id", "device.name"
LOADS = "load"
"""The preset that a load on a server starts with."""
_ENDPOINT: Mapping[str, FlatValue] = {"target.kind": "endpoint", "workload.batch_size": 1}


class Chooser:
    """Shows lists over `editor` and puts what was chosen into its form; keeps what the editor knows of the machine."""

    def __init__(self, editor: FormEditor, environ: Mapping[str, str]) -> None:
        self._editor = editor
        self._environ = environ
        self._app_context = editor.app_context
        self._listed = False

    def look_again(self) -> bool:
        """Ask the mirror what the machine is like; whether that is something new."""
        before = self._editor.knowledge
        now = MachineInfo.of(self._app_context.client_state, before.models)
        done = {pull.model for pull in now.pulls if pull.state == "done"}
        if now.known and (not self._listed or done - {pull.model for pull in before.pulls if pull.state == "done"}):
            self._listed = True
            self._list_models()
        if now != before:
            self._editor.learn(now)
        return now != before

    def choose(self, key: str, field: Field) -> bool:
        """Offer what `key` can be; False for a field into which one types."""
        known = self._editor.knowledge
        if key == MODEL:
            self.model()
        elif key == ENGINE:
            self.engine()
        elif key == DEVICE:
            self._pick("Device", key, options.device_options(known), free="a name")
        elif field.type == "choice":
            self._pick(field.key, key, options.choice_options(field, self._editor.form.values))
        else:
            return False
        return True

    def engine(self) -> None:
        """Offer the engines, and a server in the place of one."""
        offered = [*options.engine_options(self._editor.knowledge), options.SERVER]
        of_server = self._editor.form.values.get("target.kind") == "endpoint"
        self._pick("Engine", ENGINE, offered, current=options.SERVER.value if of_server else "")

    def _put(self, key: str, value: str) -> None:
        """Take over what was chosen. Raises ConfigError."""
        if key != ENGINE:
            self._editor.put(key, values.parse(key, value))
        elif value == options.SERVER.value:
            self._to_server()
        else:
            form = self._editor.form
            if form.values.get("target.kind") == "endpoint" and form.values.get("target.serve", "none") == "none":
                form.set("target.kind", "engine")
            self._editor.put(key, values.parse(key, value))

    def _to_server(self) -> None:
        """The preset of loads, with what was changed of the workload; then its URL is typed."""
        form = self._editor.form
        if form.values.get("target.kind") != "endpoint":
            kept = ("workload.", "load.", "target.", "labels.")
            page = from_preset(LOADS, self._environ)
            own = {key: form.values[key] for key in form.all_keys() if key.startswith(kept) and key in form.values}
            form.load(page, values={**{key: value for key, value in own.items() if form.changed(key)}, **_ENDPOINT})
        self._editor.go_to("target.url")
        self._editor.edit()

    def model(self) -> None:
        """Offer the models that are known, and list those of the machine meanwhile."""
        offered = options.model_options(self._editor.knowledge)
        free = "a Hugging Face id or a path"
        self._list_models(self._pick("Model", MODEL, offered, free=free, waiting="looking for models"))

    def _pick(
        self, title: str, key: str, offered: Sequence[Option], *, free: str = "", waiting: str = "", current: str = ""
    ) -> "PickerScreen":
        from infertui.tui.config.dialogs import PickerScreen

        editor = self._editor
        current = current or editor.form.text(key)
        screen = PickerScreen(title, offered, look=editor.look, current=current, free=free, waiting=waiting)

        def picked(value: str | None) -> None:
            if value is None:
                return
            try:
                self._put(key, value)
            except ConfigError as error:
                self._app_context.say(str(error), "error")
                return
            if editor.key != key and value != options.SERVER.value:
                editor.go_to(key)  # what was chosen is seen, and what is wrong with it

        editor.app.push_screen(screen, picked)
        return screen

    def _list_models(self, screen: "PickerScreen | None" = None) -> None:
        async def fetch() -> None:
            trouble = ""
            try:
                models = tuple(await self._app_context.control.models())
            except InfertuiError as error:
                trouble = f"cannot list the models here: {error.message}"
            else:
                self._editor.learn(MachineInfo.of(self._app_context.client_state, models))
            if screen is not None:
                screen.set_options(options.model_options(self._editor.knowledge), waiting=trouble)

        self._editor.run_worker(fetch(), group="models")
