"""A request under way: when it is let in, what it writes at its deadlines, and how it ends."""

from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic_ns
from typing import Protocol

from infertui.mock.answers.asked import MockRequest
from infertui.mock.answers.base import AnswerState, MockAnswer
from infertui.mock.cache import BLOCK
from infertui.mock.clock import NEVER, Deadlines
from infertui.mock.script import Step
from infertui.mock.tallies import ServedRequest, Tallies
from infertui.mock.wire.framing import Framing


class Outlet(Protocol):
    """Where the bytes of an answer go."""

    def send(self, data: bytes) -> None:
        """Write now."""
        ...

    def answered(self, ending: str) -> None:
        """The answer is over: `done`, `cut`, `reset`, `stall` or `close`."""
        ...


class Reply:
    """One answer. `ending` says how it will end."""

    def __init__(
        self, floor: "Floor", tallies: Tallies, outlet: Outlet, asked: MockRequest, told: AnswerState, name: str
    ) -> None:
        self.asked, self.told, self.outlet = asked, told, outlet
        self.ending = "done"
        self.fault = ""
        self.framing = Framing()
        self.answer: MockAnswer | None = None
        self._floor, self._tallies = floor, tallies
        self._name = name
        self._steps: Iterator[Step] = iter(())
        self._at_ns, self._data, self._tokens = NEVER, b"", 0
        self._left = asked.output_tokens
        self._worst_ns = 0
        self._last_ns = 0
        self.done_ns = 0
        self._send = outlet.send
        self.admitted = self.over = False

    @property
    def blocks(self) -> int:
        """Blocks of the KV cache that it takes."""
        return -(-(self.asked.prompt.tokens + self.asked.output_tokens) // BLOCK)

    def begin(self, steps: Iterator[Step], deadlines: Deadlines) -> None:
        """It is let in."""
        self._steps = steps
        self.admitted = True
        if (step := next(steps, None)) is not None:
            self._at_ns, self._data, self._tokens = step
            deadlines.add(self, self._at_ns)
        else:
            self._end(self.ending)

    def step(self, now_ns: int) -> int:
        """Write what is due; the next deadline, or NEVER."""
        if self.over:
            self.done_ns = now_ns
            return NEVER
        if data := self._data:
            self._send(data)
            self.done_ns = now_ns = monotonic_ns()
            if self._is_over():  # the connection broke with this write
                return NEVER
            tallies = self._tallies
            tallies.bytes += len(data)
            late_ns = now_ns - self._at_ns
            tallies.lateness.add(late_ns)
            if late_ns > self._worst_ns:
                self._worst_ns = late_ns
        else:
            self.done_ns = now_ns
        if self._tokens:
            self._count(now_ns)
        step = next(self._steps, None)
        if step is None:
            self._end(self.ending)
            return NEVER
        self._at_ns, self._data, self._tokens = step
        return step[0]

    def abandon(self) -> None:
        """The client has gone."""
        if not self.over:
            self._end("aborted")

    def _is_over(self) -> bool:
        return self.over

    def _count(self, now_ns: int) -> None:
        tallies, at_ns, tokens = self._tallies, self._at_ns, self._tokens
        tallies.output_tokens += tokens
        if self._last_ns:
            gap_ns = at_ns - self._last_ns
            tallies.itl.add((gap_ns if tokens == 1 else gap_ns / tokens) / 1e9, tokens)
        else:
            tallies.ttft.add((now_ns - self.told.arrived_ns) / 1e9)
            tallies.first_lateness.add(now_ns - at_ns)
            if tokens > 1 and self.asked.streaming:
                tallies.itl.add(0.0, tokens - 1)
        self._last_ns = at_ns
        self._left -= tokens
        if self._left <= 0:
            self._floor.leave(self, at_ns)

    def _end(self, ending: str) -> None:
        self.over = True
        now_ns = monotonic_ns()
        self._floor.leave(self, now_ns)
        told, asked = self.told, self.asked
        self._tallies.ended(
            ServedRequest(
                number=told.number,
                name=self._name,
                dialect=asked.dialect,
                streaming=asked.streaming,
                outcome=ending if ending != "done" or not self.fault else self.fault,
                status=200,
                prompt_tokens=asked.prompt.tokens,
                cached_tokens=told.cached,
                output_tokens=asked.output_tokens - self._left,
                arrived_ns=told.arrived_ns,
                admitted_ns=told.admitted_ns,
                first_due_ns=told.first_ns if self._last_ns else 0,
                last_due_ns=self._last_ns,
                ended_ns=now_ns,
                lateness_ns=self._worst_ns,
            )
        )
        if ending == "done":
            self._tallies.e2e.add((now_ns - told.arrived_ns) / 1e9)
            reason = "length" if asked.limited else "stop"
            self._tallies.finished[reason] = self._tallies.finished.get(reason, 0) + 1
        elif ending == "aborted":
            self._tallies.finished["abort"] = self._tallies.finished.get("abort", 0) + 1
        if ending != "aborted":
            self.outlet.answered(ending)


class Floor:
    """So many requests decode at a time; the others wait in the order in which they came."""

    def __init__(self, slots: int, tallies: Tallies, let_in: Callable[["Reply", int], None]) -> None:
        self._slots, self._tallies, self._let_in = slots, tallies, let_in
        self.running: set[Reply] = set()
        self.waiting: deque[Reply] = deque()
        self.blocks = 0

    @property
    def slots(self) -> int:
        """How many may decode at a time; 0: any number."""
        return self._slots

    def resize(self, slots: int) -> None:
        """Let so many decode at a time: of more, some that wait begin; of fewer, those that decode come to an end."""
        self._slots = slots
        while self.waiting and len(self.running) < slots:
            self._admit(self.waiting.popleft(), monotonic_ns())

    def arrive(self, reply: Reply, now_ns: int) -> None:
        """Let it in, or have it wait."""
        if self._slots and len(self.running) >= self._slots:
            self.waiting.append(reply)
            self._tallies.peak_waiting = max(self._tallies.peak_waiting, len(self.waiting))
        else:
            self._admit(reply, now_ns)

    def leave(self, reply: Reply, at_ns: int) -> None:
        """Its last token is out, or it ended without; the next takes its place at that moment."""
        if reply not in self.running:
            if not reply.admitted and reply in self.waiting:
                self.waiting.remove(reply)
            return
        self.running.remove(reply)
        self.blocks -= reply.blocks
        if self.waiting and (not self._slots or len(self.running) < self._slots):
            self._admit(self.waiting.popleft(), at_ns)

    def _admit(self, reply: Reply, at_ns: int) -> None:
        self.running.add(reply)
        self.blocks += reply.blocks
        self._tallies.peak_running = max(self._tallies.peak_running, len(self.running))
        self._let_in(reply, at_ns)
