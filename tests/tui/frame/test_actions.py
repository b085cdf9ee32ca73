import importlib
import inspect
from pathlib import Path

import pytest

import infertui.tui
from infertui.tui.app import InfertuiApp
from infertui.tui.frame.actions import GLOBAL_ACTIONS, RESERVED, Action, bindings, signs
from infertui.tui.frame.panes import PANE_CLASSES
from infertui.tui.keymap import check, collisions
from infertui.tui.widgets.pane import Pane

PANES: list[type[Pane]] = [
    getattr(importlib.import_module(f"infertui.tui.{place}.pane"), name) for place, name in PANE_CLASSES.items()
]
SCOPES = {"app": list(GLOBAL_ACTIONS)} | {pane.__name__: list(pane.ACTIONS) for pane in PANES}
CANCEL = Action("queue.cancel", "x", "Cancel", "cancel it", writes=True)


def tables() -> list[tuple[str, tuple[Action, ...], type]]:
    """Every table of actions in the package, with the class that declares it."""
    found = []
    top = Path(infertui.tui.__file__).parent
    for file in sorted(top.rglob("*.py")):
        place = ".".join(file.relative_to(top).with_suffix("").parts)
        module = importlib.import_module(f"infertui.tui.{place}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and "ACTIONS" in vars(kind) and kind is not InfertuiApp:
                found.append((f"{place}.{kind.__name__}", vars(kind)["ACTIONS"], kind))
    return [*found, ("app", GLOBAL_ACTIONS, InfertuiApp)]


@pytest.mark.parametrize(
    ("name", "actions", "kind"), tables(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_table_uses_reserved_keys_and_every_action_has_its_method(
    name: str, actions: tuple[Action, ...], kind: type
) -> None:
    for action in actions:
        assert not RESERVED.intersection(action.keys.split(",")), action.id
        assert action.help
        method = action.call.partition("(")[0] or action.name
        assert hasattr(kind, f"action_{method}"), action.id
    keys = [key for action in actions for key in action.keys.split(",")]
    assert len(keys) == len(set(keys)), f"{name}: a key twice"


def test_no_two_actions_in_reach_claim_a_key() -> None:
    assert collisions(SCOPES) == []


def test_ids_are_unique() -> None:
    ids = [action.id for actions in SCOPES.values() for action in actions]
    assert len(ids) == len(set(ids))


def test_an_action_is_a_binding() -> None:
    assert bindings([CANCEL]) == [CANCEL.binding]
    binding = CANCEL.binding
    assert (binding.key, binding.action, binding.id, binding.description) == ("x", "cancel", "queue.cancel", "Cancel")
    assert Action("list.page-down", "pagedown", "", "").name == "page_down"


def test_keys_are_shown_as_people_write_them() -> None:
    assert signs(Action("a.b", "question_mark,ctrl+p,pagedown,escape", "", "")) == ["?", "ctrl+p", "pgdn", "esc"]
    assert signs(CANCEL, {"queue.cancel": "delete"}) == ["del"]


def test_other_keys_are_checked() -> None:
    scopes = {"app": list(GLOBAL_ACTIONS), "queue": [CANCEL, Action("queue.retry", "R", "Retry", "again")]}
    accepted, problems = check({"queue.cancel": "X, delete", "app.zoom": "f5"}, scopes)
    assert accepted == {"queue.cancel": "X,delete", "app.zoom": "f5"}
    assert not problems
    accepted, problems = check(
        {
            "queue.cancel": "R",
            "queue.retry": "z",
            "app.zoom": "ctrl+a",
            "app.nothing": "v",
            "app.help": "",
            "app.quit": "Q",
        },
        scopes,
    )
    assert accepted == {"app.quit": "Q"}
    assert "R is both" in problems[0]
    assert "z is both" in problems[1]
    assert "ctrl+a belongs to terminals" in problems[2]
    assert "no such action" in problems[3]
    assert "no keys" in problems[4]
