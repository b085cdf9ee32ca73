"""Which request comes next: plans in their order, but for turns of conversations, which wait for the answer before."""

from collections import deque
from collections.abc import Callable, Iterator

from infertui.load.plan import PlannedRequest
from infertui.targets.endpoint.dialect import ChatMessage

History = tuple[ChatMessage, ...]


class Staged:
    """A request that is ready to be sent; of a later turn `wire` is made when the answer before is known."""

    __slots__ = ("messages", "planned", "wire")

    def __init__(self, planned: PlannedRequest, messages: History, wire: bytes) -> None:
        self.planned = planned
        self.messages = messages
        self.wire = wire


class Turns:
    """A plan's requests, some of them made ahead so that sending one costs nothing.

    `make` gives a request and its history the messages and bytes that are sent. Conversations have `turns` turns.
    """

    def __init__(
        self,
        requests: Iterator[PlannedRequest],
        make: Callable[[PlannedRequest, History], tuple[History, bytes]],
        *,
        turns: int,
        ahead: int,
        ahead_bytes: int,
    ) -> None:
        self.skipped = 0
        self._requests = requests
        self._make = make
        self._turns = turns
        self._ahead, self._ahead_bytes = ahead, ahead_bytes
        self._staged: deque[Staged] = deque()
        self._bytes = 0
        self._ended = False
        self._last = -1
        self._released: deque[Staged] = deque()
        self._parked: dict[int, list[PlannedRequest]] = {}
        self._histories: dict[int, History | None] = {}

    @property
    def wants_more(self) -> bool:
        """Whether `stage` has something to do."""
        return not self._ended and len(self._staged) < self._ahead and self._bytes < self._ahead_bytes

    @property
    def over(self) -> bool:
        """Whether nothing can come, but for turns whose answer before is still awaited."""
        return self._ended and not self._staged and not self._released

    def stage(self) -> bool:
        """Make one more request ahead; false: there is none."""
        planned = next(self._requests, None)
        if planned is None:
            self._ended = True
            return False
        messages, wire = ((), b"") if planned.previous is not None else self._make(planned, ())
        self._staged.append(Staged(planned, messages, wire))
        self._bytes += len(wire)
        return True

    def peek(self) -> PlannedRequest | None:
        """The next of the plan, in its order."""
        if not self._staged and not self._ended:
            self.stage()
        return self._staged[0].planned if self._staged else None

    def released(self) -> Staged | None:
        """A turn whose answer before has come since it was its turn."""
        return self._released.popleft() if self._released else None

    def take(self) -> Staged | None:
        """The next of the plan, that `peek` saw; None: it has to wait for the answer before, or is left out."""
        staged = self._staged.popleft()
        self._bytes -= len(staged.wire)
        self._last = staged.planned.index
        previous = staged.planned.previous
        if previous is None:
            return staged
        if previous not in self._histories:
            self._parked.setdefault(previous, []).append(staged.planned)
            return None
        history = self._histories.pop(previous)
        if history is None:
            self.skipped += 1
            self._keep(staged.planned, None)
            return None
        return Staged(staged.planned, *self._make(staged.planned, history))

    def answered(self, planned: PlannedRequest, messages: History, text: str | None) -> None:
        """The answer to a turn; None: it failed. The turn that waited for it may come, or all after it are left out."""
        history = None if text is None else (*messages, ChatMessage("assistant", text))
        ended = [planned]
        while ended:
            before = ended.pop()
            if before.index not in self._parked:
                self._keep(before, history)
            for waiting in self._parked.pop(before.index, ()):
                if history is None:
                    self.skipped += 1
                    ended.append(waiting)
                else:
                    self._released.append(Staged(waiting, *self._make(waiting, history)))

    def replan(self, requests: Callable[[int], Iterator[PlannedRequest]]) -> None:
        """Another plan from the first request on that was not taken, which is known by its index."""
        if self._ended and not self._staged:
            return
        first = self._staged[0].planned.index if self._staged else self._last + 1
        self._staged.clear()
        self._bytes = 0
        self._ended = False
        self._requests = requests(first)

    def drop(self) -> None:
        """Nothing more of it is to be sent."""
        self._ended = True
        self._staged.clear()
        self._released.clear()
        self._parked.clear()
        self._histories.clear()

    def _keep(self, planned: PlannedRequest, history: History | None) -> None:
        """For the turn after it, if there is one."""
        if planned.turn + 1 < self._turns:
            self._histories[planned.index] = history
