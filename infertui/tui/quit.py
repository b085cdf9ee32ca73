"""The ways out: the keys for it, with their questions."""

import signal
import time
from typing import TYPE_CHECKING

from infertui.endings import exit_code
from infertui.errors import InfertuiError
from infertui.tui import notify

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

TWICE_S = 2.0
"""A second ctrl+c within this time quits."""
HANGUP = exit_code(signal.SIGHUP)
INTERRUPTED = exit_code(signal.SIGINT)


class Leaving:
    """Asks before anything is lost by leaving."""

    def __init__(self, app: "InfertuiApp") -> None:
        self._app = app
        self._interrupted_at = -TWICE_S

    def interrupt(self) -> None:
        """Ctrl+C: ask to cancel what runs; the second time leave."""
        app, now = self._app, time.monotonic()
        if now - self._interrupted_at <= TWICE_S:
            app.exit(return_code=INTERRUPTED)
            return
        self._interrupted_at = now
        running = app.living_state.running
        if not running or app.read_only or not app.on_main_screen:
            app.say("ctrl+c once more leaves the screen; runs go on")
            return
        ids = [entry.id for entry in running]
        what = running[0].label if len(running) == 1 else f"{len(running)} runs"
        app.confirm(
            f"Cancel {what}? What was measured is kept.\nctrl+c once more leaves the screen; runs go on.",
            yes="Cancel the run" if len(ids) == 1 else "Cancel the runs",
            then=lambda: app.intend(lambda control: control.cancel(ids)),
        )

    def quit(self) -> None:
        """Leave; ask when runs are under way."""
        from infertui.tui.quit_screen import KEEP, STOP, QuitScreen

        app = self._app
        running = app.living_state.running if app.living_state.connected else []
        tuning = app.living_state.tuning is not None and app.living_state.connected
        if not (running or tuning) or app.read_only:
            app.exit()
            return
        waiting = sum(1 for entry in app.living_state.entries.values() if entry.state == "queued")

        def answered(answer: str | None) -> None:
            if answer == KEEP:
                app.exit()
            elif answer == STOP:
                app.run_worker(self._stop_and_leave())

        app.push_screen(QuitScreen(len(running), waiting, tuning=tuning), answered)

    async def _stop_and_leave(self) -> None:
        try:
            await self._app.control.stop(now=True)
        except InfertuiError as error:
            self._app.say(notify.of_error(error), "error")
        except (OSError, EOFError) as error:
            self._app.say(f"the runs were not stopped: {error}", "error")
        else:
            self._app.exit()
