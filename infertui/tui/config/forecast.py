"""Keeps the forecast of the Config pane up to date: asked when typing has paused, one question at a time.

Asking the runner about a config that keeps changing: one question at a time, and no answer to an old one.
"""

from collections.abc import Callable

from textual.timer import Timer
from textual.widget import Widget

from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.runner.control import Forecast
from infertui.tui.context import Cockpit

QUIET_S = 0.4
"""After the last change for so long, the runner is asked."""
SLOW_S = 3.0
"""When no answer has come for so long, it is said what may take the time."""


class Question:
    """What is to be asked, what is being asked, and the answer to what is shown now."""

    def __init__(self) -> None:
        self.answer: Forecast | None = None
        self.trouble = ""
        """Why there is no answer."""
        self.slow = False
        """Whether the one who is asked has been at it for some seconds."""
        self._wanted: Config | None = None
        self._asked: Config | None = None
        self._settled = True

    @property
    def waiting(self) -> bool:
        """Whether an answer is on its way or about to be asked for."""
        return not self._settled

    def change(self, config: Config | None) -> bool:
        """The config is now this, or none that could run. Whether there is something to ask, after QUIET_S."""
        if config == self._wanted:
            return False
        self._wanted, self.answer, self.trouble = config, None, ""
        self._settled = config is None
        return config is not None

    def repeat(self) -> bool:
        """Ask once more: the runner is another, or the user wants to know now. Whether there is something to ask."""
        self._settled = self._wanted is None
        return self._wanted is not None

    def take(self) -> Config | None:
        """The config to ask about now; None when there is none, or an answer has to come first."""
        if self._settled or self._asked is not None:
            return None
        self._asked = self._wanted
        return self._asked

    def answered(self, answer: Forecast | None, trouble: str = "") -> bool:
        """An answer came, or `trouble` instead. False when the question has changed meanwhile: `take` again."""
        asked, self._asked, self.slow = self._asked, None, False
        if asked != self._wanted:
            return False
        self.answer, self.trouble, self._settled = answer, trouble, True
        return True


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
