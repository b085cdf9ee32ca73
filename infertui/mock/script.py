"""What is written when: the steps of an answer, each a deadline, bytes and how many tokens come with them."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random

from msgspec import Struct

from infertui.mock.answers.base import MockAnswer, MockEvent
from infertui.mock.answers.words import TOOL_FIRST, TOOL_LAST, joined
from infertui.mock.dressings import Wire
from infertui.mock.faults import DRIP_BYTES, DRIP_NS, HUGE_LINE_BYTES

Step = tuple[int, bytes, int]
LATE_USAGE_NS = 300_000_000
_SPLIT_NS = 2_000_000
_ERROR_AFTER = 3
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r", b"}\n{", b"}\r\n{")
_EARLY = 6


class Style(Struct, frozen=True):
    """Of dressings and faults those that change the steps. `stop_half`: only the first half of the tokens comes."""

    words: tuple[bytes, ...]
    tokens_a_chunk: int = 1
    swallow: bool = False
    reasoning: bool = False
    tool: bool = False
    early_opening: bool = False
    early_extra: bool = False
    ping: bytes = b""
    ping_ns: int = 0
    late_usage: bool = False
    no_done: bool = False
    no_finish: bool = False
    fails: bool = False
    stop_half: bool = False
    malformed: bool = False
    huge: bool = False

    @property
    def simple(self) -> bool:
        """Whether a token in the middle is its text and nothing else."""
        return not (self.swallow or self.reasoning or self.tool) and self.tokens_a_chunk == 1


class Timing:
    """The deadlines of one request's tokens, in nanoseconds: absolute, so that no lateness adds up.

    `more_ns`: what load adds to the time between two tokens, asked anew for each.
    """

    def __init__(
        self,
        begin_ns: int,
        first_ns: int,
        itl_ns: int,
        *,
        more_ns: Callable[[], int] | None,
        spread_ns: int,
        random: Random,
    ) -> None:
        self.begin_ns, self.first_ns = begin_ns, first_ns
        self._base_ns, self._token = first_ns, 0
        self._itl_ns, self._more_ns, self._spread_ns, self._random = itl_ns, more_ns, spread_ns, random

    def at(self, token: int) -> int:
        """When a token is due, counted from 0; asked in ascending order."""
        if token > self._token:
            itl_ns = self._itl_ns if self._more_ns is None else self._itl_ns + self._more_ns()
            self._base_ns += itl_ns * (token - self._token)
            self._token = token
        if not self._spread_ns or not token:
            return self._base_ns
        return self._base_ns + self._random.randint(-self._spread_ns, self._spread_ns)


def streamed(answer: MockAnswer, timing: Timing, wire: Wire, style: Style) -> Iterator[Step]:
    """The steps of an answer that streams."""
    told, count = answer.told, answer.asked.output_tokens
    stop = min(_ERROR_AFTER, count) if style.fails else -(-count // 2) if style.stop_half else count
    head = wire.first
    early_ns = timing.begin_ns + (timing.first_ns - timing.begin_ns) // _EARLY
    opening = _bytes(wire, answer, answer.opening())
    if answer.at_once:
        yield timing.begin_ns, head + opening, 0
        head = opening = b""
    if not answer.lines:
        for at_ns in range(timing.begin_ns + style.ping_ns, timing.first_ns, style.ping_ns) if style.ping_ns else ():
            if opening and style.early_opening and at_ns > early_ns:
                yield early_ns, head + opening, 0
                head = opening = b""
            yield at_ns, head + style.ping, 0
            head = b""
    if opening and style.early_opening:
        yield early_ns, head + opening, 0
        head = opening = b""
    if style.early_extra and (extra := answer.extra()):
        yield early_ns, head + opening + _bytes(wire, answer, extra), 0
        head = opening = b""
    head += opening
    thoughts = count // 2 if style.reasoning and answer.thinks else 0
    middle = max(stop // 2, 1)
    token = 0
    at_ns = timing.first_ns
    same = answer.around() if style.simple and not answer.lines else None
    pre, post = wire.around(*same) if same is not None else (b"", b"")
    while token < stop:
        if pre and 0 < token < stop - 1 and token + 1 != middle:
            at_ns = timing.at(token)
            word = style.words[token % len(style.words)]
            token += 1
            yield at_ns, pre + word + post, 1
            continue
        most = (thoughts if token < thoughts else stop) - token
        gained = min(style.tokens_a_chunk, most)
        at_ns = timing.at(token)
        if not token:
            told.first_ns = at_ns
        told.last_ns = at_ns
        told.made = token + gained
        told.reasoned = min(told.made, thoughts)
        data = head + _bytes(wire, answer, _said(answer, style, token, gained, thoughts))
        head = b""
        if token < middle <= token + gained:
            data += _broken(wire, answer, style)
        token += gained
        if token == count and not (style.fails or style.stop_half or style.late_usage):
            data += _ending(wire, answer, style)
        yield at_ns, data, gained
    if style.fails:
        yield at_ns, _bytes(wire, answer, answer.error()), 0
    elif not count:
        told.first_ns = told.last_ns = at_ns
        yield at_ns, head + _ending(wire, answer, style), 0
    elif style.late_usage and not style.stop_half:
        yield at_ns + LATE_USAGE_NS, _ending(wire, answer, style), 0


def at_once(answer: MockAnswer, timing: Timing, style: Style, *, ticking: bool) -> Iterator[Step]:
    """The steps of an answer that does not stream. `ticking`: times depend on load, token by token."""
    told, count = answer.told, answer.asked.output_tokens
    thoughts = count // 2 if style.reasoning and answer.thinks else 0
    told.first_ns = timing.first_ns
    for token in range(count - 1) if ticking else ():
        told.last_ns = timing.at(token)
        told.made = token + 1
        yield told.last_ns, b"", 1
    at_ns = max(timing.at(max(count - 1, 0)), timing.first_ns)
    told.last_ns, gained = at_ns, count - told.made
    told.made, told.reasoned = count, thoughts
    reasoning, tool = joined(style.words, 0, thoughts), b""
    text = joined(style.words, thoughts, count - thoughts)
    if style.tool and count:
        reasoning, text, tool = b"", b"", TOOL_FIRST + joined(style.words, 0, count) + TOOL_LAST
    body = answer.whole(text, reasoning, tool)
    if style.fails:
        body = answer.error()[0].data
    elif style.malformed or style.stop_half:
        body = body[: len(body) // 2]
    elif style.huge:
        body = body[:-1] + b',"mock_huge":"' + b"x" * HUGE_LINE_BYTES + b'"}'
    yield at_ns, body, gained


def split(steps: Iterator[Step], random: Random) -> Iterator[Step]:
    """Each step's first event in two or three writes, the last of them in time, the others up to 4 ms before it."""
    last_ns = 0
    for at_ns, data, tokens in steps:
        # The cut is in the event in which the token is, lest what comes behind it is late and the token early.
        places = range(1, min([end for mark in _ENDS if (end := data.find(mark)) > 0], default=len(data)))
        cuts = sorted(random.sample(places, min(random.randint(1, 2), len(places))))
        for place, (begin, end) in enumerate(pairwise((0, *cuts))):
            last_ns = max(last_ns, at_ns - _SPLIT_NS * (len(cuts) - place))
            yield min(last_ns, at_ns), data[begin:end], 0
        last_ns = at_ns
        yield at_ns, data[cuts[-1] if cuts else 0 :], tokens


def in_pairs(steps: Iterator[Step]) -> Iterator[Step]:
    """Two steps with tokens in one write, at the later one's time."""
    held, held_tokens, held_ns = b"", 0, 0
    for at_ns, data, tokens in steps:
        if held or not tokens:
            yield at_ns, held + data, held_tokens + tokens
            held, held_tokens = b"", 0
        else:
            held, held_tokens, held_ns = data, tokens, at_ns
    if held:
        yield held_ns, held, held_tokens


def dripping(steps: Iterator[Step]) -> Iterator[Step]:
    """The first bytes one by one."""
    left, last_ns = DRIP_BYTES, 0
    for at_ns, data, tokens in steps:
        last_ns = max(at_ns, last_ns)
        slow = data[: min(left, len(data) - 1)] if data else b""
        for byte in slow:
            yield last_ns, bytes((byte,)), 0
            last_ns += DRIP_NS
        left -= len(slow)
        yield last_ns, data[len(slow) :], tokens


def _said(answer: MockAnswer, style: Style, token: int, gained: int, thoughts: int) -> list[MockEvent]:
    text = joined(style.words, token, gained)
    if style.tool and answer.calls:
        first = TOOL_FIRST if not token else b""
        last = TOOL_LAST if token + gained == answer.asked.output_tokens else b""
        return answer.tool(first + text + last, first=not token)
    if style.swallow and answer.usage_in_chunks and token % 2:
        text = b""
    return answer.thinking(text) if token < thoughts else answer.content(text)


def _ending(wire: Wire, answer: MockAnswer, style: Style) -> bytes:
    events = [] if style.no_finish else answer.finish()
    events += answer.usage()
    if not style.no_done:
        events += answer.done()
    return _bytes(wire, answer, events)


def _broken(wire: Wire, answer: MockAnswer, style: Style) -> bytes:
    if style.malformed:
        return _bytes(wire, answer, [MockEvent(b'{"id":"mock","choices":[{"index":0,"delta":{"con')])
    if style.huge:
        return _bytes(wire, answer, [MockEvent(b'{"mock":"' + b"x" * HUGE_LINE_BYTES + b'"}')])
    return b""


def _bytes(wire: Wire, answer: MockAnswer, events: list[MockEvent]) -> bytes:
    if answer.lines:
        return b"".join([data + wire.end for data, _ in events])
    if len(events) == 1:
        return wire.event(*events[0])
    return b"".join([wire.event(data, name) for data, name in events])
