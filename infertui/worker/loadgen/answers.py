"""What came of requests, read while nothing else is to be done, and told."""

import time
from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from infertui.measure.itl import Gaps, summarise_gaps
from infertui.measure.records import Request
from infertui.targets.endpoint.coding import CodingError, Pieces, as_sent
from infertui.targets.endpoint.dialect import Dialect, ReceivedAnswer, ServerAnswer
from infertui.text import one_line, shorten
from infertui.worker.loadgen.connection import MOST_BYTES, InFlight
from infertui.worker.loadgen.protocol import ClientEvent, RequestsDone

KEPT_PROMPT = 200
"""Characters of a prompt that are told: the plan, which is a function of its seed, has the rest."""
TOLD_TOGETHER = 16
MANY_UNREAD = 4096
"""Answers; from there on more than one is read at a time, since they cannot be kept without end."""


def read(flight: InFlight, dialect: Dialect, *, streaming: bool) -> ServerAnswer:
    """What the answer says. Never raises."""
    pieces: Pieces = flight.body
    broken, message = flight.broken, flight.message
    try:
        pieces = as_sent(pieces, flight.headers, most_bytes=MOST_BYTES)
    except CodingError as error:
        pieces = ()
        if not broken:
            broken, message = "malformed", str(error)
    return dialect.read(
        ReceivedAnswer(
            status=flight.status,
            headers=flight.headers,
            pieces=pieces,
            end_ns=flight.end_ns,
            whole=flight.whole,
            broken=broken,
            message=message,
        ),
        streaming=streaming,
    )


def gaps_of(answer: ServerAnswer) -> Gaps | None:
    """Between its steps. Where nobody tells what each of them brought, all are taken to have brought equally many."""
    steps = answer.steps
    gaps = summarise_gaps(steps, answer.gained)
    if gaps is None or answer.gained or not answer.tokens or answer.tokens == len(steps):
        return gaps
    return replace(gaps, tokens=round(answer.tokens * (len(steps) - 1) / len(steps)))


Count = Callable[[str], int]
"""How many tokens a tokenizer here makes of a text."""


def request_of(flight: InFlight, answer: ServerAnswer, count: Count | None = None) -> Request:
    """Its record; `count` counts the tokens of what was answered, beside the server."""
    planned = flight.planned
    kind = answer.error
    usage = answer.usage
    return Request(
        prompt=shorten(planned.prompt, KEPT_PROMPT),
        prompt_tokens=usage.prompt_tokens or planned.prompt_tokens or 0,
        tokens=answer.tokens or 0,
        due_ns=flight.due_ns,
        sent_ns=flight.sent_ns,
        end_ns=flight.end_ns,
        first_ns=answer.steps[0] if answer.steps else None,
        last_ns=answer.steps[-1] if answer.steps else None,
        itl=gaps_of(answer),
        error=(one_line(answer.message) or kind) if kind else "",
        asked_prompt_tokens=planned.prompt_tokens,
        asked_tokens=planned.output_tokens,
        first_byte_ns=flight.first_byte_ns,
        error_kind=kind,
        first_output_ns=answer.first_output_ns,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        counted=answer.counted,
        local_tokens=count(answer.reasoning + answer.text) if count is not None and not kind else None,
        server=dict(answer.server),
        connect_ns=flight.connect_ns,
    )


class AnswerReading:
    """Reads answers a little at a time, and tells of those that ended, some together."""

    def __init__(
        self, dialect: Dialect, emit: Callable[[ClientEvent], None], *, streaming: bool, count: Count | None = None
    ) -> None:
        self.done = self.failed = 0
        """Those that ended in order, and those that failed by themselves."""
        self.tokens = self.pieces = 0
        """Of all that were read: what they held, and in how many pieces it came."""
        self._dialect = dialect
        self._emit = emit
        self._streaming = streaming
        self._count = count
        self._unread: deque[InFlight] = deque()
        self._records: list[Request] = []

    @property
    def over(self) -> bool:
        """Whether everything is read, if not told."""
        return not self._unread

    def add(self, flight: InFlight) -> None:
        """It has ended, and waits."""
        self._unread.append(flight)

    def step(self, then: Callable[[InFlight, str | None], None]) -> bool:
        """Tell or read what is due; whether anything was. `then` is given the text of an answer, None: it failed."""
        if len(self._records) >= TOLD_TOGETHER:
            self.tell()
            return True
        if not self._unread:
            return False
        for _ in range(1 + len(self._unread) // MANY_UNREAD):
            self._read(self._unread.popleft(), then)
        return True

    def tell(self) -> None:
        """Say now what has ended."""
        if self._records:
            self._emit(RequestsDone(time.monotonic_ns(), tuple(self._records)))
            self._records.clear()

    def _read(self, flight: InFlight, then: Callable[[InFlight, str | None], None]) -> None:
        answer = read(flight, self._dialect, streaming=self._streaming)
        request = request_of(flight, answer, self._count)
        self._records.append(request)
        self.tokens += request.tokens
        self.pieces += len(flight.body)
        if not request.error_kind:
            self.done += 1
        elif request.error_kind != "aborted":
            self.failed += 1
        then(flight, None if request.error_kind else answer.text)
