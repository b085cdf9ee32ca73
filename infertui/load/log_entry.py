"""One entry of a log of requests, or of a file of prompts: its lengths, when it came and how long it took. Pure.

Programs call these by many names; what is no such value (a negative length, a time that is no time) is left out, never
guessed. Names are compared without case and punctuation. OpenAI's requests and responses, also those of its batches
(`body`, `response.body`), Azure's and BurstGPT's traces, and whatever has `prompt` are known.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from msgspec import Struct

MOST_TOKENS = 10_000_000
"""No request has more."""
_YEAR_1980, _YEAR_2200 = 315_532_800.0, 7_258_118_400.0
_LONGEST_S = 86_400.0
_LONGEST_DAY = len("2026-W49-2")
_PROMPT_TOKENS = (
    "prompttokens", "inputtokens", "inputlen", "inputlength", "promptlen", "promptlength", "isl", "contexttokens",
    "requesttokens", "numprompttokens", "numprefilltokens", "prompttokencount",
)  # fmt: skip
_OUTPUT_TOKENS = (
    "completiontokens", "outputtokens", "outputlen", "outputlength", "osl", "generatedtokens", "responsetokens",
    "numoutputtokens", "numdecodetokens", "candidatestokencount", "tokens",
)  # fmt: skip
_ASKED_TOKENS = ("maxtokens", "maxcompletiontokens", "maxnewtokens", "maxoutputtokens")
_PROMPTS = ("prompt", "messages", "conversations", "input", "question", "instruction", "text", "query", "contents")
_OUTPUTS = ("completion", "output", "answer", "generated", "generatedtext", "response", "choices")
_TIMES = (
    "timestamp", "time", "ts", "created", "createdat", "starttime", "start", "arrival", "arrivaltime", "arrivedat",
    "arrivedtime", "sent", "sentat", "date", "datetime", "at",
)  # fmt: skip
_ENDS = ("endtime", "end", "finishedat", "finished", "completedat")
_DURATIONS = ("latency", "duration", "elapsed", "e2e", "responsetime", "e2elatency", "elapsedtime")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "millis": 1e-3, "us": 1e-6, "ns": 1e-9}
_DURATION_FIELDS = tuple((name + unit, scale) for name in _DURATIONS for unit, scale in _SECONDS.items())
_WITHIN = ("body", "request", "response", "usage", "payload", "data", "metrics")
_PLAIN = re.compile(r"[^a-z0-9]")


class LogEntry(Struct, frozen=True):
    """What one entry tells. Tokens, seconds since 1970 (or since any moment), seconds; None is not told.

    `asked` says that the output's tokens are the most that were asked for, not those that came.
    """

    prompt: str | None = None
    prompt_tokens: int | None = None
    output: str | None = None
    output_tokens: int | None = None
    asked: bool = False
    at: float | None = None
    duration: float | None = None

    @property
    def tells(self) -> bool:
        """Whether it has anything of a request."""
        return any(
            value is not None for value in (self.prompt, self.prompt_tokens, self.output_tokens, self.output, self.at)
        )


def entry_of(value: object) -> LogEntry:
    """The entry that a decoded value of JSON, or a row of a table as an object, is. Raises nothing."""
    if isinstance(value, str):
        return LogEntry(prompt=value) if value.strip() else LogEntry()
    if not isinstance(value, Mapping):
        return LogEntry()
    found: dict[str, object] = {}
    for name, one in _fields(value):
        found.setdefault(name, one)
    prompt = next((text for name in _PROMPTS if (text := _text(found.get(name)))), None)
    output = next((text for name in _OUTPUTS if (text := _text(found.get(name)))), None)
    answered, asked = _tokens(found, _OUTPUT_TOKENS), _tokens(found, _ASKED_TOKENS)
    at = next((moment for name in _TIMES if (moment := moment_of(found.get(name))) is not None), None)
    return LogEntry(
        prompt=prompt, prompt_tokens=_tokens(found, _PROMPT_TOKENS), output=output,
        output_tokens=asked if answered is None else answered, asked=answered is None and asked is not None, at=at,
        duration=_duration(found, at),
    )  # fmt: skip


def _fields(value: Mapping[object, object]) -> Iterator[tuple[str, object]]:
    """The fields by their plain names: outer ones first, then those of objects that hold a request or its answer."""
    rest: list[tuple[int, Mapping[object, object]]] = [(0, value)]
    while rest:
        depth, table = rest.pop(0)
        for key, one in table.items():
            name = _PLAIN.sub("", str(key).lower())
            yield name, one
            if depth < 3 and name in _WITHIN and isinstance(one, Mapping):
                rest.append((depth + 1, one))


def _tokens(found: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = _finite(found[name]) if name in found else None
        if value is not None and value == int(value) and 0 <= value <= MOST_TOKENS:
            return int(value)
    return None


def _finite(value: object) -> float | None:
    """A number, also one that a table wrote as text."""
    if isinstance(value, str) and len(value) < 40:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def moment_of(value: object) -> float | None:
    """Seconds of a time stamp: ISO 8601, or a number of s, ms, us or ns since 1970; a small one as it is.

    A day without a time is none: all requests of it would have come at midnight.
    """
    number = _finite(value)
    if number is not None:
        if number < 0:
            return None
        for scale in (1.0, 1e3, 1e6, 1e9):
            if _YEAR_1980 <= number / scale <= _YEAR_2200:
                return number / scale
        return number if number < _YEAR_1980 else None
    if isinstance(value, str) and _LONGEST_DAY < len(value.strip()) < 50:
        try:
            stamp = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        try:
            return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, OSError, ValueError):
            return None
    return None


def is_date(at: float) -> bool:
    """Whether seconds are those since 1970, and not of a clock of the log's own."""
    return at >= _YEAR_1980


def _duration(found: Mapping[str, object], at: float | None) -> float | None:
    for name, scale in _DURATION_FIELDS:
        value = _finite(found[name]) if name in found else None
        if value is not None and 0 <= value * scale <= _LONGEST_S:
            return value * scale
    ends = next((moment for name in _ENDS if (moment := moment_of(found.get(name))) is not None), None)
    if at is None or ends is None or not 0 <= ends - at <= _LONGEST_S:
        return None
    return ends - at


def _text(value: object, depth: int = 0) -> str:
    """All text of a prompt or an answer: a string, messages and their parts, choices."""
    if isinstance(value, str):
        return value
    if depth > 6:
        return ""
    if isinstance(value, list):
        return "\n".join(text for one in value if (text := _text(one, depth + 1)))
    if isinstance(value, Mapping):
        for name in ("content", "value", "text", "message", "parts", "choices", "body", "output"):
            if text := _text(value.get(name), depth + 1):
                return text
    return ""
