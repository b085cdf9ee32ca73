"""Triton's generate extension, before vLLM or TensorRT-LLM: a text an event, and neither usage nor an end.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_generate.html

The status is that of the first response; an error that comes later is inside the stream.
"""

from typing import Any
from urllib.parse import quote

from msgspec import Struct

from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, one_prompt
from infertui.targets.endpoint.dialects.reading import (
    JsonShape,
    StreamReading,
    at_once,
    read_events,
    read_sse_answer,
    server_message,
    unanswered,
)


class _Event(Struct, frozen=True):
    text_output: str | list[str] | None = None
    finish_reason: str | None = None
    error: Any = None


_EVENT = JsonShape(_Event, forgiven=("finish_reason",))


class Triton:
    """A text in, texts out.

    What stands in `parameters` becomes an input of the model where it has one of that name, else a parameter of the
    request: so vLLM and TensorRT-LLM both find what they know, and pass over the rest.
    """

    api: Api = "triton"

    def path(self, model: str, *, streaming: bool) -> str:
        return f"/v2/models/{quote(model, safe='')}/generate{'_stream' if streaming else ''}"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        parameters: dict[str, object] = {"stream": asked.streaming, "exclude_input_in_output": True}
        if asked.output_tokens is not None:
            parameters["max_tokens"] = asked.output_tokens
            if asked.exactly:
                parameters["ignore_eos"] = True
                parameters["min_tokens"] = asked.output_tokens
        # Greedy is the one most likely token to both; not every version of TensorRT-LLM takes a temperature of 0.
        if asked.temperature > 0:
            parameters["temperature"] = asked.temperature
        if asked.top_k or asked.temperature <= 0:
            parameters["top_k"] = asked.top_k if asked.temperature > 0 else 1
        if asked.top_p != 1:
            parameters["top_p"] = asked.top_p
        if asked.seed is not None:
            parameters["seed"] = asked.seed
        return encoded(asked, {"text_input": one_prompt(asked.messages), "parameters": parameters})

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_sse_answer(received, _EVENT, streaming=streaming, stream=_stream, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    return read_events(received, _take).answer(received, wants_finish=False)


def _whole(received: ReceivedAnswer, event: _Event) -> ServerAnswer:
    if event.error:
        return unanswered(received, "in-stream", server_message(event.error))
    return at_once(received, text=_text(event), usage=TokenUsage(), finish=_finish(event), wants_finish=False)


def _take(reading: StreamReading, stamp: int, name: str, data: bytes) -> None:
    event = _EVENT.read(data)
    if event.error:
        reading.fail("in-stream", server_message(event.error))
        return
    reading.take(stamp, _text(event))
    reading.end(_finish(event))


def _text(event: _Event) -> str:
    """Of several outputs the first."""
    text = event.text_output
    return (text[0] if text else "") if isinstance(text, list) else text or ""


def _finish(event: _Event) -> str:
    """vLLM's, which tells it where `return_finish_reason` is asked for; "None" as long as there is none."""
    return "" if event.finish_reason in (None, "None") else event.finish_reason or ""
