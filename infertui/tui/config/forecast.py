"""Keeps the forecast of the Config pane up to date: asked when typing has paused, one question at a time."""

from collections.abc import Callable

from textual.timer import Timer
from textual.widget import Widget

from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.tui.config.question import QUIET_S, SLOW_S, Question
from infertui.tui.context import Cockpit


class Forecaster:
    """Asks the runner about the config that the form holds; `told` is called when there is something new to show."""

    def __init__(self, widget: Widget, cockpit: Cockpit, told: Callable[[], None]) -> None:
        self.question = Question()
        self._widget = widget
        self._cockpit = cockpit
        self._told = told
        self._timer: Timer | None = None

    def change(self, config: Config | None) -> None:
        """The form holds this now, or nothing that could run."""
        if self.question.change(config):
            self._ask_in(QUIET_S)

    def repeat(self, *, at_once: bool = False) -> None:
        """Ask about the same again."""
        if self.question.repeat():
            self._ask_in(0 if at_once else QUIET_S)

    def _ask_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if not self._widget.is_attached:
            return
        if seconds:
            self._timer = self._widget.set_timer(seconds, self._ask)
        elif self._timer is None:
            self._ask()

    def _ask(self) -> None:
        self._timer = None
        config = self.question.take()
        if config is not None:
            self._widget.run_worker(self._fetch(config), group="forecast")

    def _slow(self) -> None:
        self.question.slow = True
        self._told()

    async def _fetch(self, config: Config) -> None:
        timer = self._widget.set_timer(SLOW_S, self._slow)
        try:
            answer, trouble = await self._cockpit.control.forecast(config), ""
        except InfertuiError as error:
            answer, trouble = None, error.message
        finally:
            timer.stop()
        if self.question.answered(answer, trouble):
            self._told()
        elif self._timer is None:
            self._ask()
