"""Choosing values from lists in the Config pane, and what the machine says about those that were chosen."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.widget import Widget

from infertui.config.fields import Field
from infertui.errors import ConfigError, InfertuiError
from infertui.tui.config import engines, options, values
from infertui.tui.config.form import Form
from infertui.tui.config.options import Knowledge, Option, is_hub_id
from infertui.tui.context import Cockpit
from infertui.tui.widgets.cells import Look

if TYPE_CHECKING:
    from infertui.tui.widgets.picker import PickerScreen

ENGINE, MODEL, DEVICE = "engine.name", "model.id", "device.name"


class Choosing:
    """Puts what was chosen into `form`; `changed` is called then, `learned` when more is known of the machine."""

    def __init__(
        self,
        widget: Widget,
        cockpit: Cockpit,
        form: Form,
        *,
        changed: Callable[[], None],
        learned: Callable[[], None],
        look: Callable[[], Look],
    ) -> None:
        self.knowledge = Knowledge()
        self._widget = widget
        self._cockpit = cockpit
        self._form = form
        self._changed = changed
        self._learned = learned
        self._look = look
        self._listed = False

    def look_again(self) -> bool:
        """Ask the mirror what the machine is like; whether that is something new."""
        before = self.knowledge
        self.knowledge = Knowledge.of(self._cockpit.mirror, before.models)
        if self.knowledge.known and not self._listed:
            self._listed = True
            self._list_models()
        return self.knowledge != before

    def words(self, key: str) -> tuple[str, ...]:
        """Words to step through: those of the machine, or those that the engine takes."""
        return self.knowledge.options(key) or engines.words(self._form.values, key)

    def choose(self, key: str, field: Field) -> bool:
        """Offer what `key` can be; False for a field into which one types."""
        if key == MODEL:
            self.model()
        elif key == ENGINE:
            self.engine()
        elif key == DEVICE:
            self._pick("Device", key, options.device_options(self.knowledge), free="a name")
        elif field.type == "choice":
            self._pick(field.key, key, options.choice_options(field, self._form.values))
        else:
            return False
        return True

    def engine(self) -> None:
        """Offer the engines."""
        self._pick("Engine", ENGINE, options.engine_options(self.knowledge))

    def model(self) -> None:
        """Offer the models that are known, and list those of the machine meanwhile."""
        offered = options.model_options(self.knowledge)
        free = "a Hugging Face id or a path"
        self._list_models(self._pick("Model", MODEL, offered, free=free, waiting="looking for models"))

    def warn(self, key: str) -> None:
        """Say at once what will not work with a value that was chosen all the same."""
        remark = None if self._form.is_swept(key) else self.knowledge.remark(key, self._form.values)
        if remark is None or remark.standing != "warning":
            return
        text = self._form.text(key)
        here = {model.id for model in self.knowledge.models or ()}
        if key == MODEL and is_hub_id(text) and text not in here:
            self._cockpit.say(options.download_hint(text), "warning")
        else:
            self._cockpit.say(f"{text}: {remark.text}", "warning")

    def _pick(
        self, title: str, key: str, offered: Sequence[Option], *, free: str = "", waiting: str = ""
    ) -> "PickerScreen":
        from infertui.tui.widgets.picker import PickerScreen

        screen = PickerScreen(
            title, offered, look=self._look(), current=self._form.text(key), free=free, waiting=waiting
        )

        def picked(value: str | None) -> None:
            if value is None:
                return
            try:
                parsed = values.parse(key, value)
                assert not isinstance(parsed, list)  # noqa: S101
                note = self._form.set(key, parsed)
            except ConfigError as error:
                self._cockpit.say(str(error), "error")
                return
            self._changed()
            if note:
                self._cockpit.say(note)
            self.warn(key)

        self._widget.app.push_screen(screen, picked)
        return screen

    def _list_models(self, screen: "PickerScreen | None" = None) -> None:
        async def fetch() -> None:
            trouble = ""
            try:
                models = tuple(await self._cockpit.control.models())
            except InfertuiError as error:
                trouble = f"cannot list the models here: {error.message}"
            else:
                self.knowledge = Knowledge.of(self._cockpit.mirror, models)
                self._learned()
            if screen is not None:
                screen.set_options(options.model_options(self.knowledge), waiting=trouble)

        self._widget.run_worker(fetch(), group="models")
