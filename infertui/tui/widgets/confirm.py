"""Asked before something is lost."""

from infertui.tui.widgets.dialogs import Answer, ChoiceScreen

YES = "yes"


class ConfirmScreen(ChoiceScreen):
    """Returns YES, or something else for no; `yes` names the act."""

    def __init__(self, question: str, *, yes: str) -> None:
        super().__init__(question, (Answer("no", "Leave it"), Answer(YES, yes)), back="leave it")
