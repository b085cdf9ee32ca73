"""Keys that come quicker than they can be done: each waits until the one before it was, and where it leads is there.

A key is for what has the focus when its turn comes. Textual hands it on at once, and to what had the focus then: of
`:theme` typed in one go all but the colon would be gone, and before the panes are there everything.
"""

from collections import deque

from textual.events import Key, Paste
from textual.message import Message
from textual.message_pump import MessagePump

MOST_HELD = 1000
PATIENCE_S = 0.5
"""So long a key may take; what has the focus may be gone before it is done."""


class Settled(Message):
    """Posted behind a key: comes to the application by the same way, and so once that key was done.

    What has the focus may have told others of it, as a line that was accepted does: `rounds` more go by the same way,
    each behind what the one before it brought about.
    """

    def __init__(self, number: int, target: MessagePump, rounds: int) -> None:
        super().__init__()
        self.number = number
        self.target = target
        self.rounds = rounds


class TypedAhead:
    """The keys that wait, in their order. Pure: whoever sends them says what became of them."""

    def __init__(self) -> None:
        self._held: deque[Key | Paste] = deque(maxlen=MOST_HELD)
        self._number = 0
        self._under_way = False
        self._opening = 0
        self.ready = False
        """There is something to press keys on."""

    def add(self, event: Key | Paste) -> None:
        """One more."""
        self._held.append(event)

    @property
    def some(self) -> bool:
        """Whether any wait."""
        return bool(self._held)

    def next(self) -> Key | Paste | None:
        """The one whose turn it is; none while another is under way, or something opens."""
        if not self._held or self._under_way or self._opening or not self.ready:
            return None
        self._under_way = True
        self._number += 1
        return self._held.popleft()

    @property
    def number(self) -> int:
        """Of the key that is under way."""
        return self._number

    def settled(self, number: int) -> None:
        """The key of that number was done, or had its time."""
        if number == self._number:
            self._under_way = False

    def opening(self, by: int) -> None:
        """A dialog begins (1) to open, or is there (-1)."""
        self._opening = max(0, self._opening + by)
