"""Keys from the settings, checked against what there is."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from infertui.text import one_line
from infertui.tui.frame.actions import RESERVED, Action

Scopes = Mapping[str, Sequence[Action]]
"""The actions that are in reach together, by what the group is called; the application's under `app`."""


def check(wanted: Mapping[str, str], scopes: Scopes) -> tuple[dict[str, str], list[str]]:
    """The keys that can be used, by action id, and a sentence for each that cannot."""
    known = {action.id: action for actions in scopes.values() for action in actions}
    shipped = set(collisions(scopes))
    accepted: dict[str, str] = {}
    problems: list[str] = []
    for name, keys in wanted.items():
        shown = f"keys: {one_line(name, 40)} = {one_line(keys, 40)!r}"
        parts = [key.strip() for key in keys.split(",") if key.strip()]
        if name not in known:
            problems.append(f"{shown}: there is no such action of a pane; allowed: {_near(name, known)}")
        elif not parts or not all(key.isprintable() for key in parts):
            problems.append(f"{shown}: no keys; allowed: names such as x or ctrl+x, with commas between")
        elif reserved := RESERVED.intersection(parts):
            problems.append(f"{shown}: {min(reserved)} belongs to terminals and multiplexers")
        elif clashes := sorted(set(collisions(scopes, {**accepted, name: ",".join(parts)})) - shipped):
            problems.append(f"{shown}: {clashes[0]}")
        else:
            accepted[name] = ",".join(parts)
    return accepted, problems


def _near(name: str, known: Mapping[str, Action]) -> str:
    """The ids that were probably meant, else all of that pane, else the panes."""
    near = difflib.get_close_matches(name[:60], known, n=3, cutoff=0.6)
    scope = name.partition(".")[0]
    return ", ".join(
        near
        or [one for one in known if known[one].scope == scope]
        or sorted({f"{known[one].scope}.…" for one in known})
    )


def collisions(scopes: Scopes, keymap: Mapping[str, str] | None = None) -> list[str]:
    """Keys that two actions of one scope claim, or one of a scope and one of the application."""
    shared = list(scopes.get("app", ()))
    found = []
    for scope, actions in scopes.items():
        owners: dict[str, list[str]] = defaultdict(list)
        for action in _unique([*actions, *(shared if scope != "app" else [])]):
            for key in (keymap or {}).get(action.id, action.keys).split(","):
                owners[key.strip()].append(action.id)
        found += [f"{key} is both {' and '.join(ids)}" for key, ids in owners.items() if len(ids) > 1]
    return found


def _unique(actions: Iterable[Action]) -> list[Action]:
    return list({action.id: action for action in actions}.values())
