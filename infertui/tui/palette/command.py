"""What the palette offers, as plain values: any part of the screen may contribute some."""

from collections.abc import Callable

from msgspec import Struct


class PaletteCommand(Struct, frozen=True):
    """One line of the palette.

    `id` is the same at every start, since the recent ones are kept by it: `queue.cancel`, `theme:light`, `run:ID`.
    `title` is what it does or is, in a few words, of which the first letters are typed. `run` is called on the event
    loop once the palette is closed; what takes long it gives to a worker. `reason` says in a phrase why it would do
    nothing now; empty: it works.
    """

    id: str
    title: str
    run: Callable[[], object]
    group: str = ""
    """Where it belongs: the title of a pane, Theme, Run."""
    help: str = ""
    """A phrase, shown for the chosen line."""
    keys: str = ""
    """The key that does the same, as people write it."""
    words: str = ""
    """Other words that find it."""
    reason: str = ""
