"""Asks what a search is for: objectives, the range of levels, how long it may take."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.markup import escape
from textual.widgets import Input, Static

from infertui.analysis.capacity.plan import SEARCHED, check_search, plan_of, stay_of
from infertui.analysis.capacity.wording import level_text
from infertui.config.endpoint import CapacityConfig
from infertui.config.fields import FIELDS, parse_text
from infertui.config.parse import FlatValue, build, flat_values
from infertui.config.schema import Config
from infertui.errors import ConfigError, InfertuiError
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import clock
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.prompt import LineInput

USUAL_SLO = "ttft.p95<500ms tpot.mean<50ms"
_BY = {"concurrency": "concurrency", "c": "concurrency", "rate": "rate", "r": "rate"}
_LINES = (
    ("slo", "objectives"),
    ("by", "level"),
    ("least", "from"),
    ("most", "to"),
    ("stay_s", "stay, s"),
    ("max_seconds", "at most, s"),
)


class CapacityDialog(Dialog[Config | None]):
    """Returns the config of the search, or None. `config` is what is asked at each level."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("capacity-begin.back", "escape", "Back", "queue nothing"),
        Action("capacity-begin.next", "down,tab", "Next", "the next line"),
        Action("capacity-begin.previous", "up,shift+tab", "Previous", "the line before"),
    )
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS
    DEFAULT_CSS = """
    CapacityDialog .line { height: 1; }
    CapacityDialog .line Static { width: 13; }
    CapacityDialog .line LineInput { margin-bottom: 0; }
    CapacityDialog .note { height: auto; min-height: 2; max-height: 4; margin-top: 1; }
    """

    def __init__(self, config: Config) -> None:
        super().__init__(classes="dialog")
        self._flat = _without_levels(config)
        asked, slo = config.capacity, config.load.slo
        by = asked.by if asked.by != "none" else "rate" if config.load.request_rate else "concurrency"
        self._proposed = {
            "slo": slo or USUAL_SLO,
            "by": by,
            "least": f"{asked.least:g}",
            "most": f"{asked.most:g}",
            "stay_s": f"{stay_of(CapacityConfig(by=by, stay_s=asked.stay_s)):g}",
            "max_seconds": f"{asked.max_seconds:g}",
        }
        self._where = config.target.url or config.target.serve

    def compose(self) -> ComposeResult:
        """A line for each, what they come to, the keys."""
        with Vertical(classes="box") as box:
            box.border_title = escape(safe(f"Capacity of {self._where}"))
            for key, label in _LINES:
                with Horizontal(classes="line"):
                    yield Static(plain(label, palette(self.app).muted), markup=False)
                    yield LineInput(self._proposed[key], id=f"capacity-{key}")
            yield Static(classes="note", markup=False)
            yield Static(plain("tab next line   enter queue it   esc back"), classes="keys", markup=False)

    def on_mount(self) -> None:
        """The objectives first."""
        line = self.query_one("#capacity-slo", LineInput)
        line.focus()
        line.action_select_all()
        self.tell()

    def tell(self) -> Config | None:
        """Show what the lines come to; the config, None where one of them is wrong."""
        typed = {key: self.query_one(f"#capacity-{key}", LineInput).value.strip() for key, _ in _LINES}
        config, words = understood(self._flat, typed)
        text = plain(words, palette(self.app).error if config is None else palette(self.app).muted)
        text.no_wrap = False
        self.query_one(".note", Static).update(text)
        return config

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.tell()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if (config := self.tell()) is not None:
            self.dismiss(config)

    @on(LineInput.Cancelled)
    def _cancelled(self, event: LineInput.Cancelled) -> None:
        event.stop()
        self.dismiss(None)

    def action_next(self) -> None:
        """The next line."""
        self.focus_next(LineInput)

    def action_previous(self) -> None:
        """The line before."""
        self.focus_previous(LineInput)

    def action_back(self) -> None:
        """Leave without a search."""
        self.dismiss(None)


def understood(flat: dict[str, FlatValue], typed: dict[str, str]) -> tuple[Config | None, str]:
    """The config, and what it comes to; None, and what is wrong."""
    by = _BY.get(typed["by"].lower())
    if by is None:
        return None, "level: concurrency (requests in flight) or rate (requests a second)"
    values: dict[str, FlatValue] = {"load.slo": typed["slo"], "capacity.by": by}
    try:
        for key, _ in _LINES[2:]:
            values[f"capacity.{key}"] = parse_text(f"capacity.{key}", typed[key])
        config = build(flat | values)
        check_search(config)
        plan = plan_of(config)
    except ConfigError as error:
        name = next((label for key, label in _LINES if error.path == f"capacity.{key}"), error.path)
        return None, f"{name}: {error.problem}" + (f"; {error.allowed}" if error.allowed else "")
    except InfertuiError as error:
        return None, error.message
    stays = f"up to {plan.most_stays} stays of {stay_of(config.capacity):g} s and more"
    return config, f"begins at {level_text(plan.kind, plan.start)}; {stays}, {clock(plan.most_seconds)} at most"


def _without_levels(config: Config) -> dict[str, FlatValue]:
    """The config's values, but for what a search changes by itself."""
    flat: dict[str, FlatValue] = dict(flat_values(config))
    for key in (*SEARCHED, "capacity.start", "capacity.continues"):
        default = FIELDS[key].default
        assert isinstance(default, str | float | int)  # noqa: S101
        flat[key] = default
    return flat
