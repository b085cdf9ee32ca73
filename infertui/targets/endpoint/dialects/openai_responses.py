"""OpenAI's Responses, as vLLM and SGLang speak them too: events with types, and no `[DONE]`.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from typing import Any

from msgspec import Struct

from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, role_messages
from infertui.targets.endpoint.dialects.openai_shapes import OutputDetails, PromptDetails
from infertui.targets.endpoint.dialects.reading import (
    UNNAMED,
    JsonShape,
    StreamReading,
    at_once,
    count,
    read_events,
    read_sse_answer,
    server_message,
    unanswered,
)

_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


class _Usage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: PromptDetails | None = None
    output_tokens_details: OutputDetails | None = None


class _Incomplete(Struct, frozen=True):
    reason: str | None = None


class _Part(Struct, frozen=True):
    text: str | None = None
    refusal: str | None = None


class _Item(Struct, frozen=True):
    type: str = ""
    name: str | None = None
    arguments: str | None = None
    content: list[_Part] | None = None
    summary: list[_Part] | None = None


class _Response(Struct, frozen=True):
    status: str | None = None
    usage: _Usage | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None
    output: list[_Item] | None = None


class _Event(Struct, frozen=True):
    type: str = ""
    delta: Any = None
    item: _Item | None = None
    response: _Response | None = None
    error: Any = None
    message: str | None = None


_EVENT = JsonShape(_Event, forgiven=("message", "item"))
_RESPONSE = JsonShape(_Response, forgiven=("usage", "incomplete_details"))


class OpenAiResponses:
    """Input items in, typed events out."""

    api: Api = "openai-responses"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/v1/responses"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        fields: dict[str, object] = {
            "model": asked.model,
            "input": role_messages(asked.messages),
            "stream": asked.streaming,
            "temperature": asked.temperature,
            # Nothing has to be kept of it on the server.
            "store": False,
        }
        if asked.output_tokens is not None:
            fields["max_output_tokens"] = asked.output_tokens
            if asked.exactly:
                fields["ignore_eos"] = True
        if asked.top_k:
            fields["top_k"] = asked.top_k
        if asked.top_p != 1:
            fields["top_p"] = asked.top_p
        if asked.seed is not None:
            fields["seed"] = asked.seed
        return encoded(asked, fields)

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_sse_answer(received, _RESPONSE, streaming=streaming, stream=_stream, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    return read_events(received, _take).answer(received)


def _take(reading: StreamReading, stamp: int, name: str, data: bytes) -> None:
    event = _EVENT.read(data)
    kind = event.type or name
    if event.error or kind == "error":
        reading.fail("in-stream", server_message(event.error) or server_message(event.message) or UNNAMED)
    elif kind.endswith(".delta"):
        if isinstance(event.delta, str):
            thinks = "reasoning" in kind
            reading.take(stamp, "" if thinks else event.delta, event.delta if thinks else "")
    elif kind == "response.output_item.added":
        # The name of a function is a token that came.
        reading.take(stamp, "" if event.item is None else event.item.name or "")
    elif kind in _ENDS and event.response is not None:
        # vLLM and SGLang name the event after its end, and tell in the response alone that the length ended it.
        cut = kind == "response.completed" and event.response.status == "incomplete"
        _end(reading, event.response, "incomplete" if cut else kind.rpartition(".")[2])


def _end(reading: StreamReading, response: _Response, status: str) -> None:
    reading.done = True
    reading.usage = _usage(response.usage)
    if response.error or status in ("failed", "cancelled"):
        reading.fail("in-stream", server_message(response.error) or f"the response has {status}")
    elif status == "incomplete":
        details = response.incomplete_details
        reading.end(status if details is None else details.reason or status)
    elif status == "completed":
        reading.end("stop")


def _usage(usage: _Usage | None) -> TokenUsage:
    if usage is None:
        return TokenUsage()
    cached, reasoning = usage.input_tokens_details, usage.output_tokens_details
    return TokenUsage(
        prompt_tokens=count(usage.input_tokens),
        output_tokens=count(usage.output_tokens),
        cached_tokens=None if cached is None else count(cached.cached_tokens),
        reasoning_tokens=None if reasoning is None else count(reasoning.reasoning_tokens),
    )


def _whole(received: ReceivedAnswer, response: _Response) -> ServerAnswer:
    reading = StreamReading()
    _end(reading, response, response.status or "")
    if reading.error:
        return unanswered(received, reading.error, reading.message)
    said, thought = "", ""
    for item in response.output or ():
        parts = [*(item.content or ()), *(item.summary or ())]
        text = "".join((part.text or "") + (part.refusal or "") for part in parts)
        if item.type == "reasoning":
            thought += text
        else:
            said += text + (item.name or "") + (item.arguments or "")
    return at_once(received, text=said, reasoning=thought, usage=reading.usage, finish=reading.finish)
