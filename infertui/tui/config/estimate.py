"""What stands below the form: what the field with the cursor means, and the estimate, asked for as the form changes."""

import asyncio
from typing import TYPE_CHECKING

from textual.timer import Timer

from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.runner.control import Forecast
from infertui.tui.config.forecast import PATIENCE_S, QUIET_S, SLOW_S, ForecastRequest
from infertui.tui.config.form.editor import FormEditor
from infertui.tui.config.form.notes import Notes, below, forecast_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from infertui.tui.config.dialogs import ForecastScreen


class EstimateNotes(Notes):
    """Asks the runner about the config once typing has paused, one question at a time, and shows its answer."""

    def __init__(self, editor: FormEditor, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._editor = editor
        self.question = ForecastRequest()
        self._timer: Timer | None = None
        self._reading: ForecastScreen | None = None

    def lines(self, width: int, height: int) -> "Sequence[Text]":
        """For the row with the cursor."""
        return below(self._editor.page, self.question, self._editor.row, width, height)

    def change(self, config: Config | None) -> None:
        """The form holds this now, or nothing that could run."""
        if self.question.change(config):
            self._ask_in(QUIET_S)

    def repeat(self, *, at_once: bool = False) -> None:
        """Ask about the same again."""
        if self.question.repeat():
            self._ask_in(0 if at_once else QUIET_S)

    def open(self) -> None:
        """Ask anew at once, and show everything that is known on a screen of its own."""
        from infertui.tui.config.dialogs import ForecastScreen

        self.repeat(at_once=True)
        self._reading = ForecastScreen("Estimate", forecast_lines(self._editor.page, self.question))

        def closed(_: None) -> None:
            self._reading = None

        self.app.push_screen(self._reading, closed)

    async def known(self, config: Config) -> Forecast | None:
        """What is known of what the form holds, `config` or of a sweep the run that takes most; waited for a while
        where the answer is under way."""
        if not self.question.waiting:
            return self.question.answer
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._editor.app_context.control.forecast(self.question.wanted or config)
        except (InfertuiError, OSError, EOFError):  # a timeout is an OSError; who queues it hears of a lost runner
            return None

    def _tell(self) -> None:
        self.compose_lines()
        if self._reading is not None:
            self._reading.tell(forecast_lines(self._editor.page, self.question))

    def _ask_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if not self.is_attached:
            return
        if seconds:
            self._timer = self.set_timer(seconds, self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        self._timer = None
        config = self.question.take()
        if config is not None:
            self.run_worker(self._fetch(config), group="forecast")

    def _slow(self) -> None:
        self.question.slow = True
        self._tell()

    async def _fetch(self, config: Config) -> None:
        timer = self.set_timer(SLOW_S, self._slow)
        try:
            answer, trouble = await self._editor.app_context.control.forecast(config), ""
        except InfertuiError as error:
            answer, trouble = None, error.message
        finally:
            timer.stop()
        if self.question.answered(answer, trouble):
            self._tell()
        elif self._timer is None:
            self._ask()
