"""What all dialects read alike: foreign JSON, refusals, and what a stream comes to in the end."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import DecodeError, Struct, ValidationError

from infertui.targets.endpoint.dialect import ErrorKind, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.sse import EventTooLongError, events, json_lines
from infertui.text import one_line, quoted

FAILED = frozenset({"error", "abort", "aborted", "cancelled", "insufficient_system_resource", "network_error"})
"""Reasons for an end that are none: vLLM's, SGLang's, DeepSeek's, Zhipu's."""
DONE = b"[DONE]"
MOST_TOKENS = 1 << 53
_MESSAGE = 300
_DEEPEST_MESSAGE = 4
TOO_LONG = "an event of over 16 MiB"
CUT_OFF = "the answer ended in its middle"
UNNAMED = "an error that says nothing"

Shape = TypeVar("Shape", bound=Struct)


class UnreadableError(Exception):
    """A body, or a part of it, is not the JSON that it should be. The message says what it is."""


class JsonShape(Generic[Shape]):
    """Foreign JSON of one shape, whose other fields are passed over.

    What has the wrong type under one of the names that are `forgiven`, of which no token depends, is as if not there.
    """

    def __init__(self, shape: type[Shape], *, forgiven: tuple[str, ...] = ()) -> None:
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)
        self._forgiven = forgiven

    def read(self, data: bytes) -> Shape:
        """Raises `UnreadableError`."""
        try:
            return self._decoder.decode(data)
        except (DecodeError, UnicodeError, RecursionError):
            return self._again(data)

    def _again(self, data: bytes) -> Shape:
        """With bytes replaced that are no UTF-8, as the standard wants it of streams, and without what is forgiven."""
        try:
            values = msgspec.json.decode(data.decode("utf-8", "replace"))
            if isinstance(values, dict):
                for name in self._forgiven:
                    values = _without_wrong(self._shape, values, name)
            return msgspec.convert(values, self._shape)
        except ValidationError as error:
            raise UnreadableError(f"{one_line(error)}: {quoted(data.decode('utf-8', 'replace'))}") from None
        except (DecodeError, RecursionError):
            raise UnreadableError(f"not JSON: {quoted(data.decode('utf-8', 'replace'))}") from None


def _without_wrong(shape: type[Struct], values: dict[str, Any], name: str) -> dict[str, Any]:
    """`values` without the one of that name, where it is what the shape cannot take."""
    if name not in values:
        return values
    kind = next(field.type for field in msgspec.structs.fields(shape) if field.encode_name == name)
    try:
        msgspec.convert(values[name], kind)
    except ValidationError:
        return {key: value for key, value in values.items() if key != name}
    return values


def count(value: int | None) -> int | None:
    """A number of tokens that a server tells; None where it cannot be one."""
    return value if value is not None and 0 <= value <= MOST_TOKENS else None


def seconds(**named: float | None) -> dict[str, float]:
    """Those of a server's own timings that it told, and that can be times."""
    return {name: float(value) for name, value in named.items() if value is not None and 0 <= value < 1e9}


def server_message(value: object, depth: int = 0) -> str:
    """What an error in JSON says, in whatever shape: cleaned, one line, short; empty where it says nothing."""
    if value is None or depth > _DEEPEST_MESSAGE:
        return ""
    if isinstance(value, Mapping):
        for name in ("message", "error", "detail", "details", "msg", "reason", "title", "type", "error_type", "code"):
            if found := server_message(value.get(name), depth + 1):
                return found
        return ""
    if isinstance(value, list):
        return one_line("; ".join(filter(None, (server_message(item, depth + 1) for item in value[:3]))), _MESSAGE)
    return one_line(str(value).strip(), _MESSAGE)


def no_text(tokens: int | None) -> str:
    """That nothing came of so many tokens."""
    if not tokens:
        return "an answer without a token"
    return f"an answer without text, of which the server counts {tokens:,} {'token' if tokens == 1 else 'tokens'}"


def body_of(received: ReceivedAnswer) -> bytes:
    """All of the body."""
    return b"".join(piece for _, piece in received.pieces)


def first_byte(received: ReceivedAnswer) -> int | None:
    """When the first of the body arrived."""
    return next((stamp for stamp, piece in received.pieces if piece), None)


def refusal(received: ReceivedAnswer) -> ServerAnswer | None:
    """What no dialect has to read: no answer, a status that is none of success, a page; None: it has to be read."""
    if received.status >= 300 or 0 < received.status < 200:
        kind: ErrorKind = "rate-limited" if received.status == 429 else "http"
        message = f"status {received.status}"
        if told := _told(received):
            message += f": {told}"
        return ServerAnswer(error=kind, message=message, first_byte_ns=first_byte(received))
    if not received.status:
        return ServerAnswer(error=received.broken or "cut-off", message=one_line(received.message, _MESSAGE))
    if _begins(received, b"<"):
        return ServerAnswer(error="malformed", message="a page of HTML", first_byte_ns=first_byte(received))
    return None


def _told(received: ReceivedAnswer) -> str:
    """The server's own words about its refusal."""
    if 300 <= received.status < 400 and (place := received.headers.get("location")):
        return f"it redirects to {quoted(place, 120)}"
    body = body_of(received)[: 1 << 20]
    return "a page of HTML" if body.lstrip()[:1] == b"<" else foreign_message(body)


def foreign_message(data: bytes) -> str:
    """What an error says that may be JSON, and may be none; empty where it says nothing."""
    try:
        return server_message(msgspec.json.decode(data))
    except (DecodeError, UnicodeError, RecursionError):
        return one_line(data[: 4 * _MESSAGE].decode("utf-8", "replace").strip(), _MESSAGE)


def is_one_json(received: ReceivedAnswer) -> bool:
    """Whether an answer came as one JSON though events were asked for: that server cannot stream, or failed before."""
    return _begins(received, b"{")


def _begins(received: ReceivedAnswer, sign: bytes) -> bool:
    start = next((piece for _, piece in received.pieces if piece and not piece.isspace()), b"")
    return start.lstrip().startswith(sign)


class StreamReading:
    """What a stream was found to say so far.

    `total` is the server's running count of tokens, and `usage` the last that it told. `done`: the stream said itself
    that it is over.
    """

    __slots__ = (
        "_gained",
        "_gains_known",
        "_reasoning",
        "_runs",
        "_steps",
        "_text",
        "done",
        "error",
        "finish",
        "first_output",
        "message",
        "server",
        "total",
        "usage",
    )

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._gained: list[int] = []
        self._gains_known = True
        self._runs = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.first_output: int | None = None
        self.total = 0
        self.finish = ""
        self.usage = TokenUsage()
        self.server: dict[str, float] = {}
        self.error: ErrorKind = ""
        self.message = ""
        self.done = False

    def take(self, stamp: int, text: str, reasoning: str = "", total: int | None = None, *, ends: bool = False) -> None:
        """A chunk with what it says; `total`: tokens so far, where the server tells that; `ends`: it is the last.

        Text is a token's arrival, and so is a total that grew, though it be empty: parsers hold text back. But a total
        that is told in the end alone says nothing of when.
        """
        gain = 0
        if total is not None:
            if text or reasoning or (not self.finish and (self._runs or not ends)):
                gain = total - self.total
            self._runs = True
        if not (text or reasoning or gain > 0):
            return
        self._steps.append(stamp)
        self._gained.append(gain)
        if gain > 0:
            self.total += gain
        else:
            self._gains_known = False
        if reasoning:
            self._reasoning.append(reasoning)
        if text:
            self._text.append(text)
            if self.first_output is None:
                self.first_output = stamp

    def end(self, reason: str) -> None:
        """Why generation ended, as the server says; empty: it does not."""
        if reason in FAILED:
            self.fail("in-stream", f"it ended with {reason}")
        if reason:
            self.finish = one_line(reason, 40)

    def fail(self, kind: ErrorKind, message: str) -> None:
        """The first failure is the one that counts."""
        if not self.error:
            self.error = kind
            self.message = message

    def answer(self, received: ReceivedAnswer, *, wants_finish: bool = True) -> ServerAnswer:
        """What it all came to. `wants_finish`: the dialect says why generation ended."""
        tokens = self.usage.output_tokens or self.total
        counted = bool(tokens)
        if not counted:
            tokens = len(self._steps)
        # A sequence's end may be counted and not told. What else is missing came at times that are not known.
        missing = 0 if self.usage.output_tokens is None else self.usage.output_tokens - self.total
        known = self._gains_known and missing in (0, 1)
        if not self.error:
            self._judge(received, tokens, wants_finish=wants_finish)
        return ServerAnswer(
            error=self.error,
            message=self.message,
            first_byte_ns=first_byte(received),
            steps=tuple(self._steps),
            gained=tuple(self._gained) if known else (),
            first_output_ns=self.first_output,
            tokens=tokens,
            counted="server" if counted else "chunks",
            usage=self.usage,
            finish=self.finish,
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            server=self.server,
        )

    def _judge(self, received: ReceivedAnswer, tokens: int, *, wants_finish: bool) -> None:
        if received.broken not in ("", "cut-off", "reset") or (received.broken and not self.done):
            self.fail(received.broken, one_line(received.message, _MESSAGE))
        elif not (received.whole or self.done):
            self.fail("cut-off", CUT_OFF)
        elif not self._steps:
            self.fail("empty", no_text(tokens))
        elif wants_finish and not self.finish:
            self.fail("no-finish", "the answer ended without saying why generation did")


Take = Callable[[StreamReading, int, str, bytes], None]
"""Takes an event into a reading: its stamp, name and data. It may raise `UnreadableError`."""


def read_events(received: ReceivedAnswer, take: Take) -> StreamReading:
    """All server-sent events of a stream, taken one after the other; events named `error` are failures."""
    reading = StreamReading()
    try:
        for stamp, name, data in events(received.pieces, whole=received.whole):
            if name == "error":
                reading.fail("in-stream", foreign_message(data) or UNNAMED)
            elif data.strip() == DONE:
                reading.done = True
            elif data:
                take(reading, stamp, name, data)
    except UnreadableError as error:
        reading.fail("malformed", str(error))
    except EventTooLongError:
        reading.fail("too-long", TOO_LONG)
    return reading


def read_lines(received: ReceivedAnswer, take: Take) -> StreamReading:
    """The same of a stream of JSON lines, which have no names."""
    reading = StreamReading()
    try:
        for stamp, line in json_lines(received.pieces, whole=received.whole):
            take(reading, stamp, "", line)
    except UnreadableError as error:
        reading.fail("malformed", str(error))
    except EventTooLongError:
        reading.fail("too-long", TOO_LONG)
    return reading


def at_once(
    received: ReceivedAnswer,
    *,
    text: str,
    reasoning: str = "",
    usage: TokenUsage,
    finish: str,
    server: Mapping[str, float] | None = None,
    wants_finish: bool = True,
) -> ServerAnswer:
    """The answer that came as one JSON: without steps."""
    error: ErrorKind = ""
    message = ""
    if not (text or reasoning):
        error, message = "empty", no_text(usage.output_tokens)
    elif wants_finish and not finish:
        error, message = "no-finish", "the answer does not say why generation ended"
    return ServerAnswer(
        error=error,
        message=message,
        first_byte_ns=first_byte(received),
        tokens=usage.output_tokens or None,
        counted="server" if usage.output_tokens else "",
        usage=usage,
        finish=one_line(finish, 40),
        text=text,
        reasoning=reasoning,
        server=server or {},
    )


def unanswered(received: ReceivedAnswer, kind: ErrorKind, message: str) -> ServerAnswer:
    """An answer of which only its failure is known."""
    return ServerAnswer(error=kind, message=message, first_byte_ns=first_byte(received))


def read_answer(
    received: ReceivedAnswer,
    shape: JsonShape[Shape],
    *,
    stream: Callable[[ReceivedAnswer], ServerAnswer] | None,
    whole: Callable[[ReceivedAnswer, Shape], ServerAnswer],
) -> ServerAnswer:
    """An answer by the way in which it came: no answer, a stream, or without `stream` one JSON of that shape."""
    if (refused := refusal(received)) is not None:
        return refused
    if stream is not None:
        return stream(received)
    if received.broken:
        return unanswered(received, received.broken, one_line(received.message, _MESSAGE))
    if not received.whole:
        return unanswered(received, "cut-off", CUT_OFF)
    try:
        return whole(received, shape.read(body_of(received)))
    except UnreadableError as error:
        return unanswered(received, "malformed", str(error))


def read_sse_answer(
    received: ReceivedAnswer,
    shape: JsonShape[Shape],
    *,
    streaming: bool,
    stream: Callable[[ReceivedAnswer], ServerAnswer],
    whole: Callable[[ReceivedAnswer, Shape], ServerAnswer],
) -> ServerAnswer:
    """An answer of a server that streams events, and may send one JSON although it was asked for a stream."""
    in_events = streaming and not is_one_json(received)
    return read_answer(received, shape, stream=stream if in_events else None, whole=whole)
