"""The Cost pane: what the run under the cursor in Results costs, or the marked ones, and what follows from that."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer
from textual.widgets import Input

from infertui.analysis.cost.prices import Prices, is_currency, keep_gpu_price, load_prices, user_file
from infertui.analysis.cost.total import CURRENCY, RunCost, Terms, beside, gpu_price, parse_load, run_cost
from infertui.analysis.cost.wording import Remedies
from infertui.errors import InfertuiError, UsageError
from infertui.text import shorten
from infertui.tui.cost.view import CostView, cost_lines, nothing_lines
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.topics import ALL_TOPICS, Topic
from infertui.tui.notify import of_error
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.pane import Heading, Pane
from infertui.tui.widgets.prompt import LineInput

if TYPE_CHECKING:
    from infertui.results.result import Result
    from infertui.tui.frame.context import AppContext

MOST_SHOWN = 32
"""Of the marked runs, so many at most: each is read whole."""
_MOST_KEPT = 128
_REST_S = 0.25
"""So long the cursor has to rest on a run before it is read."""

ACTIONS = (
    Action("cost.price", "g", "GPU-hour", "what an hour of this run's GPU costs; kept in prices.toml"),
    Action("cost.load", "l", "Load", 'the load that a fleet is for: "2000 tok/s" or "5 req/s"'),
    Action("cost.budget", "b", "Budget", "what is spent a month, to see what is saved of it"),
    Action("cost.electricity", "e", "kWh", "what a kilowatt-hour of electricity costs"),
    Action("cost.currency", "u", "Currency", "the currency of prices and budget: EUR"),
)


class CostPane(Pane, can_focus=True):
    """Money. It takes the focus itself: nothing in it can be chosen."""

    TITLE = "Cost"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = """
    CostPane > GaugeColumn { width: 1fr; height: 1fr; }
    CostPane > LineInput { display: none; width: 1fr; }
    """

    def __init__(self, app_context: "AppContext", *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(app_context, id=id)
        self._runs: tuple[str, ...] = ()
        self._known: dict[str, Result | None] = {}
        """Results that were read, the last used ones last; None where there is none to read."""
        self._prices = Prices()
        self._problem = ""
        self._due: Timer | None = None
        self._take: Callable[[str], None] = lambda _: None
        self._heading = Heading(self)
        self._lines = GaugeColumn()
        self._input = LineInput()
        self._version = -1

    def compose(self) -> ComposeResult:
        """The lines, and where a price is typed."""
        yield self._lines
        yield self._input

    def on_mount(self) -> None:
        """Prices are read once, and again when one was changed here."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())
        self._read_prices()
        self.show(ALL_TOPICS)

    def on_resize(self) -> None:
        """Lay out anew."""
        self._draw()

    def focus_inside(self) -> None:
        """The pane itself has the focus."""
        self.focus()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Results of the same id may be others now; settings may have changed elsewhere."""
        if not self.is_attached:
            return
        version = self.app_context.client_state.results_version
        if version != self._version:
            self._version = version
            self._known.clear()
        self._draw()
        self._want()

    def look_at(self, runs: tuple[str, ...]) -> None:
        """These are the runs to tell the cost of."""
        if runs != self._runs:
            self._runs = runs
            self._draw()
            self._want()

    def step_back(self) -> bool:
        """Nothing to step out of but the line that is typed in, which hears Esc itself."""
        return False

    # What is known.

    def _read_prices(self) -> None:
        try:
            self._prices, self._problem = load_prices(), ""
        except InfertuiError as error:
            self._problem = error.message

    @property
    def _wanted(self) -> list[str]:
        """The runs to show with the baseline, those not read yet."""
        runs = dict.fromkeys((*self._runs[:MOST_SHOWN], self.app_context.settings.baseline))
        return [run for run in runs if run and run not in self._known]

    def _want(self) -> None:
        """Read what is missing as soon as the cursor rests, if the pane can be seen."""
        if self._due is not None:
            self._due.stop()
            self._due = None
        if self.is_attached and self.display and self._wanted:
            self._due = self.set_timer(_REST_S, self.read)

    def read(self) -> None:
        """Read what is missing now; called when the cursor has rested."""
        self._due = None
        self.run_worker(self._fetch(), exclusive=True, group="cost")

    async def _fetch(self) -> None:
        for run in self._wanted:
            try:
                details = await self.app_context.control.details(str(self.app_context.out), run)
            except InfertuiError as error:
                if run in self._runs:
                    self._heading.say(error.message)
                return
            self._known[run] = details.result
            while len(self._known) > _MOST_KEPT:
                self._known.pop(next(iter(self._known)))
            self._draw()

    def _terms(self) -> Terms:
        settings = self.app_context.settings
        try:
            load = parse_load(settings.load) if settings.load else None
        except UsageError:
            load = None
        return Terms(
            currency=settings.currency if is_currency(settings.currency) else "",
            electricity=settings.electricity or None,
            load=load,
            budget=settings.monthly_budget or None,
        )

    def _costs(self) -> tuple[list[RunCost], str]:
        """The costs of the runs that are here, and the baseline's name."""
        terms, baseline = self._terms(), self._known.get(self.app_context.settings.baseline)
        costs = []
        against = run_cost(baseline, self._prices, terms) if baseline else None
        for run in self._runs[:MOST_SHOWN]:
            result = self._known.get(run)
            if result is not None:
                cost = run_cost(result, self._prices, terms)
                costs.append(beside(cost, against, terms) if against and run != against.id else cost)
        return costs, against.name if against else ""

    # Drawing.

    def _draw(self) -> None:
        width, height = self._lines.size
        if not self.is_attached or width < 1 or height < 1:
            return
        look = RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)
        costs, baseline = self._costs()
        if self._problem:
            lines = nothing_lines([self._problem], width, look)
        elif costs:
            view = CostView(tuple(costs), self._terms(), self._remedies(), baseline)
            lines = cost_lines(view, width, height, look)
            lines += self._hints(width, height - len(lines), look, costs)
        else:
            lines = nothing_lines(self._words(), width, look)[:height]
        self._lines.set_cells(lines)
        if self._input.display:
            return  # the title says what is asked for
        marked = f"{len(self._runs):,} marked" if len(self._runs) > 1 else ""
        if len(self._runs) > MOST_SHOWN:
            marked += f", the first {MOST_SHOWN} shown"
        self._heading.say(marked)

    def _remedies(self) -> Remedies:
        key, currency = self.key("cost.price", "g"), self.key("cost.currency", "u")
        other = f", {currency} changes the currency" if self.app_context.settings.currency else ""
        return Remedies(f"{key} here gives one{other}", f"{key} here gives it")

    def _words(self) -> list[str]:
        if not self._runs:
            return ["No run is chosen: the cursor in Results chooses one."]
        if any(run in self._known for run in self._runs):
            return ["This run has no result that can be read."]
        return ["Reading the run."]

    def _hints(self, width: int, room: int, look: RenderContext, costs: list[RunCost]) -> list[Text]:
        """What else could be told, and how to ask for it; one line less than there is room for."""
        settings, words = self.app_context.settings, []
        if settings.currency and not is_currency(settings.currency):
            words.append(
                f"the currency {settings.currency} is no currency: {self.key('cost.currency', 'u')} changes it"
            )
        if settings.load and self._terms().load is None:
            words.append(f"the load {settings.load} is not understood: {self.key('cost.load', 'l')} changes it")
        if not settings.load:
            words.append(f"{self.key('cost.load', 'l')}: a fleet for a load")
        if not settings.baseline:
            words.append(f"{self.key('results.baseline', 'b')} in Results: a baseline")
        elif not settings.monthly_budget and any(cost.ratio is not None for cost in costs):
            words.append(f"{self.key('cost.budget', 'b')}: a budget to save from")
        lines = nothing_lines(words, width, look)
        return [Text(), *lines] if words and len(lines) < room else []

    # Keys.

    @property
    def _first(self) -> "Result | None":
        return next((found for run in self._runs if (found := self._known.get(run)) is not None), None)

    def action_price(self) -> None:
        """Type what an hour costs."""
        result = self._first
        device = result.loaded.device_name if result and result.loaded else ""
        if not device:
            self.app_context.say("No run with a device is chosen in Results.", "warning")
            return
        listed = gpu_price(device, self._prices)
        now = f"{listed.value:g} {listed.currency}" if listed else ""
        self._ask(f"one {device} for an hour, as 2.50 EUR", now, lambda text: self._keep_price(device, text))

    def _keep_price(self, device: str, text: str) -> None:
        amount, _, code = text.strip().partition(" ")
        currency = code.strip().upper() or self.app_context.settings.currency or CURRENCY
        if not is_currency(currency):
            raise UsageError(f"{shorten(code.strip(), 20)!r} is no currency: three letters, as in EUR")
        price = _amount(amount, "the price")
        keep_gpu_price(device, price, currency, date=f"{datetime.now().astimezone():%Y-%m}", path=user_file())
        self._read_prices()
        settings = self.app_context.settings
        if settings.currency and settings.currency != currency:
            # Prices in another currency would not be used, and the one that was just given least of all.
            self.app_context.change_settings(replace(settings, currency=currency))

    def action_load(self) -> None:
        """Type the load."""

        def take(text: str) -> None:
            if text:
                parse_load(text)
            self.app_context.change_settings(replace(self.app_context.settings, load=text))

        self._ask("2000 tok/s, or 5 req/s; nothing: no fleet", self.app_context.settings.load, take)

    def action_budget(self) -> None:
        """Type the budget."""

        def take(text: str) -> None:
            budget = _amount(text, "the budget") if text else 0.0
            self.app_context.change_settings(replace(self.app_context.settings, monthly_budget=budget))

        self._ask("spent a month; nothing: none", _shown(self.app_context.settings.monthly_budget), take)

    def action_electricity(self) -> None:
        """Type the price of electricity."""

        def take(text: str) -> None:
            price = _amount(text, "the price") if text else 0.0
            self.app_context.change_settings(replace(self.app_context.settings, electricity=price))

        self._ask("a kilowatt-hour; nothing: as listed", _shown(self.app_context.settings.electricity), take)

    def action_currency(self) -> None:
        """Type the currency."""

        def take(text: str) -> None:
            currency = text.upper()
            if currency and not is_currency(currency):
                raise UsageError(f"{shorten(text, 20)!r} is no currency: three letters, as in EUR")
            self.app_context.change_settings(replace(self.app_context.settings, currency=currency))

        self._ask("EUR, USD ...; nothing: as listed", self.app_context.settings.currency, take)

    # The line that is typed in.

    def _ask(self, what: str, now: str, take: Callable[[str], None]) -> None:
        self._take = take
        self._input.placeholder = what
        self._input.value = now
        self._input.cursor_position = len(now)
        self._input.display = True
        self._input.focus()
        self._heading.say(what)

    @on(Input.Submitted)
    def _given(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            self._take(event.value.strip())
        except InfertuiError as error:
            self.app_context.say(of_error(error), "warning")
            return
        self._end_input()

    @on(LineInput.Cancelled)
    def _cancelled(self, event: LineInput.Cancelled) -> None:
        event.stop()
        self._end_input()

    def _end_input(self) -> None:
        self._input.display = False
        self.focus()
        self._draw()


def _shown(value: float) -> str:
    return f"{value:g}" if value else ""


def _amount(text: str, what: str) -> float:
    try:
        value = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise UsageError(f"{what} {shorten(text, 40)!r} is not understood; allowed: a number, 0 or more")
    return value
