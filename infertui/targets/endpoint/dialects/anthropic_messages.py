"""Anthropic's messages, as vLLM, SGLang and llama-server speak them too: events with types, some of them pings.

https://docs.anthropic.com/en/api/messages-streaming
"""

from typing import Any

import msgspec
from msgspec import Struct

from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, role_messages
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

_VERSION = "2023-06-01"
_MOST_TOKENS = 4096
"""Of an answer whose length is the server's to choose: the dialect wants a limit."""


class _Usage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Block(Struct, frozen=True):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    name: str | None = None
    input: Any = None


class _Delta(Struct, frozen=True):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Message(Struct, frozen=True):
    type: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    error: Any = None


class _Event(Struct, frozen=True):
    type: str = ""
    message: _Message | str | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


_EVENT = JsonShape(_Event, forgiven=("usage", "message"))
_MESSAGE = JsonShape(_Message, forgiven=("usage",))


class AnthropicMessages:
    """Messages in, blocks of content out. It has no word for an exact length."""

    api: Api = "anthropic-messages"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/v1/messages"

    def headers(self, key: str) -> dict[str, str]:
        """Anthropic wants its keys in a field of its own, other servers as a bearer's."""
        headers = json_headers("" if key.startswith("sk-ant-") else key) | {"anthropic-version": _VERSION}
        return headers | {"x-api-key": key} if key else headers

    def body(self, asked: AskedRequest) -> bytes:
        fields: dict[str, object] = {
            "model": asked.model,
            "messages": role_messages([message for message in asked.messages if message.role != "system"]),
            "max_tokens": _MOST_TOKENS if asked.output_tokens is None else asked.output_tokens,
            "stream": asked.streaming,
            "temperature": asked.temperature,
        }
        if system := "\n".join(message.content for message in asked.messages if message.role == "system"):
            fields["system"] = system
        if asked.top_k:
            fields["top_k"] = asked.top_k
        if asked.top_p != 1:
            fields["top_p"] = asked.top_p
        return encoded(asked, fields)

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_sse_answer(received, _MESSAGE, streaming=streaming, stream=_stream, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    return read_events(received, _take).answer(received)


def _take(reading: StreamReading, stamp: int, name: str, data: bytes) -> None:
    event = _EVENT.read(data)
    kind = event.type or name
    if event.error or kind == "error":
        told = event.message if isinstance(event.message, str) else None
        reading.fail("in-stream", server_message(event.error) or server_message(told) or UNNAMED)
    elif kind == "content_block_delta" and event.delta is not None:
        delta = event.delta
        reading.take(stamp, delta.text or delta.partial_json or "", delta.thinking or "")
    elif kind == "content_block_start" and event.content_block is not None:
        block = event.content_block
        reading.take(stamp, block.text or block.name or "", block.thinking or "")
    elif kind == "message_start" and isinstance(event.message, _Message):
        # Its output tokens are those of the beginning; the last message_delta counts them all.
        reading.usage = _usage(event.message.usage, None)
    elif kind == "message_delta":
        if event.usage is not None:
            reading.usage = _usage(event.usage, reading.usage)
        reading.end("" if event.delta is None else event.delta.stop_reason or "")
    elif kind == "message_stop":
        reading.done = True


def _usage(usage: _Usage | None, before: TokenUsage | None) -> TokenUsage:
    """The prompt's tokens are those that were new, those that were cached, and those that are from now on."""
    if usage is None:
        return TokenUsage()
    parts = [count(usage.input_tokens), count(usage.cache_read_input_tokens), count(usage.cache_creation_input_tokens)]
    prompt = None if parts[0] is None else sum(filter(None, parts))
    if before is None:
        return TokenUsage(prompt_tokens=prompt, cached_tokens=parts[1])
    return TokenUsage(
        # What ends an answer tells the prompt again, in some servers as 0.
        prompt_tokens=prompt or before.prompt_tokens,
        output_tokens=count(usage.output_tokens),
        cached_tokens=before.cached_tokens if parts[1] is None else parts[1],
    )


def _whole(received: ReceivedAnswer, message: _Message) -> ServerAnswer:
    if message.error or message.type == "error":
        return unanswered(received, "in-stream", server_message(message.error) or UNNAMED)
    said, thought = "", ""
    for block in message.content or ():
        said += (block.text or "") + (block.name or "")
        said += "" if block.input is None else msgspec.json.encode(block.input).decode()
        thought += block.thinking or ""
    usage = _usage(message.usage, TokenUsage())
    return at_once(received, text=said, reasoning=thought, usage=usage, finish=message.stop_reason or "")
