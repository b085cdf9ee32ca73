"""Asked when the screen is left while runs or a tuning session are under way."""

from infertui.tui.widgets.dialogs import Answer, ChoiceScreen

KEEP, STOP, STAY = "keep", "stop", "stay"


class QuitScreen(ChoiceScreen):
    """Returns KEEP, STOP or STAY. Esc stays; Enter on what has the focus leaves and lets the runs go on."""

    def __init__(self, running: int, waiting: int, *, tuning: bool = False) -> None:
        runs = "1 run is" if running == 1 else f"{running} runs are"
        if not running and tuning:
            runs = "A tuning session is"
        then = f", {waiting} waiting" if waiting else ""
        if tuning:
            then = (", and a tuning session" if running else "") + then
        what, it = ("the runs", "them") if running else ("it", "it")
        super().__init__(
            f"{runs} under way{then}.",
            (
                Answer(KEEP, f"Leave, and let {what} go on (infertui shows {it} again)"),
                Answer(STOP, f"Stop {what}, keeping what was measured, and leave"),
                Answer(STAY, "Stay"),
            ),
            back="stay",
        )

    def action_back(self) -> None:
        """Esc never quits."""
        self.dismiss(STAY)
