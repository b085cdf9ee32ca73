"""Asking the runner about a config that keeps changing: one question at a time, and no answer to an old one."""

from infertui.config.schema import Config
from infertui.runner.control import Forecast

QUIET_S = 0.4
"""After the last change for so long, the runner is asked."""
SLOW_S = 3.0
"""When no answer has come for so long, it is said what may take the time."""
PATIENCE_S = 5.0
"""Whoever queues a config waits so long for the answer about it, and no longer."""


class ForecastRequest:
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

    @property
    def wanted(self) -> Config | None:
        """What is to be known now."""
        return self._wanted

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
