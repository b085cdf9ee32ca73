"""What every pane may reach: the runner, its mirror, the settings, and how to say something to the user."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol

from infertui.runner.control import RunnerApi
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.settings.stored import Settings
from infertui.tui.state import ClientState

Severity = Literal["information", "warning", "error"]


class AppContext(Protocol):
    """The application as its panes see it."""

    @property
    def client_state(self) -> ClientState:
        """What is known of the runner."""
        ...

    @property
    def settings(self) -> Settings:
        """The user's settings; change them through `change_settings`."""
        ...

    @property
    def out(self) -> Path:
        """The reports folder of this screen, absolute."""
        ...

    @property
    def control(self) -> RunnerApi:
        """The runner. Raises InfertuiError from every method while there is no connection."""
        ...

    @property
    def ascii_only(self) -> bool:
        """Whether this terminal shows ASCII only."""
        ...

    def intend(self, work: Callable[[RunnerApi], Awaitable[object]], *, done: str = "") -> None:
        """Ask something of the runner without waiting: an error becomes a toast, success says `done` if given."""
        ...

    def say(self, text: str, severity: Severity = "information") -> None:
        """A toast. `text` may be foreign: it is cleaned and shown without markup."""
        ...

    def confirm(self, question: str, *, yes: str, then: Callable[[], None]) -> None:
        """Ask before something is lost; `yes` names the act. The safe button has the focus."""
        ...

    def change_settings(self, settings: Settings) -> None:
        """Replace the settings, and save them."""
        ...

    def copy(self, text: str, what: str) -> None:
        """To the clipboard by OSC 52 and into a file; says so, with `what` it was."""
        ...

    def open_in_config(self, toml: str, label: str) -> None:
        """Load a config into the Config pane and go there; `label` says where it came from."""
        ...

    def edit_entry(self, entry: Entry) -> None:
        """Load a waiting entry into the Config pane, to be put back from there."""
        ...

    def show_details(self, run: str, *, out: str = "") -> None:
        """Open the details of a run, of this screen's reports folder unless `out` names another."""
        ...
