"""What was done to the queue from this screen, the last first, and how to undo it. Pure."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import Struct

from infertui.runner.control import RunnerApi

KEPT = 50
Undo = Callable[[RunnerApi], Awaitable[object]]


class QueueChange(Struct):
    """A change in words, as in `took 2 waiting runs out`; `undo` is None where nothing brings back what was."""

    text: str
    at: datetime
    undo: Undo | None = None
    undone: bool = False

    @property
    def line(self) -> str:
        """`14:02 took 2 waiting runs out  (undone)`."""
        remark = "undone" if self.undone else "" if self.undo else "cannot be undone"
        return f"{self.at:%H:%M} {self.text}" + (f"  ({remark})" if remark else "")


class History:
    """The last changes."""

    def __init__(self) -> None:
        self.steps: list[QueueChange] = []
        """The last one first."""

    def did(self, text: str, undo: Undo | None = None) -> None:
        """Something was done."""
        self.steps.insert(0, QueueChange(text, datetime.now().astimezone(), undo))
        del self.steps[KEPT:]

    def undoable(self, up_to: int = 0) -> list[QueueChange]:
        """Those that can be undone and have not been, from the last one to that at `up_to`; by default the last one."""
        found = [step for step in self.steps if step.undo is not None and not step.undone]
        return found[:1] if not up_to else [step for step in self.steps[:up_to] if step in found]
