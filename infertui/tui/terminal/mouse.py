"""Whose the mouse is: the panes', or the terminal's for its own selection."""

from collections.abc import Callable


class Mouse:
    """`chosen` is on, off or auto: over SSH the terminal's. `report` switches the terminal's reports."""

    def __init__(self, chosen: str, *, over_ssh: bool, report: Callable[[bool], None]) -> None:
        self._chosen = chosen
        self._over_ssh = over_ssh
        self._report = report
        self._on = self.wanted

    @property
    def wanted(self) -> bool:
        """Whether it is for the panes, by choice and terminal."""
        return self._chosen == "on" or (self._chosen == "auto" and not self._over_ssh)

    def choose(self, chosen: str) -> None:
        """Another choice, from the settings."""
        self._chosen = chosen
        self._use(self.wanted)

    def switch(self) -> bool:
        """The other way round for now; whether it is for the panes."""
        self._use(not self._on)
        return self._on

    def _use(self, on: bool) -> None:
        self._on = on
        self._report(on)
