"""Hugging Face's Text Generation Inference: an event a token, and what it all came to in the last.

https://huggingface.github.io/text-generation-inference
"""

from typing import Any

from msgspec import Struct

from infertui.integers import whole_number
from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, one_prompt
from infertui.targets.endpoint.dialects.reading import (
    JsonShape,
    StreamReading,
    at_once,
    count,
    read_events,
    read_sse_answer,
    seconds,
    server_message,
    unanswered,
)


class _Token(Struct, frozen=True):
    text: str = ""
    special: bool = False


class _Details(Struct, frozen=True):
    finish_reason: str | None = None
    generated_tokens: int | None = None
    input_length: int | None = None


class _Event(Struct, frozen=True):
    token: _Token | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: Any = None
    error_type: str | None = None


_EVENT = JsonShape(_Event, forgiven=("details", "error_type"))


class Tgi:
    """A prompt in, tokens out. It knows no way past the end of sequence."""

    api: Api = "tgi"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/generate_stream" if streaming else "/generate"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        parameters: dict[str, object] = {"details": True, "do_sample": asked.temperature > 0}
        if asked.output_tokens is not None:
            parameters["max_new_tokens"] = asked.output_tokens
        # It refuses a temperature of 0, and a top_p of 1.
        if asked.temperature > 0:
            parameters["temperature"] = asked.temperature
        if asked.top_k:
            parameters["top_k"] = asked.top_k
        if asked.top_p < 1:
            parameters["top_p"] = asked.top_p
        if asked.seed is not None:
            parameters["seed"] = asked.seed
        return encoded(asked, {"inputs": one_prompt(asked.messages), "parameters": parameters})

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_sse_answer(received, _EVENT, streaming=streaming, stream=_stream, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    reading = read_events(received, _take)
    reading.server |= _times(received)
    return reading.answer(received)


def _take(reading: StreamReading, stamp: int, name: str, data: bytes) -> None:
    event = _EVENT.read(data)
    if event.error:
        reading.fail("in-stream", server_message(event.error))
        return
    token = event.token
    if token is not None:
        # An event is a token, though it may have no text: a special one, or part of a character.
        reading.take(stamp, "" if token.special else token.text, "", reading.total + 1)
    if event.generated_text is not None:
        details = event.details or _Details()
        reading.done = True
        reading.end(details.finish_reason or "end")
        reading.usage = _usage(details)


def _usage(details: _Details) -> TokenUsage:
    return TokenUsage(prompt_tokens=count(details.input_length), output_tokens=count(details.generated_tokens))


def _times(received: ReceivedAnswer) -> dict[str, float]:
    """Headers, in milliseconds: of a whole answer, and of a stream none."""
    told = {name: whole_number(received.headers.get(f"x-{name}-time", "").strip()) for name in ("queue", "total")}
    return seconds(**{name: None if value is None else value / 1e3 for name, value in told.items()})


def _whole(received: ReceivedAnswer, event: _Event) -> ServerAnswer:
    if event.error:
        return unanswered(received, "in-stream", server_message(event.error))
    details = event.details or _Details()
    prompt = details.input_length
    if prompt is None:
        prompt = whole_number(received.headers.get("x-prompt-tokens", "").strip())
    return at_once(
        received,
        text=event.generated_text or "",
        usage=TokenUsage(prompt_tokens=count(prompt), output_tokens=count(details.generated_tokens)),
        finish=details.finish_reason or ("end" if event.generated_text is not None else ""),
        server=_times(received),
    )
