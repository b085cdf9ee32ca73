"""Every dialect answers as its server does: hand-written bodies, and what must be the same in all of them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.mock_client import ask, sse_events

from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer

MESSAGES = [{"role": "user", "content": "hello"}]
# "user\nhello\n": 11 bytes, four a token.
CHAT_TOKENS = 3
SAID = " this text is"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with MockServer(MockOptions(ttft_s=0.004, itl_s=0.001)) as server:
        yield server.url


def steady(body: bytes) -> str:
    """The body without what differs from run to run: times and running numbers."""
    import re

    text = re.sub(r'("created(?:_at)?":)("[^"]*"|\d+)', r"\1T", body.decode())
    return re.sub(r"(mock[-_])\d+", r"\1N", text)


def data(body: bytes) -> list[Any]:
    return [json.loads(text) for _, text in sse_events(body) if text != "[DONE]"]


def test_chat_streams_byte_by_byte_as_written_here(url: str) -> None:
    body = {"model": "mock", "messages": MESSAGES, "max_tokens": 2, "stream": True}
    got = ask(url, "/v1/chat/completions", body | {"stream_options": {"include_usage": True}})
    head = 'data: {"id":"chatcmpl-mock-N","object":"chat.completion.chunk","created":T,"model":"mock","choices":['
    tail = ',"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert steady(got.body) == (
        f'{head}{{"index":0,"delta":{{"role":"assistant","content":""}}{tail}'
        f'{head}{{"index":0,"delta":{{"content":" this"}}{tail}'
        f'{head}{{"index":0,"delta":{{"content":" text"}}{tail}'
        f'{head}{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"length"}}],"usage":null}}\n\n'
        f'{head}],"usage":{{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2,"prompt_tokens_details":null}}}}\n\n'
        "data: [DONE]\n\n"
    )


def test_chat_without_usage_has_no_word_of_it(url: str) -> None:
    got = ask(url, "/v1/chat/completions", {"messages": MESSAGES, "max_completion_tokens": 1, "stream": True})
    assert b"usage" not in got.body
    assert [one["choices"][0]["delta"].get("content") for one in data(got.body)] == ["", " this", None]


def test_continuous_usage_grows_with_every_chunk(url: str) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    got = ask(
        url, "/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3, "stream": True, "stream_options": options}
    )
    assert [one["usage"]["completion_tokens"] for one in data(got.body)] == [0, 1, 2, 3, 3, 3]


def test_completions_streams_text(url: str) -> None:
    got = ask(url, "/v1/completions", {"prompt": "12345", "max_tokens": 2, "stream": True})
    head = 'data: {"id":"cmpl-mock-N","object":"text_completion","created":T,"model":"mock","choices":['
    assert steady(got.body) == (
        f'{head}{{"index":0,"text":" this","logprobs":null,"finish_reason":null}}]}}\n\n'
        f'{head}{{"index":0,"text":" text","logprobs":null,"finish_reason":null}}]}}\n\n'
        f'{head}{{"index":0,"text":"","logprobs":null,"finish_reason":"length"}}]}}\n\n'
        "data: [DONE]\n\n"
    )


def test_responses_streams_named_and_numbered_events(url: str) -> None:
    got = ask(url, "/v1/responses", {"input": "12345678", "max_output_tokens": 2, "stream": True})
    events = sse_events(got.body)
    assert [name for name, _ in events] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    told = [json.loads(text) for _, text in events]
    assert [one["type"] for one in told] == [name for name, _ in events]
    assert [one["sequence_number"] for one in told] == list(range(10))
    assert told[-1]["response"]["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 4,
    }
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == " this text"
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_messages_streams_blocks(url: str) -> None:
    got = ask(url, "/v1/messages", {"max_tokens": 2, "messages": MESSAGES, "stream": True})
    told = data(got.body)
    assert [name for name, _ in sse_events(got.body)] == [one["type"] for one in told]
    assert [one["type"] for one in told] == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert told[0]["message"]["usage"]["input_tokens"] == CHAT_TOKENS
    assert told[3]["delta"] == {"type": "text_delta", "text": " this"}
    assert told[6]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert told[6]["usage"]["output_tokens"] == 2


def test_tgi_tells_the_end_in_the_last_token(url: str) -> None:
    got = ask(url, "/generate_stream", {"inputs": "1234", "parameters": {"max_new_tokens": 2, "details": True}})
    assert got.body.decode() == (
        'data:{"index":1,"token":{"id":1001,"text":" this","logprob":-0.5,"special":false},'
        '"generated_text":null,"details":null}\n\n'
        'data:{"index":2,"token":{"id":1002,"text":" text","logprob":-0.5,"special":false},'
        '"generated_text":" this text","details":'
        '{"finish_reason":"length","generated_tokens":2,"seed":null,"input_length":1}}\n\n'
    )


def test_triton_says_text_alone(url: str) -> None:
    got = ask(url, "/v2/models/mock/generate_stream", {"text_input": "1234", "parameters": {"max_tokens": 2}})
    assert got.body.decode() == (
        'data: {"model_name":"mock","model_version":"1","text_output":" this"}\n\n'
        'data: {"model_name":"mock","model_version":"1","text_output":" text"}\n\n'
    )


def test_sglang_repeats_the_text_so_far(url: str) -> None:
    body = {"input_ids": [1, 2, 3], "sampling_params": {"max_new_tokens": 2}, "stream": True}
    told = data(ask(url, "/generate", body).body)
    assert [one["text"] for one in told] == [" this", " this text"]
    assert [one["meta_info"]["completion_tokens"] for one in told] == [1, 2]
    assert [one["meta_info"]["finish_reason"] for one in told] == [None, {"type": "length", "length": 2}]
    assert told[0]["meta_info"]["prompt_tokens"] == 3


def test_ollama_writes_lines_with_times_in_nanoseconds(url: str) -> None:
    got = ask(url, "/api/chat", {"model": "mock", "messages": MESSAGES, "options": {"num_predict": 3}})
    assert got.headers["content-type"] == "application/x-ndjson"
    told = [json.loads(line) for line in got.body.splitlines()]
    assert [one["message"]["content"] for one in told] == [" this", " text", " is", ""]
    assert [one["done"] for one in told] == [False, False, False, True]
    last = {key: told[-1][key] for key in ("done_reason", "prompt_eval_count", "prompt_eval_duration", "eval_count")}
    assert last == {
        "done_reason": "length", "prompt_eval_count": CHAT_TOKENS, "prompt_eval_duration": 4_000_000, "eval_count": 3,
    }  # fmt: skip
    assert (told[-1]["eval_duration"], told[-1]["total_duration"]) == (2_000_000, 6_000_000)


def test_llama_server_ends_with_its_own_times(url: str) -> None:
    told = data(ask(url, "/completion", {"prompt": "12345678", "n_predict": 3, "stream": True}).body)
    assert [one["content"] for one in told] == [" this", " text", " is", ""]
    assert [one["stop"] for one in told] == [False, False, False, True]
    assert told[-1]["stop_type"] == "limit"
    timings = told[-1]["timings"]
    assert (timings["prompt_n"], timings["prompt_ms"]) == (2, 4)
    assert (timings["predicted_n"], timings["predicted_ms"]) == (3, 2)


def _of_llama(text: str) -> Callable[[Any], bool]:
    return lambda answer: bool(answer["content"] == text and answer["stop"] and answer["tokens_predicted"] == 3)


@pytest.mark.parametrize(
    ("path", "body", "right"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3},
         lambda got: got["choices"][0]["message"]["content"] == SAID and got["usage"]["completion_tokens"] == 3),
        ("/v1/completions", {"prompt": [5, 6], "max_tokens": 3},
         lambda got: got["choices"][0]["text"] == " this text is" and got["usage"]["prompt_tokens"] == 2),
        ("/v1/responses", {"input": MESSAGES, "max_output_tokens": 3},
         lambda got: got["output"][0]["content"][0]["text"] == " this text is" and got["usage"]["output_tokens"] == 3),
        ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "max_tokens": 3},
         lambda got: got["content"] == [{"type": "text", "text": " this text is"}]),
        ("/generate", {"inputs": "x", "parameters": {"max_new_tokens": 3}},
         lambda got: got == {"generated_text": " this text is"}),
        ("/generate", {"text": "x", "sampling_params": {"max_new_tokens": 3}},
         lambda got: got["text"] == " this text is" and got["meta_info"]["completion_tokens"] == 3),
        ("/v2/models/mock/versions/1/generate", {"text_input": "x", "max_tokens": 3},
         lambda got: got["text_output"] == " this text is"),
        ("/api/chat", {"messages": MESSAGES, "stream": False, "options": {"num_predict": 3}},
         lambda got: got["message"]["content"] == " this text is" and got["eval_count"] == 3),
        ("/api/generate", {"prompt": "x", "stream": False, "options": {"num_predict": 3}},
         lambda got: got["response"] == " this text is"),
        ("/completion", {"prompt": "x", "n_predict": 3}, _of_llama(" this text is")),
    ],
)  # fmt: skip
def test_every_dialect_answers_at_once_too(
    url: str, path: str, body: dict[str, Any], right: Callable[[Any], bool]
) -> None:
    got = ask(url, path, body)
    assert (got.status, got.whole, got.headers["content-type"]) == (200, True, "application/json")
    assert int(got.headers["content-length"]) == len(got.body)
    assert right(got.json()), got.body


def test_nothing_is_said_where_no_token_is_asked_for(url: str) -> None:
    told = data(ask(url, "/completion", {"prompt": "x", "n_predict": 0, "stream": True}).body)
    assert [(one["content"], one["stop"]) for one in told] == [("", True)]


def test_without_a_length_it_says_64_tokens_of_its_own(url: str) -> None:
    got = ask(url, "/v1/chat/completions", {"messages": MESSAGES}).json()
    assert (got["usage"]["completion_tokens"], got["choices"][0]["finish_reason"]) == (64, "stop")


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/chat/completions", b"{", 400, "no JSON"),
        ("/v1/chat/completions", b"[1]", 400, "no JSON object"),
        ("/v1/chat/completions", b"[" * 100_000, 400, "no JSON"),
        ("/v1/chat/completions", {"model": "gpt", "messages": MESSAGES}, 404, "does not exist"),
        ("/v1/chat/completions", {"messages": []}, 400, "messages"),
        ("/v1/chat/completions", {"messages": [{"content": "x"}]}, 400, "messages.0"),
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 0}, 400, "1 to 1000000"),
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 1_000_001}, 400, "1 to 1000000"),
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": True}, 400, "no whole number"),
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 10**400}, 400, ""),
        ("/v1/chat/completions", {"messages": MESSAGES, "stream": "yes"}, 400, "stream"),
        ("/v1/chat/completions", {"messages": MESSAGES, "stream_options": 3}, 400, "stream_options"),
        ("/v1/completions", {"prompt": ["a", "b"]}, 400, "prompt"),
        ("/v1/completions", {"prompt": ""}, 400, "prompt"),
        ("/v1/completions", {"prompt": [-1]}, 400, "prompt"),
        ("/v1/messages", {"messages": MESSAGES}, 400, "max_tokens"),
        ("/generate", {"inputs": 3}, 422, "inputs"),
        ("/api/chat", {"messages": MESSAGES, "options": {"num_predict": 0.5}}, 400, "options.num_predict"),
        ("/v2/models/other/generate", {"text_input": "x"}, 404, "GET /mock"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_is_refused_in_words(url: str, path: str, body: object, status: int, says: str) -> None:
    got = ask(url, path, body)
    assert got.status == status
    assert says in json.dumps(got.json())


def test_errors_have_the_form_of_their_dialect(url: str) -> None:
    assert set(ask(url, "/v1/chat/completions", b"{").json()["error"]) == {"message", "type", "param", "code"}
    assert ask(url, "/v1/messages", b"{").json()["error"]["type"] == "invalid_request_error"
    assert isinstance(ask(url, "/api/chat", b"{").json()["error"], str)
    assert ask(url, "/generate_stream", b"{").json()["error_type"] == "validation"
