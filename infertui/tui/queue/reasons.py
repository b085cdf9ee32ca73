"""Why an act of the Queue pane would do nothing: by what it would be on. Pure."""

from collections.abc import Iterable, Sequence

from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.tui.queue.view import Line


def reason(act: str, targets: Sequence[Entry], line: Line | None, entries: Iterable[Entry], *, undoable: bool) -> str:
    """Empty where it does something. `targets` are marked or under the cursor, on `line`; `entries` are all there are;
    `undoable`: a change was made that can be undone."""
    if act in ("pause", "history"):
        return ""
    if act == "undo":
        return "" if undoable else "there is nothing to undo"
    if act == "clear":
        return "" if any(entry.state in ENDED for entry in entries) else "nothing has ended"
    if not targets:
        return "nothing is queued"
    states = {entry.state for entry in targets}
    single = line.entry if line is not None else None
    match act:
        case "move_down" | "move_up" if "queued" not in states:
            return "only what waits can be moved"
        case "skip" if not states & {"queued", "running"}:
            return "only what waits or runs can be skipped"
        case "retry" if states.isdisjoint(ENDED):
            return "only what has ended can be queued once more"
        case "edit" if single is None or single.state != "queued":
            return "only a single run that waits can be edited"
        case "fold" | "unfold" if line is None or len(line.group.entries) < 2:
            return "it is no group"
    return ""
