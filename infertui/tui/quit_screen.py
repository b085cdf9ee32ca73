"""Asked when the screen is left while runs are under way."""

from infertui.tui.widgets.dialogs import Answer, ChoiceScreen

KEEP, STOP, STAY = "keep", "stop", "stay"


class QuitScreen(ChoiceScreen):
    """Returns KEEP, STOP or STAY. Esc stays; Enter on what has the focus leaves and lets the runs go on."""

    def __init__(self, running: int, waiting: int) -> None:
        runs = "1 run is" if running == 1 else f"{running} runs are"
        then = f", {waiting} waiting" if waiting else ""
        super().__init__(
            f"{runs} under way{then}.",
            (
                Answer(KEEP, "Leave, and let the runs go on (infertui shows them again)"),
                Answer(STOP, "Stop the runs, keeping what they measured, and leave"),
                Answer(STAY, "Stay"),
            ),
            back="stay",
        )

    def action_back(self) -> None:
        """Esc never quits."""
        self.dismiss(STAY)
