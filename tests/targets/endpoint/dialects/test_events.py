"""Responses and messages: events with types. First at 300 ms, then each 20 ms, unless a test says otherwise."""

import json
from typing import Any

import pytest
from support.answers import at_once, came, data, in_ms

from infertui.targets.endpoint.dialect import AskedRequest, ChatMessage, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.anthropic_messages import AnthropicMessages
from infertui.targets.endpoint.dialects.openai_responses import OpenAiResponses

RESPONSES = OpenAiResponses()
MESSAGES = AnthropicMessages()
TIMES = [300.0, 320.0, 340.0, 360.0]
ASKED = AskedRequest("m", (ChatMessage("system", "be"), ChatMessage("user", "a"), ChatMessage("assistant", "b")), 64)


def event(kind: str, **more: Any) -> bytes:
    return data({"type": kind} | more, event=kind)


def response(kind: str, **more: Any) -> bytes:
    """As it stands at the end of a stream, with the whole output once more."""
    output = [{"type": "message", "content": [{"type": "output_text", "text": "w w w w "}]}]
    usage = {
        "input_tokens": 7, "output_tokens": 5, "total_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 2},
    }  # fmt: skip
    return event(f"response.{kind}", response={"status": kind, "usage": usage, "output": output, "error": None} | more)


def responses(*pieces: tuple[float, bytes], whole: bool = True) -> ServerAnswer:
    return RESPONSES.read(came(*pieces, whole=whole), streaming=True)


BEGIN = [(10.0, event("response.created", response={"status": "in_progress", "usage": None, "output": []})),
         (11.0, event("response.in_progress", response={"status": "in_progress"})),
         (12.0, event("response.output_item.added", item={"type": "message", "content": []})),
         (13.0, event("response.content_part.added", part={"type": "output_text", "text": ""}))]  # fmt: skip
WORDS = [(ms, event("response.output_text.delta", delta="w ")) for ms in TIMES]
ITEM = {"type": "message", "content": [{"type": "output_text", "text": "w w w w "}]}
AFTER = [
    (370.0, event("response.output_text.done", text="w w w w ")),
    (371.0, event("response.output_item.done", item=ITEM)),
]


def test_responses_stream() -> None:
    answer = responses(*BEGIN, *WORDS, *AFTER, (372.0, response("completed")))
    assert (answer.error, in_ms(answer.steps), answer.text, answer.finish) == ("", TIMES, "w w w w ", "stop")
    assert (answer.tokens, answer.counted) == (5, "server")
    assert answer.usage == TokenUsage(7, 5, 4, 2)
    assert answer.first_byte_ns == 10_000_000


def test_responses_that_stop_at_the_length_are_whole() -> None:
    end = response("incomplete", incomplete_details={"reason": "max_output_tokens"})
    answer = responses(*BEGIN, *WORDS, (372.0, end), (373.0, data("[DONE]")))
    assert (answer.error, answer.finish) == ("", "max_output_tokens")


@pytest.mark.parametrize("kind", ["reasoning_text", "reasoning_summary_text", "reasoning"])
def test_responses_with_reasoning_and_calls(kind: str) -> None:
    answer = responses(
        (100, event(f"response.{kind}.delta", delta="hm ")),
        (200, event("response.output_item.added", item={"type": "function_call", "name": "weather", "arguments": ""})),
        (220, event("response.function_call_arguments.delta", delta='{"a"')),
        (240, event("response.function_call_arguments.delta", delta=": 1}")),
        (260, event("response.function_call_arguments.done", arguments='{"a": 1}')),
        (270, response("completed")),
    )
    assert (in_ms(answer.steps), answer.first_output_ns) == ([100, 200, 220, 240], 200_000_000)
    assert (answer.reasoning, answer.text) == ("hm ", 'weather{"a": 1}')


@pytest.mark.parametrize(
    ("last", "error", "message"),
    [
        (response("failed", error={"code": "server_error", "message": "out of pages"}), "in-stream", "out of pages"),
        (response("failed"), "in-stream", "the response has failed"),
        (response("cancelled"), "in-stream", "the response has cancelled"),
        (event("error", code="x", message="out of pages"), "in-stream", "out of pages"),
        (data({"type": "error", "error": {"message": "out of pages"}}), "in-stream", "out of pages"),
        (b": ping\n\n", "no-finish", "the answer ended without saying why generation did"),
        (event("response.completed"), "no-finish", "the answer ended without saying why generation did"),
        (b"data: {\n\n", "malformed", 'not JSON: "{"'),
    ],
)
def test_how_responses_fail(last: bytes, error: str, message: str) -> None:
    answer = responses(*BEGIN, *WORDS, (400, last))
    assert (answer.error, answer.message) == (error, message)
    assert in_ms(answer.steps) == TIMES


def test_responses_that_are_cut_or_empty() -> None:
    assert responses(*BEGIN, *WORDS, whole=False).error == "cut-off"
    assert responses(*BEGIN, *WORDS, (372.0, response("completed")), whole=False).error == ""
    assert responses(*BEGIN, (1, response("completed", usage=None, output=[]))).error == "empty"


def test_responses_at_once() -> None:
    whole = {
        "status": "completed",
        "usage": {"input_tokens": 7, "output_tokens": 5},
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "content": None},
            {"type": "message", "content": [{"type": "output_text", "text": "abc"}, {"refusal": "no"}]},
            {"type": "function_call", "name": "f", "arguments": "{}"},
        ],
    }
    for streaming in (True, False):
        answer = RESPONSES.read(at_once(whole), streaming=streaming)
        assert (answer.error, answer.steps, answer.text, answer.reasoning) == ("", (), "abcnof{}", "hm")
        assert (answer.tokens, answer.finish) == (5, "stop")
    failed = RESPONSES.read(at_once({"status": "failed", "error": {"message": "x"}}), streaming=False)
    assert (failed.error, failed.message) == ("in-stream", "x")
    assert RESPONSES.read(at_once({"status": "in_progress", "output": []}), streaming=False).error == "empty"
    assert RESPONSES.read(at_once({"error": {"message": "x"}}, 400), streaming=False).message == "status 400: x"


def test_what_responses_are_asked() -> None:
    assert json.loads(RESPONSES.body(ASKED)) == {
        "model": "m",
        "input": [
            {"role": "system", "content": "be"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
        ],
        "max_output_tokens": 64,
        "ignore_eos": True,
        "stream": True,
        "store": False,
        "temperature": 0.0,
    }
    assert RESPONSES.path("m", streaming=True) == "/v1/responses"


def messages(*pieces: tuple[float, bytes], whole: bool = True) -> ServerAnswer:
    return MESSAGES.read(came(*pieces, whole=whole), streaming=True)


def delta(kind: str, text: str) -> bytes:
    name = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}.get(
        kind, "signature"
    )
    return event("content_block_delta", index=0, delta={"type": kind, name: text})


def block(**content: Any) -> bytes:
    return event("content_block_start", index=0, content_block=content)


HEAD = event(
    "message_start",
    message={"id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": None,
             "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 1,
                       "output_tokens": 1}},
)  # fmt: skip
PING = event("ping")
END = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 6})
STOP = event("message_stop")
TEXTS = [(ms, delta("text_delta", "w ")) for ms in TIMES]


def test_messages_stream() -> None:
    pieces = [(10, HEAD), (11, block(type="text", text="")), (12, PING), *TEXTS, (350, PING)]
    answer = messages(*pieces, (370, event("content_block_stop", index=0)), (371, END), (372, STOP))
    assert (answer.error, in_ms(answer.steps), answer.text, answer.finish) == ("", TIMES, "w w w w ", "end_turn")
    assert (answer.tokens, answer.counted) == (6, "server")
    # All of the prompt: new, cached, and cached from now on.
    assert answer.usage == TokenUsage(prompt_tokens=10, output_tokens=6, cached_tokens=4)


def test_messages_with_thinking_and_tools() -> None:
    answer = messages(
        (10, HEAD),
        (20, block(type="thinking", thinking="")),
        (100, delta("thinking_delta", "hm ")),
        (120, delta("signature_delta", "c2ln")),
        (200, block(type="tool_use", name="weather", input={})),
        (220, delta("input_json_delta", "")),
        (240, delta("input_json_delta", '{"a": 1}')),
        (250, END),
        (251, STOP),
    )
    assert (in_ms(answer.steps), answer.first_output_ns) == ([100, 200, 240], 200_000_000)
    assert (answer.reasoning, answer.text) == ("hm ", 'weather{"a": 1}')


def test_messages_whose_end_tells_the_prompt_too() -> None:
    """As vLLM does; others tell it as 0 there, or as 0 in the beginning."""
    first = event("message_start", message={"usage": {"input_tokens": 0, "output_tokens": 0}})
    usage = {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 3}
    last = event("message_delta", delta={"stop_reason": "max_tokens"}, usage=usage)
    answer = messages((1, first), *TEXTS, (371, last), (372, STOP), (373, data("[DONE]")))
    assert answer.usage == TokenUsage(prompt_tokens=12, output_tokens=4, cached_tokens=3)
    zero = event("message_delta", delta={"stop_reason": "x"}, usage={"input_tokens": 0, "output_tokens": 4})
    assert messages((1, HEAD), *TEXTS, (371, zero), (372, STOP)).usage == TokenUsage(10, 4, 4)


@pytest.mark.parametrize(
    ("last", "error", "message"),
    [
        (event("error", error={"type": "overloaded_error", "message": "Overloaded"}), "in-stream", "Overloaded"),
        (data({"type": "error", "error": {"message": "Overloaded"}}), "in-stream", "Overloaded"),
        (PING, "no-finish", "the answer ended without saying why generation did"),
        (data("[1]"), "malformed", 'Expected `object`, got `array`: "[1]"'),
    ],
)
def test_how_messages_fail(last: bytes, error: str, message: str) -> None:
    answer = messages((10, HEAD), *TEXTS, (400, last))
    assert (answer.error, answer.message) == (error, message)
    assert in_ms(answer.steps) == TIMES


def test_messages_that_are_cut_or_empty() -> None:
    assert messages((10, HEAD), *TEXTS, (380, END), whole=False).error == "cut-off"
    assert messages((10, HEAD), *TEXTS, (380, END), (381, STOP), whole=False).error == ""
    none = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 0})
    assert messages((10, HEAD), (380, none), (381, STOP)).error == "empty"


def test_messages_at_once() -> None:
    whole = {
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "abc"},
            {"type": "tool_use", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 4},
    }
    answer = MESSAGES.read(at_once(whole), streaming=False)
    assert (answer.error, answer.text, answer.reasoning, answer.finish) == ("", 'abcf{"a":1}', "hm", "tool_use")
    assert (answer.usage, answer.tokens) == (TokenUsage(9, 6, 4), 6)
    error = {"type": "error", "error": {"type": "x", "message": "no"}}
    assert MESSAGES.read(at_once(error), streaming=True).message == "no"
    assert MESSAGES.read(at_once(error, 529), streaming=True).message == "status 529: no"


def test_what_messages_are_asked() -> None:
    assert json.loads(MESSAGES.body(ASKED)) == {
        "model": "m",
        "system": "be",
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "max_tokens": 64,
        "stream": True,
        "temperature": 0.0,
    }
    unbounded = AskedRequest("m", (ChatMessage("user", "a"),), None, top_k=3, top_p=0.5)
    body = json.loads(MESSAGES.body(unbounded))
    assert (body["max_tokens"] > 0, body["top_k"], body["top_p"], "system" in body) == (True, 3, 0.5, False)
    assert MESSAGES.path("m", streaming=True) == "/v1/messages"
    assert MESSAGES.headers("k")["authorization"] == "Bearer k"
    theirs = MESSAGES.headers("sk-ant-k")
    assert (theirs["x-api-key"], "authorization" in theirs, theirs["anthropic-version"]) == (
        "sk-ant-k",
        False,
        "2023-06-01",
    )
    assert "x-api-key" not in MESSAGES.headers("")
