"""What an answer is made of, whichever its dialect."""

from typing import NamedTuple

import msgspec

from infertui.mock.answers.asked import MockRequest


class MockEvent(NamedTuple):
    """One event of a stream: its data, one line of JSON, and its `event:` name, if it has one."""

    data: bytes
    name: bytes = b""


class AnswerState:
    """What is known of an answer under way. Stamps are deadlines, monotonic nanoseconds: the truth, not the writes."""

    __slots__ = ("admitted_ns", "arrived_ns", "cached", "created", "first_ns", "last_ns", "made", "number", "reasoned")

    def __init__(self, number: int, arrived_ns: int, created: int) -> None:
        self.number, self.arrived_ns, self.created = number, arrived_ns, created
        self.admitted_ns = self.first_ns = self.last_ns = 0
        self.cached = self.made = self.reasoned = 0


class Worn(NamedTuple):
    """Of the dressings those that concern what is said."""

    reasoning: str = ""
    tool: bool = False
    null_role: bool = False
    continuous_usage: bool = False
    cached_told: bool = False
    llama: bool = False
    incomplete: bool = False
    no_finish: bool = False


class MockAnswer:
    """How one request is answered. Text comes as pieces of JSON strings; each method gives the events to write.

    `tight`: no space behind `data:`; `lines`: JSON lines in place of events; `at_once`: the opening comes with the
    headers; `thinks`, `calls`: there is a place for reasoning, and for tool calls that stream; `usage_in_chunks`: a
    chunk without text can tell of a token.
    """

    media = b"text/event-stream; charset=utf-8"
    tight = False
    lines = False
    at_once = False
    thinks = False
    calls = False
    usage_in_chunks = False

    def __init__(self, asked: MockRequest, told: AnswerState, worn: Worn) -> None:
        self.asked, self.told, self.worn = asked, told, worn

    def opening(self) -> list[MockEvent]:
        return []

    def content(self, text: bytes) -> list[MockEvent]:
        raise NotImplementedError

    def around(self) -> tuple[bytes, bytes] | None:
        """What stands before and behind the text of a token, where that is the same for all."""
        return None

    def thinking(self, text: bytes) -> list[MockEvent]:
        return self.content(text)

    def tool(self, text: bytes, *, first: bool) -> list[MockEvent]:
        return self.content(text)

    def finish(self) -> list[MockEvent]:
        """Why it ends."""
        return []

    def usage(self) -> list[MockEvent]:
        """Counts, where these come apart."""
        return []

    def done(self) -> list[MockEvent]:
        """The mark of the end, where there is one."""
        return []

    def extra(self) -> list[MockEvent]:
        """An event without choices, where there can be one."""
        return []

    def error(self) -> list[MockEvent]:
        """An error in the middle of a stream."""
        raise NotImplementedError

    def whole(self, text: bytes, reasoning: bytes, tool: bytes) -> bytes:
        """The answer at once."""
        raise NotImplementedError


def error_body(dialect: str, status: int, message: str) -> bytes:
    """An error in place of an answer."""
    kind = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}.get(
        status, "InternalServerError"
    )
    document: object
    if dialect.startswith("ollama") or dialect == "triton":
        document = {"error": message}
    elif dialect == "tgi":
        document = {"error": message, "error_type": {400: "validation", 429: "overloaded"}.get(status, "generation")}
    elif dialect == "anthropic-messages":
        word = {
            400: "invalid_request_error",
            401: "authentication_error",
            404: "not_found_error",
            429: "rate_limit_error",
        }
        document = {"type": "error", "error": {"type": word.get(status, "api_error"), "message": message}}
    else:
        document = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return msgspec.json.encode(document)
