"""Commands about a config: its fields, the presets, and the models of this machine."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from infertui.tui.palette.command import PaletteCommand

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

MODEL = "model.id"


def commands(app: "InfertuiApp") -> Iterator[PaletteCommand]:
    """Every field, to go to; every preset, to load."""
    from infertui.config.fields import FIELDS
    from infertui.tui.config.form.options import preset_options

    for field in FIELDS.values():
        if not field.is_table:
            words = " ".join((field.key.replace("_", " "), *field.choices))
            run = partial(_go_to, app, field.path)
            yield PaletteCommand(f"field:{field.path}", field.path, run, "Field", field.description, words=words)
    for option in preset_options():
        kind, _, name = option.value.partition(":")
        if kind == "preset" and name:
            yield PaletteCommand(option.value, name, partial(_load, app, name), "Preset", option.detail)


async def later(app: "InfertuiApp") -> AsyncIterator[list[PaletteCommand]]:
    """The models, which the runner looks for on its disks."""
    models = await app.control.models()
    yield [
        PaletteCommand(
            f"model:{model.id}", model.id, partial(_choose_model, app, model.id), "Model",
            model.problem or f"put it into the form ({model.architecture or model.kind})",
        )
        for model in models
    ]  # fmt: skip


def _pane(app: "InfertuiApp") -> Any:
    app.main.go("config")
    return cast(Any, app.stage.pane("config"))


def _go_to(app: "InfertuiApp", path: str) -> None:
    pane = _pane(app)
    pane.editor.leave_typing()
    pane.editor.go_to(path)


def _load(app: "InfertuiApp", preset: str) -> None:
    _pane(app).load(preset, preset)


def _choose_model(app: "InfertuiApp", model: str) -> None:
    pane = _pane(app)
    pane.editor.leave_typing()
    pane.editor.put(MODEL, model)
    pane.editor.go_to(MODEL)
