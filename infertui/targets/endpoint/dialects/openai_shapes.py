"""What OpenAI's chat and completions have in common, as their many servers send it."""

from typing import Any

import msgspec
from msgspec import Struct

from infertui.targets.endpoint.dialect import AskedRequest, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.reading import (
    DONE,
    TOO_LONG,
    UNNAMED,
    JsonShape,
    StreamReading,
    UnreadableError,
    at_once,
    count,
    foreign_message,
    read_sse_answer,
    seconds,
    server_message,
    unanswered,
)
from infertui.targets.endpoint.sse import EventTooLongError, events


class PromptDetails(Struct, frozen=True):
    """Of the tokens of a prompt."""

    cached_tokens: int | None = None


class OutputDetails(Struct, frozen=True):
    """Of the tokens of an answer."""

    reasoning_tokens: int | None = None


class Usage(Struct, frozen=True):
    """`reasoning_tokens` is SGLang's place, `prompt_cache_hit_tokens` DeepSeek's; the times, in seconds, are Groq's."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    reasoning_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None
    queue_time: float | None = None
    prompt_time: float | None = None
    completion_time: float | None = None
    total_time: float | None = None


class Timings(Struct, frozen=True):
    """llama-server's own: milliseconds and tokens; `prompt_n` are those that it had not cached."""

    cache_n: int | None = None
    prompt_n: int | None = None
    prompt_ms: float | None = None
    predicted_n: int | None = None
    predicted_ms: float | None = None


class Function(Struct, frozen=True):
    """A call; in a stream a part of one."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCall(Struct, frozen=True):
    """One of the calls of an answer."""

    function: Function | None = None


class Message(Struct, frozen=True):
    """What was said, or in a stream what was added. Who calls it `reasoning`, who `reasoning_content`."""

    content: str | list[dict[str, Any]] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class AnswerChoice(Struct, frozen=True):
    """An answer, or a part of it: a chat's `delta` or `message`, a completion's `text`."""

    delta: Message | None = None
    message: Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class Chunk(Struct, frozen=True):
    """An event of a stream, or an answer at once. `message` is an error's in older servers, beside `object`."""

    choices: list[AnswerChoice] | None = None
    usage: Usage | None = None
    error: Any = None
    timings: Timings | None = None
    object: str | None = None
    message: str | None = None
    detail: Any = None


_CHUNK = JsonShape(Chunk, forgiven=("usage", "timings", "object", "message"))


def openai_fields(asked: AskedRequest) -> dict[str, object]:
    """The fields of a body but for the prompt. `ignore_eos` is known to vLLM, SGLang and llama-server.

    OpenAI's own models refuse `max_tokens`, older servers do not know `max_completion_tokens`.
    """
    fields: dict[str, object] = {"stream": asked.streaming, "temperature": asked.temperature}
    if asked.output_tokens is not None:
        fields["max_completion_tokens" if "max_tokens" in asked.without else "max_tokens"] = asked.output_tokens
        if asked.exactly:
            fields["ignore_eos"] = True
    if asked.streaming:
        fields["stream_options"] = {"include_usage": True}
    if asked.top_k:
        fields["top_k"] = asked.top_k
    if asked.top_p != 1:
        fields["top_p"] = asked.top_p
    if asked.seed is not None:
        fields["seed"] = asked.seed
    return fields


def read_openai(received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
    """An answer of chat or completions."""
    return read_sse_answer(received, _CHUNK, streaming=streaming, stream=_stream, whole=_whole)


def _stream(received: ReceivedAnswer) -> ServerAnswer:
    reading = StreamReading()
    take = reading.take
    read = _CHUNK.read
    try:
        for stamp, name, data in events(received.pieces, whole=received.whole):
            if data == DONE or not data or data.strip() == DONE:
                reading.done = reading.done or bool(data)
                continue
            if name == "error":
                reading.fail("in-stream", foreign_message(data) or UNNAMED)
                continue
            chunk = read(data)
            if chunk.error or not chunk.choices:
                _take_error(reading, chunk)
            usage = chunk.usage
            total = None
            if usage is not None:
                reading.usage = token_usage(usage)
                total = reading.usage.output_tokens
                if usage.total_time is not None:
                    reading.server = usage_times(usage)
            for choice in chunk.choices or ():
                delta = choice.delta
                if delta is None:
                    said, thought = choice.text or "", ""
                elif type(delta.content) is not str or delta.tool_calls or delta.function_call or delta.refusal:
                    said, thought = spoken(delta)
                else:
                    said, thought = delta.content, delta.reasoning or delta.reasoning_content or ""
                ends = choice.finish_reason is not None
                take(stamp, said, thought, total, ends=ends)
                if ends:
                    reading.end(choice.finish_reason or "")
            if chunk.timings is not None:
                timed(reading, chunk.timings)
    except UnreadableError as error:
        reading.fail("malformed", str(error))
    except EventTooLongError:
        reading.fail("too-long", TOO_LONG)
    return reading.answer(received)


def _take_error(reading: StreamReading, chunk: Chunk) -> None:
    """Of a chunk that has an error, or no choices. Older servers tell a message and nothing else."""
    alone = chunk.usage is None and chunk.timings is None and (chunk.message or chunk.detail)
    if chunk.error or chunk.object == "error" or alone:
        told = server_message(chunk.error) or server_message(chunk.message) or server_message(chunk.detail)
        reading.fail("in-stream", told or UNNAMED)


def _whole(received: ReceivedAnswer, chunk: Chunk) -> ServerAnswer:
    reading = StreamReading()
    if chunk.error or not chunk.choices:
        _take_error(reading, chunk)
    usage = TokenUsage() if chunk.usage is None else token_usage(chunk.usage)
    said, thought = "", ""
    for choice in chunk.choices or ():
        message = choice.message
        more_said, more_thought = (choice.text or "", "") if message is None else spoken(message)
        said += more_said
        thought += more_thought
        reading.end(choice.finish_reason or "")
    reading.usage = usage
    if chunk.usage is not None:
        reading.server = usage_times(chunk.usage)
    if chunk.timings is not None:
        timed(reading, chunk.timings)
    if reading.error:
        return unanswered(received, reading.error, reading.message)
    return at_once(
        received, text=said, reasoning=thought, usage=reading.usage, finish=reading.finish, server=reading.server
    )


def spoken(message: Message) -> tuple[str, str]:
    """What a message, or a part of one, says, and what it thinks. Calls of tools are said: their name and arguments."""
    said, thought = [], [message.reasoning or message.reasoning_content or ""]
    if isinstance(message.content, list):
        # Mistral's: thoughts among the parts.
        for part in message.content:
            if part.get("type") == "thinking":
                thought.append(_in_parts(part.get("thinking")))
            else:
                said.append(_in_parts(part.get("text")))
    else:
        said.append(message.content or "")
    said.append(message.refusal or "")
    calls = [call.function for call in message.tool_calls or ()]
    for call in (*calls, message.function_call):
        if call is not None:
            arguments = call.arguments or ""
            said += [
                call.name or "",
                arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode(),
            ]
    return "".join(said), "".join(thought)


def _in_parts(value: object) -> str:
    if isinstance(value, list):
        return "".join(_in_parts(part.get("text")) for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""


def token_usage(usage: Usage) -> TokenUsage:
    """The counts, from wherever the server puts them."""
    cached = None if usage.prompt_tokens_details is None else usage.prompt_tokens_details.cached_tokens
    details = usage.completion_tokens_details
    reasoning = None if details is None else details.reasoning_tokens
    return TokenUsage(
        prompt_tokens=count(usage.prompt_tokens),
        output_tokens=count(usage.completion_tokens),
        cached_tokens=count(usage.prompt_cache_hit_tokens if cached is None else cached),
        reasoning_tokens=count(usage.reasoning_tokens if reasoning is None else reasoning),
    )


def usage_times(usage: Usage) -> dict[str, float]:
    """Groq's, seconds."""
    return seconds(
        queue=usage.queue_time, prefill=usage.prompt_time, decode=usage.completion_time, total=usage.total_time
    )


def timed(reading: StreamReading, timings: Timings) -> None:
    """Take llama-server's own timings, and its counts where it told no usage."""
    reading.server |= seconds(
        prefill=None if timings.prompt_ms is None else timings.prompt_ms / 1e3,
        decode=None if timings.predicted_ms is None else timings.predicted_ms / 1e3,
    )
    told, cached, new = reading.usage, count(timings.cache_n), count(timings.prompt_n)
    prompt = None if new is None else new + (cached or 0)
    reading.usage = TokenUsage(
        prompt_tokens=prompt if told.prompt_tokens is None else told.prompt_tokens,
        output_tokens=count(timings.predicted_n) if told.output_tokens is None else told.output_tokens,
        cached_tokens=cached if told.cached_tokens is None else told.cached_tokens,
        reasoning_tokens=told.reasoning_tokens,
    )
