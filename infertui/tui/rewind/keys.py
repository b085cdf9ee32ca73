"""The keys that hold the picture, and show an earlier moment: while that lasts nothing else is drawn."""

from typing import TYPE_CHECKING

from infertui.tui.app_context import ContextApp

if TYPE_CHECKING:
    from infertui.tui.frame.layout import PaneLayout

STEP_S, LONG_STEP_S = 10.0, 300.0
"""How far keys go back in time, and on again."""


class TimeTravel(ContextApp):
    """The part of the application that chooses the moment which is shown."""

    @property
    def stage(self) -> "PaneLayout":
        """The panes."""
        return self.main.stage

    @property
    def is_held(self) -> bool:
        """Whether the picture stands still, at the moment of that or an earlier one."""
        return self.scheduler.frozen

    def action_freeze(self) -> None:
        """Hold the picture."""
        if self.is_held:
            self.go_on()
        else:
            self.rewind.hold()
            self._hold()

    def _hold(self) -> None:
        self.scheduler.frozen = True
        self.scheduler.again()
        self.main.draw_header()
        self.screen.refresh_bindings()

    def go_on(self) -> None:
        """Show what is now, and what comes."""
        if self.is_held:
            self.rewind.release()
            self.scheduler.frozen = False
            self.stage.all_stale()
            self.scheduler.redraw_all()
            self.main.draw_header()
            self.screen.refresh_bindings()

    def action_earlier(self) -> None:
        """A moment before."""
        self._step(-STEP_S)

    def action_later(self) -> None:
        """A moment on, up to now."""
        self._step(STEP_S)

    def action_much_earlier(self) -> None:
        """Five minutes before."""
        self._step(-LONG_STEP_S)

    def action_much_later(self) -> None:
        """Five minutes on, up to now."""
        self._step(LONG_STEP_S)

    def _step(self, seconds: float) -> None:
        if seconds > 0 and not self.is_held:
            self.say("This is now already.")
        elif self.rewind.step(seconds):
            self._hold()
            self.draw_all()
        elif seconds > 0:
            self.go_on()
        else:
            self.rewind.release()
            self.say("Nothing is known of an earlier moment yet.")
