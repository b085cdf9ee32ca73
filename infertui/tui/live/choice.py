"""Which run the Live pane shows: the one that runs, between runs the last one, or where somebody went. Pure."""

from collections.abc import Collection, Sequence


class RunChoice:
    """The runs that can be shown are those that ended, the last one last, then those under way."""

    def __init__(self) -> None:
        self.run = ""
        """Id of the run that is shown; empty: none."""
        self._chosen = False

    def follow(self, ended: Collection[str], running: Sequence[str]) -> None:
        """Stay at the run that somebody went to, as long as it is known; else what runs, else what ended last."""
        if self._chosen and self.run in (*ended, *running):
            return
        self._chosen = False
        if self.run not in running:
            self.run = running[0] if running else list(ended)[-1] if ended else ""

    def step(self, by: int, ended: Collection[str], running: Sequence[str]) -> bool:
        """Go on by so many runs, round and round; whether there is another one."""
        runs = ring(ended, running)
        if len(runs) < 2:
            return False
        at = runs.index(self.run) if self.run in runs else len(runs) - 1
        self.run = runs[(at + by) % len(runs)]
        self._chosen = self.run != runs[-1] and self.run not in running
        return True

    def behind(self, ended: Collection[str], running: Sequence[str]) -> int:
        """How many runs come after it."""
        runs = ring(ended, running)
        return len(runs) - 1 - runs.index(self.run) if self.run in runs else 0


def ring(ended: Collection[str], running: Sequence[str]) -> list[str]:
    """The runs that can be shown, in their order."""
    return [*(run for run in ended if run not in running), *running]
