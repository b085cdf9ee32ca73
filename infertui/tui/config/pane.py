"""The Config pane: a form of every key of a config, checked as it is typed, from which runs are queued."""

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.events import Resize

from infertui.config import sources
from infertui.config.fields import field_of
from infertui.config.schema import Config
from infertui.env_file import with_env_file
from infertui.errors import ConfigError, InfertuiError
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.config.choose import Chooser
from infertui.tui.config.command import command_line
from infertui.tui.config.drafts.keeper import DraftKeeper
from infertui.tui.config.estimate import EstimateNotes
from infertui.tui.config.files import ConfigFiles
from infertui.tui.config.form import notes
from infertui.tui.config.form.base import Base, from_config, from_preset, from_text
from infertui.tui.config.form.editor import FormEditor
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.form_list import FormList
from infertui.tui.config.form.notes import Notes, above
from infertui.tui.config.pulling import Puller
from infertui.tui.config.starting import Starter
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.state import Topic
from infertui.tui.widgets.pane import Heading, Pane

_OF_FOLDERS = ("HOME", "XDG_CONFIG_HOME")
FIRST = "demo"
"""The preset that the form starts with: measured anywhere in seconds."""

ACTIONS = (
    Action("config.run", "r", "Run", "queue what the form holds; puts an edited entry back", writes=True),
    Action("config.pull", "D", "Download", "download the model that is not here, or end that", writes=True),
    Action("config.next", "l,right", "Next value", "the next choice, or the next sensible number"),
    Action("config.find", "slash", "Find", "find a field by name"),
    Action("config.sweep", "A", "Sweep", "make this field an axis of the sweep, or end that"),
    Action("config.model", "M", "Model", "choose a model"),
    Action("config.engine", "E", "Engine", "choose an engine, or a server"),
    Action("config.undo", "u", "Undo", "take the last change back"),
    Action("config.reset", "0,backspace", "Reset", "back to the value that was loaded"),
    Action("config.discard", "X", "Discard", "discard what was changed: back to what was loaded", footer=False),
    Action("config.open", "O", "Open", "open a preset, a file or an earlier run"),
    Action("config.tune", "t", "Tune", "keep it loaded, and turn its knobs while it is measured", writes=True),
    Action("config.capacity", "C", "Capacity", "search how much load the server takes", footer=False, writes=True),
    Action("config.validate", "v", "Estimate", "validate, and estimate memory and time now"),
    Action("config.difference", "F", "Diff", "only what differs: from what was loaded, from the defaults"),
    Action("config.run-first", "R", "Run first", "queue it before everything that waits", footer=False, writes=True),
    Action(
        "config.profile", "P", "Profile", "measure it with more and more layers on the GPU", footer=False, writes=True
    ),
    Action("config.previous", "h,left", "Previous value", "the previous choice or number", footer=False),
    Action("config.switch", "space", "Switch", "switch on or off; fold or unfold", footer=False),
    Action("config.arrange", "Z", "Grid/zip", "axes as a grid, or advancing together", footer=False),
    Action("config.save", "w", "Save", "save to the file that it came from", footer=False, writes=True),
    Action("config.save-as", "W", "Save as", "save under another name", footer=False, writes=True),
    Action("config.copy", "c", "Copy", "copy as a command line", footer=False),
)


class FormNotes(Notes):
    """What stands above the form: contradictions, the sweep, what the form stands for."""

    def __init__(self, editor: FormEditor, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._editor = editor

    def lines(self, width: int, height: int) -> list[Text]:
        """For the form as it is."""
        return above(self._editor.page, width, height)


class ConfigPane(Pane):
    """Takes the keys of the form, and brings together what its parts do: editor, estimate, lists, files, the queue."""

    TITLE = "Config"
    ACTIONS = ACTIONS
    BINDINGS = bindings(ACTIONS)

    def __init__(self, app_context: AppContext, *, id: str, environ: Mapping[str, str] | None = None) -> None:  # noqa: A002
        super().__init__(app_context, id=id)
        self._environ: Mapping[str, str] = with_env_file(os.environ if environ is None else environ)
        self._trouble = ""
        self.form = Form(self._first())
        self.editor = FormEditor(app_context, self.form)
        self._above = FormNotes(self.editor, id="config-above")
        self._estimate = EstimateNotes(self.editor, id="config-below")
        self._heading = Heading(self)
        self._chooser = Chooser(self.editor, self._environ)
        self._puller = Puller(self.editor)
        self._starter = Starter(self.editor, self._estimate, self._puller)
        self._files = ConfigFiles(self.editor, self._environ)
        self._offered = False
        self._drafts = DraftKeeper(self.editor, self._environ, FIRST)
        self.form.subscribe(self._form_changed)

    def _first(self) -> Base:
        """The first preset, under the environment's variables unless one of them is wrong."""
        try:
            return from_preset(FIRST, self._environ)
        except ConfigError as error:
            self._trouble = f"{error}\nThe environment is left out of the form."
            self._environ = {name: self._environ[name] for name in _OF_FOLDERS if name in self._environ}
            return from_preset(FIRST, {})

    def compose(self) -> ComposeResult:
        """What is to be said above, the form, and what is to be said below."""
        yield self._above
        yield self.editor
        yield self._estimate

    def on_mount(self) -> None:
        """The first drawing; what was left here the last time comes back."""
        if self._trouble:
            self.app_context.say(self._trouble, "warning")
        self._form_changed()
        self.run_worker(self._drafts.restore(), group="drafts")

    async def on_unmount(self) -> None:
        """What the form holds is kept."""
        await self._drafts.close()

    def on_resize(self, _event: Resize) -> None:
        """Messages are wrapped for the width that there is."""
        self.call_after_refresh(self.editor.draw)

    def focus_inside(self) -> None:
        """To the form, or to what is being typed into it."""
        self.editor.focus_line()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """The machine may have become known, or be another."""
        if "queue" in touched and self.app_context.client_state.runner is not None:
            self._drafts.check_entry(self.app_context.client_state.entries)
        if not touched & {"runner", "pulls"}:
            return
        learned = self._chooser.look_again()
        if learned or self._estimate.question.trouble:  # there may be a connection again
            self._estimate.repeat()

    def reason(self, action: Action) -> str:
        """By what the form holds."""
        match action.name:
            case "pull":
                return self._puller.needless()
            case "undo" if not self.form.can_undo:
                return "nothing was changed"
            case "arrange" if not self.form.axes():
                return f"there is no sweep: {self.key('config.sweep', 'A')} makes the field under the cursor an axis"
        return ""

    def step_back(self) -> bool:
        """Every field again."""
        return self.editor.step_back()

    # What the parts tell.

    def _form_changed(self) -> None:
        config: Config | None = None
        if self.form.problem is None:
            config = self.form.config()
            heaviest = notes.heaviest(self.form.variants() or []) if self.form.axes() else None
            config = heaviest.config if heaviest is not None else config
        self._estimate.change(config)
        self.editor.draw()
        self._drafts.changed()

    @on(FormList.Drawn)
    def _drawn(self, event: FormList.Drawn) -> None:
        event.stop()
        count = sum(self.form.changed(key) for key in self.form.all_keys())
        self._heading.say(self.form.base.label + (f", {count} changed" if count else ""))
        self._above.compose_lines()
        self._estimate.compose_lines()
        self._offer()

    def _offer(self) -> None:
        """The footer says whether there is something to download."""
        offered = bool(self._puller.model())
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    @on(FormList.Moved)
    def _moved(self, event: FormList.Moved) -> None:
        event.stop()
        self._offer()
        self._estimate.compose_lines()

    @on(FormEditor.Typed)
    def _typed(self, event: FormEditor.Typed) -> None:
        event.stop()
        self._drafts.changed()

    @on(FormEditor.ChoiceWanted)
    def _choice_wanted(self, event: FormEditor.ChoiceWanted) -> None:
        event.stop()
        field = field_of(event.key)
        if field is not None and not self._chooser.choose(event.key, field):
            self.editor.edit()

    # From outside.

    def load(self, config: str, label: str) -> None:
        """Load a preset by its name, or TOML. What the form held can be undone; says so where it is not right."""
        if config not in sources.names():
            self.load_toml(config, label)
            return
        self.editor.leave_typing()
        self.form.load(from_preset(config, self._environ))

    def load_toml(self, text: str, label: str) -> None:
        """Load TOML exactly as it is; `label` says where it is from. Says so where it is not right."""
        self.editor.leave_typing()
        try:
            title = "" if label.startswith("tuning ") else label  # what follows is a name for folders
            self.form.load(from_text(text, label, title))
        except ConfigError as error:
            self.app_context.say(str(error), "error")

    def edit(self, entry: Entry) -> None:
        """Load a waiting entry of the queue; `r` puts it back there."""
        self.editor.leave_typing()
        self.form.load(from_config(entry.config, f"queue entry {entry.id}", entry.title), entry)

    # Keys of the row with the cursor.

    def action_next(self) -> None:
        """The next choice or number."""
        self.editor.step(1)

    def action_previous(self) -> None:
        """The previous choice or number."""
        self.editor.step(-1)

    def action_switch(self) -> None:
        """Switch a boolean; fold a heading."""
        self.editor.switch()

    def action_reset(self) -> None:
        """Back to what was loaded."""
        self.editor.reset()

    def action_sweep(self) -> None:
        """An axis, or no more."""
        self.editor.sweep()

    # Keys of the whole form.

    def action_undo(self) -> None:
        """Take the last change back."""
        if not self.form.undo():
            self.app_context.say("There is nothing to undo.")

    def action_discard(self) -> None:
        """Back to what was loaded; from there back to the first preset."""
        form, typed = self.form, self.editor.typing is not None
        self.editor.leave_typing()
        if form.values != form.base.values or form.entry is not None:
            form.load(form.base)
        elif form.base.target != FIRST:
            form.load(self._first())
        elif not typed:
            self.app_context.say("There is nothing to discard.")
            return
        undo = self.key("config.undo", "u")
        self.app_context.say(f"Discarded: {form.base.label} as it is.{'' if typed else f' {undo} brings it back.'}")

    def action_arrange(self) -> None:
        """Grid or zip."""
        self.editor.arrange_axes()

    def action_difference(self) -> None:
        """Everything, or what differs."""
        self.editor.next_difference()

    def action_find(self) -> None:
        """Type the name of a field."""
        self.editor.find()

    def action_model(self) -> None:
        """Choose a model."""
        self.editor.leave_typing()
        self._chooser.model()

    def action_engine(self) -> None:
        """Choose an engine."""
        self.editor.leave_typing()
        self._chooser.engine()

    def action_pull(self) -> None:
        """Download the model, or end that."""
        self._puller.switch()

    def action_validate(self) -> None:
        """Show what is known of the config, and ask anew."""
        self._estimate.open()

    def action_open(self) -> None:
        """Open a config."""
        self.editor.leave_typing()
        self._files.open()

    def action_save(self) -> None:
        """Save."""
        self._files.save()

    def action_save_as(self) -> None:
        """Save under another name."""
        self._files.save_as()

    def action_copy(self) -> None:
        """Copy as a command line."""
        try:
            self.app_context.copy(command_line(self.form), "the command line")
        except InfertuiError as error:
            self.app_context.say(str(error), "error")

    def action_run(self) -> None:
        """Queue it, or put the entry back."""
        self._starter.queue(front=False)

    def action_run_first(self) -> None:
        """Queue it before everything that waits."""
        self._starter.queue(front=True)

    def action_profile(self) -> None:
        """A study of layers on the GPU."""
        self._starter.profile()

    def action_tune(self) -> None:
        """A tuning session from the form, or the one under way."""
        self._starter.tune()

    def action_capacity(self) -> None:
        """A search for the most load that keeps objectives."""
        self._starter.capacity()
