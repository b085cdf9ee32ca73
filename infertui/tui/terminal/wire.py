"""What our driver knows of the terminal at its other end. A stock one, as without a terminal, knows of no trouble."""

from collections.abc import Callable


class Wire:
    """Asks the driver that the application has at the moment."""

    def __init__(self, driver: Callable[[], object]) -> None:
        self._driver = driver

    @property
    def gone(self) -> bool:
        """Whether the terminal was closed under the program."""
        return bool(getattr(self._driver(), "terminal_gone", False))

    @property
    def behind(self) -> bool:
        """Whether the terminal does not keep up, so that drawing more is of no use."""
        outlet = getattr(self._driver(), "outlet", None)
        return outlet is not None and bool(outlet.behind)

    def take_loss(self) -> bool:
        """Whether text was dropped and the terminal reads again: everything has to be drawn anew. Said once."""
        outlet = getattr(self._driver(), "outlet", None)
        if outlet is None or not outlet.lost or outlet.waiting:
            return False
        outlet.lost = False
        return True

    def set_mouse(self, on: bool) -> None:
        """Have the mouse reported, or leave it to the terminal."""
        set_mouse = getattr(self._driver(), "set_mouse", None)
        if set_mouse is not None:
            set_mouse(on)
