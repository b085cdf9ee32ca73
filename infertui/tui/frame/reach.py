"""Which actions keys reach from a widget, and why one would do nothing now: for footer, help, palette and keys."""

from collections.abc import Iterator

from textual.app import App
from textual.dom import DOMNode

from infertui.tui.frame.actions import Action

READ_ONLY = "read-only: this screen only watches"


def reachable(start: DOMNode | None) -> Iterator[tuple[DOMNode, tuple[Action, ...]]]:
    """The tables of actions that keys reach from a widget: its own first, then those of what holds it."""
    node = start
    while node is not None and not isinstance(node, App):
        actions = getattr(node, "ACTIONS", ())
        if actions:
            yield node, actions
        node = node.parent if isinstance(node.parent, DOMNode) else None


def applies(node: DOMNode, action: Action) -> bool:
    """Whether the action is one of this widget at all: nothing can be marked in some lists."""
    return node.check_action(action.name, ()) is not False


def reason(node: DOMNode, action: Action, *, read_only: bool) -> str:
    """Why the action would do nothing now, in a phrase; empty: it works.

    A widget with actions says so by a method `reason(action)`, as `Pane` has one. It is asked whenever the footer is
    drawn, so it looks at what is there and asks nobody.
    """
    if read_only and action.writes:
        return READ_ONLY
    ask = getattr(node, "reason", None)
    return str(ask(action)) if ask is not None else ""
