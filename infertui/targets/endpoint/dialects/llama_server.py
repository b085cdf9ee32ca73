"""llama-server's own completion, which takes a prompt as it is and tells its own timings.

https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from typing import Any

from msgspec import Struct

from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, one_prompt
from infertui.targets.endpoint.dialects.openai_shapes import Timings, timed
from infertui.targets.endpoint.dialects.reading import (
    JsonShape,
    StreamReading,
    at_once,
    count,
    read_events,
    read_sse_answer,
    server_message,
    unanswered,
)


class _Event(Struct, frozen=True):
    """`tokens_predicted` runs along; `tokens_evaluated` is the whole prompt."""

    content: str | None = None
    stop: bool = False
    stop_type: str | None = None
    tokens_predicted: int | None = None
    tokens_evaluated: int | None = None
    timings: Timings | None = None
    error: Any = None


_EVENT = JsonShape(_Event, forgiven=("stop_type", "tokens_predicted", "tokens_evaluated", "timings"))


class LlamaServer:
    """A prompt in, `content` out."""

    api: Api = "llama-server"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/completion"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        fields: dict[str, object] = {
            "model": asked.model,
            "prompt": one_prompt(asked.messages),
            "stream": asked.streaming,
            "temperature": asked.temperature,
        }
        if asked.output_tokens is not None:
            fields["n_predict"] = asked.output_tokens
            if asked.exactly:
                fields["ignore_eos"] = True
        if asked.top_k:
            fields["top_k"] = asked.top_k
        # Its own default is not 1.
        fields["top_p"] = asked.top_p
        if asked.seed is not None:
            fields["seed"] = asked.seed
        return encoded(asked, fields)

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_sse_answer(received, _EVENT, streaming=streaming, stream=_stream, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    return read_events(received, _take).answer(received)


def _take(reading: StreamReading, stamp: int, name: str, data: bytes) -> None:
    event = _EVENT.read(data)
    if event.error:
        reading.fail("in-stream", server_message(event.error))
        return
    reading.take(stamp, event.content or "", "", count(event.tokens_predicted), ends=event.stop)
    if event.stop:
        _end(reading, event)


def _end(reading: StreamReading, event: _Event) -> None:
    reading.done = True
    reading.end(event.stop_type or "stop")
    reading.usage = TokenUsage(prompt_tokens=count(event.tokens_evaluated), output_tokens=count(event.tokens_predicted))
    if event.timings is not None:
        timed(reading, event.timings)


def _whole(received: ReceivedAnswer, event: _Event) -> ServerAnswer:
    if event.error:
        return unanswered(received, "in-stream", server_message(event.error))
    reading = StreamReading()
    # An answer at once has no `stop` in some versions: it is over.
    _end(reading, event)
    return at_once(
        received, text=event.content or "", usage=reading.usage, finish=reading.finish, server=reading.server
    )
