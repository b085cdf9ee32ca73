"""Models that are not here: downloaded by the runner, from the form."""

from typing import TYPE_CHECKING, Any

from infertui.errors import UsageError
from infertui.models.hub.cache import is_model_id
from infertui.tui.config.form.editor import FormEditor
from infertui.tui.frame.context import AppContext
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

MODELS = ("model.id", "engine.draft_model")
LEAVE, PULL, QUEUE = "leave", "pull", "queue"


class Puller:
    """Begins and ends downloads of the models that the form names."""

    def __init__(self, editor: FormEditor) -> None:
        self._editor = editor

    @property
    def _context(self) -> AppContext:
        return self._editor.app_context

    def model(self) -> str:
        """The model to be downloaded: that of the row with the cursor, else the form's; empty where it is here."""
        editor = self._editor
        key = editor.key if editor.key in MODELS else MODELS[0]
        name = editor.form.text(key)
        if editor.form.is_swept(key) or (key == MODELS[0] and not self._is_loaded()):
            return ""
        pull = editor.knowledge.pull_of(name)
        under_way = pull is not None and pull.state == "running"
        return name if under_way or editor.knowledge.is_missing(name) else ""

    def needless(self) -> str:
        """Why there is nothing to download; empty where there is."""
        form = self._editor.form
        if self.model():
            return ""
        if form.is_swept(MODELS[0]):
            return "the model is an axis"
        if not self._is_loaded():
            return "the server has the model" if form.values.get("target.kind") == "endpoint" else "no model is loaded"
        return f"{safe(form.text(MODELS[0]))} needs no download"

    def missing(self) -> str:
        """The form's model where a run of it would find it missing."""
        form = self._editor.form
        name = form.text(MODELS[0])
        absent = self._is_loaded() and not form.is_swept(MODELS[0]) and self._editor.knowledge.is_missing(name)
        return name if absent else ""

    def _is_loaded(self) -> bool:
        """Whether a run of the form loads its model from here."""
        values = self._editor.form.values
        if values.get("target.kind") == "endpoint" and values.get("target.serve", "none") == "none":
            return False
        return values.get("engine.name") != "simulator"

    def switch(self) -> None:
        """Begin the download, or end the one under way after asking."""
        name = self.model()
        if not name:
            return
        pull = self._editor.knowledge.pull_of(name)
        if pull is None or pull.state != "running":
            self.begin(name)
            return
        self._context.confirm(
            f"Cancel the download of {safe(name)}? What has arrived is kept.",
            yes="Cancel it",
            then=lambda: self._context.intend(
                lambda control: control.cancel_pull(name, pull.revision), done=f"The download of {name} is cancelled"
            ),
        )

    def begin(self, name: str) -> None:
        """Download a model, at the form's revision where it is the form's."""
        form = self._editor.form
        revision = form.text("model.revision") if name == form.text(MODELS[0]) else ""

        async def work(control: Any) -> None:
            if not is_model_id(name):
                raise UsageError(f"{safe(name)} is not the id of a model on the hub (NAME or ORG/NAME)")
            await control.pull(name, revision)

        self._context.intend(work, done=f"Downloading {name}: the row of the model tells how far it is")

    def ask(self, app: "App[Any]", name: str, queue: "Callable[[], None]") -> None:
        """The model is missing: leave it, download it, or queue it all the same."""
        from infertui.tui.widgets.dialogs import Answer, ChoiceScreen

        answers = [Answer(LEAVE, "Leave it"), Answer(PULL, "Download it now"), Answer(QUEUE, "Queue it anyway")]
        pull = self._editor.knowledge.pull_of(name)
        if pull is not None and pull.state == "running":
            del answers[1]

        def answered(answer: str | None) -> None:
            if answer == PULL:
                self.begin(name)
            elif answer == QUEUE:
                queue()

        words = f"{safe(name)} is not on this machine" + (" yet: it is being downloaded." if len(answers) == 2 else ".")
        app.push_screen(ChoiceScreen(words, answers, back="leave it"), answered)
