"""Runs side by side over the whole screen: what differs, by how much, and how sure that is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from infertui.errors import InfertuiError
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import plain
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.page import KeyLine, PageScreen
from infertui.tui.widgets.pager import ACTIONS as PAGER_ACTIONS
from infertui.tui.widgets.pager import Pager

if TYPE_CHECKING:
    from infertui.results.table import ResultRow
    from infertui.runner.control import Compared
    from infertui.tui.frame.context import AppContext
    from infertui.tui.results.compare.scene import Scene

ACTIONS = (
    Action("compare.back", "escape,q", "Back", "back to where you came from"),
    Action("compare.next", "right,l,tab", "Next run", "the next run in full"),
    Action("compare.previous", "left,h,shift+tab", "Previous run", "the run before in full", footer=False),
    Action("compare.baseline", "b,s", "Baseline", "the run in focus becomes the baseline; of two: swap them"),
    Action("compare.differences", "d", "Differences", "all differences, or the first few"),
    Action(
        "compare.pairs",
        "p",
        "Pairs",
        "of runs of one bench: its paired result, or the runs by themselves",
        footer=False,
    ),
    Action("compare.open", "enter", "Details", "everything about the run in focus"),
    Action("compare.open-baseline", "A", "Details of A", "everything about the baseline", footer=False),
    Action("compare.bench", "B", "Bench", "measure these configurations in turn, several rounds", writes=True),
    Action("compare.copy", "y", "Copy", "copy the comparison as Markdown"),
    Action("compare.reload", "r", "Read again", "read the runs again", footer=False),
)
_KEYS = "esc back  h l run  b baseline  d differences  enter details  B bench  y copy"
_KEYS_OF_TWO = "esc back  b swap  d differences  enter details of B  B bench  y copy  ? help"


class Sheet(Pager, inherit_bindings=False):
    """A pager that leaves `b` to the screen."""

    ACTIONS: ClassVar[tuple[Action, ...]] = tuple(
        Action(one.id, one.keys.removesuffix(",b"), one.label, one.help, footer=False) for one in PAGER_ACTIONS
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]


class CompareScreen(PageScreen):
    """The first of `rows` against each of the others, as the runner works it out."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    BINDING_GROUP_TITLE = "Compare"

    def __init__(self, app_context: "AppContext", rows: "Sequence[ResultRow]", *, out: str) -> None:
        super().__init__(app_context, Sheet(id="compare-text"))
        self._rows = tuple(rows)
        self._out = out
        self._found: Compared | None = None
        self._single = False
        """Whether the runs of a bench are looked at by themselves."""
        self._scene: Scene | None = None

    def compose(self) -> ComposeResult:
        """A frame around text and keys."""
        self._frame.border_title = f"Compare {len(self._rows)} runs"
        with self._frame:
            yield self._pager
            yield KeyLine(_KEYS if len(self._rows) > 2 else _KEYS_OF_TWO)

    def action_reload(self) -> None:
        """Ask the runner, now or again."""
        self._ask(self._rows, self._scene.focus if self._scene else 1)

    def _ask(self, rows: "tuple[ResultRow, ...]", focus: int) -> None:
        """Compare `rows`; what is shown stays until the answer is there. A later question ends this one."""
        self._problem = ""
        self._frame.border_subtitle = "reading"
        self.run_worker(self._read(rows, focus), exclusive=True)
        self._lay_out()

    async def _read(self, rows: "tuple[ResultRow, ...]", focus: int) -> None:
        try:
            self._found = await self._app_context.control.compare(self._out, [row.id for row in rows])
        except InfertuiError as error:
            self._problem = str(error)
        else:
            self._rows = rows
            self._show(focus)
        self._frame.border_subtitle = ""
        self._lay_out()

    def _show(self, focus: int) -> None:
        """Make a scene of what was found: the bench that all runs are of, unless the runs themselves are wanted."""
        from infertui.analysis.bench import rejudged
        from infertui.analysis.compare import judged
        from infertui.tui.results.compare.scene import of_bench, of_runs

        found = self._found
        if found is None:
            return
        unfolded = self._scene is not None and self._scene.unfolded
        bench = None if self._single else found.bench
        band = self._app_context.settings.equal_within
        runs = [judged(one, band) for one in found.runs] if bench is None else []
        scene = of_runs(self._rows, runs) if bench is None else of_bench(rejudged(bench, band))
        self._scene = replace(scene, focus=max(1, min(focus, len(scene.sides) - 1)), unfolded=unfolded)
        what = "A bench" if bench else f"Compare {len(self._rows)} runs"
        self._frame.border_title = what
        self._bring_into_view()

    # What is shown.

    def lines(self, width: int, height: int, look: RenderContext) -> list[Text]:
        """The comparison."""
        from infertui.tui.results.compare.view import document

        if self._scene is None:
            return [plain(f"reading {len(self._rows)} runs; esc gives up", look.palette.muted)]
        return document(self._scene, width, height, look)

    def fit(self) -> None:
        """Another size may have room for other runs."""
        self._bring_into_view()

    def _bring_into_view(self) -> None:
        """Scroll the table sideways, so that the run in focus is in it."""
        from infertui.tui.results.compare.view import columns_that_fit

        scene, width = self._scene, self._pager.size.width
        if scene is not None and width:
            count = columns_that_fit(scene, width)
            first = max(min(scene.first, scene.focus), scene.focus - count + 1)
            self._scene = replace(scene, first=max(1, min(first, len(scene.sides) - count)))

    def _step(self, by: int) -> None:
        if self._scene is not None:
            others = max(1, len(self._scene.sides) - 1)
            self._scene = replace(self._scene, focus=(self._scene.focus - 1 + by) % others + 1)
            self._bring_into_view()
            self._lay_out()

    # Acts.

    def action_next(self) -> None:
        """The next run."""
        self._step(1)

    def action_previous(self) -> None:
        """The run before."""
        self._step(-1)

    def action_baseline(self) -> None:
        """The run in focus and the baseline change places."""
        scene = self._scene
        if scene is None:
            return
        if self._is_bench:
            self._app_context.say("A bench is compared with its own baseline; p shows its runs by themselves.")
            return
        rows = list(self._rows)
        rows[0], rows[scene.focus] = rows[scene.focus], rows[0]
        self._ask(tuple(rows), scene.focus)

    def action_pairs(self) -> None:
        """The bench, or the marked runs by themselves."""
        if self._found is None or self._found.bench is None:
            self._app_context.say("These runs are not all of one bench: there are no rounds to pair.")
            return
        self._single = not self._single
        self._show(1)
        self._lay_out(top=0)

    @property
    def _is_bench(self) -> bool:
        return not self._single and self._found is not None and self._found.bench is not None

    def action_differences(self) -> None:
        """All of them, or the first few."""
        if self._scene is not None:
            self._scene = replace(self._scene, unfolded=not self._scene.unfolded)
            self._lay_out()

    def action_open(self) -> None:
        """The details of the run in focus."""
        self._open(self._scene.focus if self._scene else 1)

    def action_open_baseline(self) -> None:
        """The details of the baseline."""
        self._open(0)

    def _open(self, index: int) -> None:
        run = self._scene.sides[index].run if self._scene else self._rows[index].id
        if run:
            self._app_context.show_details(run, out=self._out)

    def action_bench(self) -> None:
        """Measure them in turn."""
        from infertui.tui.results.bench import ask_for_bench

        ask_for_bench(self.app, self._app_context, self._rows, self._out)

    def action_copy(self) -> None:
        """As Markdown."""
        from infertui.analysis.compare_text import markdown

        if self._scene is not None and self._scene.found:
            text = markdown(self._scene.found, self._scene.title, self._scene.remarks)
            self._app_context.copy(text + "\n", "the comparison as Markdown")
