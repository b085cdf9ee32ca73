"""The line in which the name of a field is typed. A module of its own: stock inputs are costly to import."""

from typing import ClassVar

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList


class FindInput(LineInput):
    """Up and down move among the fields that were found."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("config-find.down", "down", "Down", "next field", footer=False),
        Action("config-find.up", "up", "Up", "previous field", footer=False),
    )
    BINDINGS = bindings(ACTIONS)

    def action_down(self) -> None:
        """To the next field."""
        self._list.action_down()

    def action_up(self) -> None:
        """To the previous field."""
        self._list.action_up()

    @property
    def _list(self) -> RowList:
        assert self.parent is not None  # noqa: S101
        return self.parent.query_one(RowList)
