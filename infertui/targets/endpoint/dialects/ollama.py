"""Ollama's chat and generate: JSON by the line, durations in nanoseconds, and counts in the last line.

https://github.com/ollama/ollama/blob/main/docs/api.md

A model that is not loaded yet is loaded in the first request, whose TTFT holds it: `load` tells. A prompt beyond
`num_ctx`, which is 4096 where nobody says otherwise, is cut without a word: what it counted tells.
"""

from typing import Any

import msgspec
from msgspec import Struct

from infertui.measure.clock import NS_PER_S
from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, one_prompt, role_messages
from infertui.targets.endpoint.dialects.reading import (
    JsonShape,
    StreamReading,
    at_once,
    body_of,
    count,
    read_answer,
    read_lines,
    seconds,
    server_message,
    unanswered,
)


class _Call(Struct, frozen=True):
    function: dict[str, Any] | None = None


class _Said(Struct, frozen=True):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(Struct, frozen=True):
    message: _Said | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool = False
    done_reason: str | None = None
    error: Any = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None
    load_duration: int | None = None
    total_duration: int | None = None


_COUNTS = (
    "prompt_eval_count", "eval_count", "prompt_eval_duration", "eval_duration", "load_duration", "total_duration",
)  # fmt: skip
_LINE = JsonShape(_Line, forgiven=("done_reason", *_COUNTS))


def _options(asked: AskedRequest) -> dict[str, object]:
    """There is none past the end of sequence."""
    options: dict[str, object] = {"temperature": asked.temperature}
    if asked.output_tokens is not None:
        options["num_predict"] = asked.output_tokens
    if asked.top_k:
        options["top_k"] = asked.top_k
    if asked.top_p != 1:
        options["top_p"] = asked.top_p
    if asked.seed is not None:
        options["seed"] = asked.seed
    return options


class OllamaChat:
    """Messages in, lines out."""

    api: Api = "ollama-chat"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/api/chat"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        said = {"model": asked.model, "messages": role_messages(asked.messages), "stream": asked.streaming}
        return encoded(asked, said | {"options": _options(asked)})

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return _read(received, streaming=streaming)


class OllamaGenerate:
    """A prompt in, as it is and without the model's template; lines out."""

    api: Api = "ollama-generate"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/api/generate"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        said = {"model": asked.model, "prompt": one_prompt(asked.messages), "raw": True, "stream": asked.streaming}
        return encoded(asked, said | {"options": _options(asked)})

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return _read(received, streaming=streaming)


def _read(received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
    # A stream that is one line did not stream, or has failed before it did.
    one_line = received.whole and len(body_of(received).splitlines()) == 1
    return read_answer(received, _LINE, stream=_stream if streaming and not one_line else None, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    return read_lines(received, _take).answer(received)


def _whole(received: ReceivedAnswer, line: _Line) -> ServerAnswer:
    if line.error:
        return unanswered(received, "in-stream", server_message(line.error))
    said, thought = _spoken(line)
    return at_once(
        received, text=said, reasoning=thought, usage=_usage(line), finish=_finish(line), server=_times(line)
    )


def _take(reading: StreamReading, stamp: int, name: str, data: bytes) -> None:
    line = _LINE.read(data)
    if line.error:
        reading.fail("in-stream", server_message(line.error))
        return
    said, thought = _spoken(line)
    reading.take(stamp, said, thought)
    if line.done:
        reading.done = True
        reading.end(_finish(line))
        reading.usage = _usage(line)
        reading.server = _times(line)


def _spoken(line: _Line) -> tuple[str, str]:
    message = line.message or _Said()
    calls = "".join(
        f"{call.function.get('name') or ''}{msgspec.json.encode(call.function.get('arguments') or {}).decode()}"
        for call in message.tool_calls or ()
        if call.function
    )
    return (message.content or line.response or "") + calls, message.thinking or line.thinking or ""


def _finish(line: _Line) -> str:
    """Older versions say no more than that it is done."""
    return (line.done_reason or "done") if line.done else ""


def _usage(line: _Line) -> TokenUsage:
    return TokenUsage(prompt_tokens=count(line.prompt_eval_count), output_tokens=count(line.eval_count))


def _times(line: _Line) -> dict[str, float]:
    told = {
        "prefill": line.prompt_eval_duration,
        "decode": line.eval_duration,
        "load": line.load_duration,
        "total": line.total_duration,
    }
    return seconds(**{name: None if value is None else value / NS_PER_S for name, value in told.items()})
