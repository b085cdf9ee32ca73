"""SGLang's own generate: events with the text so far, and counts that run along.

https://docs.sglang.io/basic_usage/native_api.html
"""

import itertools
from typing import Any

import msgspec
from msgspec import Struct

from infertui.targets.endpoint.dialect import Api, AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.asking import encoded, json_headers, one_prompt
from infertui.targets.endpoint.dialects.reading import (
    FAILED,
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


class _Meta(Struct, frozen=True):
    finish_reason: dict[str, Any] | str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    queue_time: float | None = None
    e2e_latency: float | None = None


class _Event(Struct, frozen=True):
    text: str | None = None
    meta_info: _Meta | None = None
    error: Any = None


_EVENT = JsonShape(_Event, forgiven=("meta_info",))


class SGLang:
    """A prompt in; the text so far out, or with `--incremental-streaming-output` what was added."""

    api: Api = "sglang"

    def path(self, model: str, *, streaming: bool) -> str:
        return "/generate"

    def headers(self, key: str) -> dict[str, str]:
        return json_headers(key)

    def body(self, asked: AskedRequest) -> bytes:
        sampling: dict[str, object] = {"temperature": asked.temperature}
        if asked.output_tokens is not None:
            sampling["max_new_tokens"] = asked.output_tokens
            if asked.exactly:
                sampling["ignore_eos"] = True
        if asked.top_k:
            sampling["top_k"] = asked.top_k
        if asked.top_p != 1:
            sampling["top_p"] = asked.top_p
        if asked.seed is not None:
            sampling["sampling_seed"] = asked.seed
        return encoded(
            asked, {"text": one_prompt(asked.messages), "sampling_params": sampling, "stream": asked.streaming}
        )

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        return read_sse_answer(received, _EVENT, streaming=streaming, stream=_stream, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    texts = _Texts()
    answer = read_events(received, texts.take).answer(received)
    return msgspec.structs.replace(answer, text=texts.whole())


class _Texts:
    """The texts of a stream's events: which way they were told shows when all are there."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def take(self, reading: StreamReading, stamp: int, name: str, data: bytes) -> None:
        event = _EVENT.read(data)
        if event.error:
            reading.fail("in-stream", server_message(event.error))
            return
        if event.text is None and event.meta_info is None:
            return  # no event of a generation: it tells neither text nor counts
        meta, text = event.meta_info or _Meta(), event.text or ""
        total, new = count(meta.completion_tokens), text
        if self._texts and text == self._texts[-1] and (total is None or total <= reading.total):
            new = ""
        else:
            self._texts.append(text)
        reading.take(stamp, new, "", total, ends=meta.finish_reason is not None)
        _end(reading, meta)

    def whole(self) -> str:
        """Each so far, if each begins with the one before; else each is what was added."""
        if all(later.startswith(earlier) for earlier, later in itertools.pairwise(self._texts)):
            return self._texts[-1] if self._texts else ""
        return "".join(self._texts)


def _end(reading: StreamReading, meta: _Meta) -> None:
    reading.usage = TokenUsage(
        prompt_tokens=count(meta.prompt_tokens),
        output_tokens=count(meta.completion_tokens),
        cached_tokens=count(meta.cached_tokens),
        reasoning_tokens=count(meta.reasoning_tokens),
    )
    if meta.e2e_latency is not None:
        reading.server = seconds(queue=meta.queue_time, total=meta.e2e_latency)
    reason = meta.finish_reason
    if isinstance(reason, dict):
        kind = str(reason.get("type") or "")
        if kind in FAILED:
            reading.fail("in-stream", server_message(reason.get("message")) or f"it ended with {kind}")
        reading.end(kind)
    else:
        reading.end(reason or "")


def _whole(received: ReceivedAnswer, event: _Event) -> ServerAnswer:
    if event.error:
        return unanswered(received, "in-stream", server_message(event.error))
    reading = StreamReading()
    _end(reading, event.meta_info or _Meta())
    if reading.error:
        return unanswered(received, reading.error, reading.message)
    return at_once(received, text=event.text or "", usage=reading.usage, finish=reading.finish, server=reading.server)
