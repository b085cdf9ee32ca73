"""Every dressing against bytes written by hand, or against what an independent reader makes of it."""

import json
import zlib
from typing import Any

import pytest
from support.mock_client import Received, ask, sse_events

from infertui.errors import ConfigError
from infertui.mock.dressings import DRESSINGS, check_together
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer

BODY = {"messages": [{"role": "user", "content": "hello"}], "stream": True}
# The test of tool calls needs five of them.
WORDS = (" this", " text", " is", " of", " a")
# Dressings that only change the clothes: what is said, and when tokens come, stays.
SAME_EVENTS = (
    "plain", "ping-comments", "ping-comments-1s", "role-only-empty", "crlf", "cr", "no-space", "multi-line-data",
    "split-segments", "joined-events", "late-usage", "bom", "event-fields", "late-headers", "content-length",
    "connection-close", "chunked", "chunk-a-byte",
)  # fmt: skip


def dressed(
    *names: str,
    tokens: int = 4,
    path: str = "/v1/chat/completions",
    usage: bool = True,
    ttft_s: float = 0.012,
    **more: Any,
) -> Received:
    with MockServer(MockOptions(ttft_s=ttft_s, itl_s=0.002, dressings=names, seed=3)) as server:
        body = BODY | {"max_tokens": tokens} | ({"stream_options": {"include_usage": True}} if usage else {})
        return ask(server.url, path, body | more, headers={"Accept-Encoding": "gzip"})


def events(got: Received) -> list[Any]:
    return [json.loads(text) for _, text in sse_events(got.body) if text != "[DONE]"]


def deltas(got: Received) -> list[Any]:
    return [one["choices"][0]["delta"] for one in events(got) if one.get("choices")]


def framed(got: Received) -> list[bytes]:
    """Lines of the body."""
    return got.body.split(b"\n")


def without_time(document: Any) -> Any:
    return {key: value for key, value in document.items() if key not in ("created", "id")}


def test_all_are_tested_here() -> None:
    own = {
        "role-only-null", "two-tokens-a-chunk", "reasoning", "reasoning-content", "tool-calls-only", "continuous-usage",
        "swallowed-tokens", "no-done", "empty-choices", "error-in-stream", "no-finish", "cut-stream", "unknown-events",
        "gzip", "unicode",
    }  # fmt: skip
    assert set(DRESSINGS) == own | set(SAME_EVENTS)


@pytest.mark.parametrize("name", SAME_EVENTS)
def test_the_same_is_said_in_other_clothes(name: str) -> None:
    got = dressed(name)
    assert (got.status, got.whole, got.error) == (200, True, "")
    found = [without_time(one) for one in events(got)]
    assert [one["choices"][0]["delta"].get("content") for one in found[:-1]] == [
        "",
        " this",
        " text",
        " is",
        " of",
        None,
    ]
    assert found[-1]["usage"]["completion_tokens"] == 4
    assert sse_events(got.body)[-1] == ("message", "[DONE]")


def test_line_ends() -> None:
    crlf, cr = dressed("crlf").body, dressed("cr").body
    assert crlf.count(b"\r\n") == crlf.count(b"\n") == crlf.count(b"\r") > 10
    assert b"\n" not in cr
    assert cr.endswith(b"data: [DONE]\r\r")


def test_no_space_and_byte_order_mark_and_fields() -> None:
    assert b"data: " not in dressed("no-space").body
    assert dressed("bom").body.startswith(b"\xef\xbb\xbfdata: {")
    lines = framed(dressed("event-fields"))
    assert lines[:3] == [b"id: 1", b"retry: 3000", b"event: message"]
    assert b"id: 2" in lines


def test_multi_line_data_is_several_lines_an_event() -> None:
    first = framed(dressed("multi-line-data"))[:4]
    assert [line[:6] for line in first] == [b"data: ", b"data: ", b"data: ", b""]
    assert json.loads(b"".join(line[6:] for line in first))["choices"][0]["delta"]["role"] == "assistant"


def test_pings_come_before_the_first_token_and_mean_nothing() -> None:
    got = dressed("ping-comments", ttft_s=0.35)
    assert got.body.startswith(b": ping\n\n: ping\n\n: ping\n\ndata: {")
    for place, stamp in enumerate(stamp for stamp, piece in got.pieces if b"ping" in piece):
        assert stamp - got.began_ns >= 100_000_000 * (place + 1)
    assert dressed("ping-comments-1s", ttft_s=1.05).body.startswith(b":\n\ndata: {")


def test_role_only_comes_before_the_first_token() -> None:
    got = dressed("role-only-null", ttft_s=0.3)
    assert deltas(got)[:2] == [{"role": "assistant", "content": None}, {"content": " this"}]
    first = sse_events(got.pieces[0][1])
    assert len(first) == 1, "role and token came in one piece"


def test_two_tokens_a_chunk() -> None:
    assert [one.get("content") for one in deltas(dressed("two-tokens-a-chunk", tokens=5))] == [
        "", " this text", " is of", " a", None,
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "field"), [("reasoning", "reasoning"), ("reasoning-content", "reasoning_content")])
def test_reasoning_is_the_first_half(name: str, field: str) -> None:
    got = dressed(name, tokens=5)
    assert deltas(got)[1:6] == [
        {field: " this"}, {field: " text"}, {"content": " is"}, {"content": " of"}, {"content": " a"},
    ]  # fmt: skip
    assert events(got)[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}


def test_reasoning_in_other_dialects() -> None:
    got = dressed("reasoning", path="/v1/messages", usage=False)
    said = [one["delta"] for one in events(got) if one["type"] == "content_block_delta"]
    assert [one.get("thinking", one.get("text")) for one in said] == [" this", " text", " is", " of"]
    assert [one["index"] for one in events(got) if one["type"] == "content_block_start"] == [0, 1]
    got = dressed("reasoning", path="/v1/responses", usage=False, input="x", max_output_tokens=2)
    assert [name for name, _ in sse_events(got.body) if name.endswith("delta")] == [
        "response.reasoning_text.delta", "response.output_text.delta",
    ]  # fmt: skip
    got = dressed("reasoning", path="/api/chat", usage=False, options={"num_predict": 2})
    lines = [json.loads(line)["message"] for line in got.body.splitlines()]
    assert lines[:2] == [
        {"role": "assistant", "content": "", "thinking": " this"}, {"role": "assistant", "content": " text"},
    ]  # fmt: skip


@pytest.mark.parametrize("tokens", [1, 2, 5])
def test_tool_calls_have_arguments_that_are_json(tokens: int) -> None:
    got = dressed("tool-calls-only", tokens=tokens)
    calls = [one["tool_calls"][0] for one in deltas(got) if "tool_calls" in one]
    assert len(calls) == tokens
    assert calls[0]["function"]["name"] == "mock_tool"
    assert json.loads("".join(one["function"]["arguments"] for one in calls)) == {"text": "".join(WORDS[:tokens])}
    assert not any(one.get("content") for one in deltas(got))
    assert events(got)[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_split_segments_cut_events_and_end_in_time() -> None:
    got = dressed("split-segments", tokens=8)
    pieces = [piece for _, piece in got.pieces]
    assert len(pieces) > 8
    assert any(not piece.endswith(b"\n\n") for piece in pieces)


def test_joined_events_share_a_segment() -> None:
    got = dressed("joined-events", tokens=4)
    assert [piece.count(b'"content":" ') for _, piece in got.pieces] == [2, 2]


def test_usage_in_every_chunk_and_tokens_told_by_usage_alone() -> None:
    counts = [one["usage"]["completion_tokens"] for one in events(dressed("continuous-usage", usage=False))]
    assert counts == [0, 1, 2, 3, 4, 4]
    got = dressed("swallowed-tokens", usage=False)
    assert [one.get("content") for one in deltas(got)] == ["", " this", "", " is", "", None]
    assert [one["usage"]["completion_tokens"] for one in events(got)] == [0, 1, 2, 3, 4, 4]


def test_late_usage_comes_long_after_the_last_token() -> None:
    got = dressed("late-usage")
    last = max(stamp for stamp, piece in got.pieces if b'"content":" of"' in piece)
    done = next(stamp for stamp, piece in got.pieces if b"[DONE]" in piece)
    assert done - last > 100_000_000


def test_ends_that_are_left_out() -> None:
    assert b"[DONE]" not in dressed("no-done").body
    got = dressed("no-finish")
    assert all(one["choices"][0]["finish_reason"] is None for one in events(got) if one["choices"])
    assert got.whole
    got = dressed("cut-stream", tokens=5)
    assert not got.whole
    assert [one.get("content") for one in deltas(got)] == ["", " this", " text", " is"]


def test_a_chunk_without_choices_comes_first() -> None:
    found = events(dressed("empty-choices"))
    assert [len(one["choices"]) for one in found] == [1, 0, 1, 1, 1, 1, 1, 0]
    assert not found[1].get("usage")


@pytest.mark.parametrize(
    ("path", "more", "says"),
    [
        ("/v1/chat/completions", {}, '"error":{"message"'),
        ("/v1/completions", {"prompt": "x"}, '"error":{"message"'),
        ("/v1/responses", {"input": "x"}, '{"type":"error","code":"server_error"'),
        ("/v1/messages", {}, '{"type":"error","error":{"type":"overloaded_error"'),
        ("/generate_stream", {"inputs": "x"}, '"error_type":"generation"'),
        ("/generate", {"text": "x"}, '"error":{"message"'),
        ("/v2/models/mock/generate_stream", {"text_input": "x"}, '{"error":"mock'),
        ("/api/chat", {}, '{"error":"mock'),
        ("/completion", {"prompt": "x"}, '{"error":{"code":500'),
    ],
)
def test_an_error_in_a_stream_of_status_200(path: str, more: dict[str, Any], says: str) -> None:
    got = dressed("error-in-stream", path=path, usage=False, **more)
    assert (got.status, got.whole) == (200, True)
    assert says.encode() in got.body
    assert b'finish_reason":"' not in got.body
    assert b" is" in got.body
    assert b" of" not in got.body


def test_unknown_events_are_among_the_others() -> None:
    got = dressed("unknown-events")
    assert ("x-mock", '{"mock":"of no meaning"}') in sse_events(got.body)
    known = [json.loads(text) for kind, text in sse_events(got.body) if kind == "message" and text != "[DONE]"]
    assert [one["choices"][0]["delta"].get("content") for one in known if one["choices"]] == [
        "", " this", " text", " is", " of", None,
    ]  # fmt: skip


def test_gzip_is_flushed_with_every_event() -> None:
    got = dressed("gzip")
    assert got.headers["content-encoding"] == "gzip"
    unpack = zlib.decompressobj(31)
    first = unpack.decompress(got.pieces[0][1])
    assert b" this" in first
    assert first.endswith(b"\n\n")
    rest = b"".join(unpack.decompress(piece) for _, piece in got.pieces[1:])
    assert rest.endswith(b"data: [DONE]\n\n")
    assert unpack.eof


def test_framings_of_http() -> None:
    assert dressed("plain").headers["transfer-encoding"] == "chunked"
    got = dressed("content-length")
    assert int(got.headers["content-length"]) == len(got.body)
    assert "transfer-encoding" not in got.headers
    got = dressed("connection-close")
    assert got.headers["connection"] == "close"
    assert not {"transfer-encoding", "content-length"} & set(got.headers)
    assert dressed("chunked", stream=False).headers["transfer-encoding"] == "chunked"
    got = dressed("chunk-a-byte")
    assert got.headers["transfer-encoding"] == "chunked"


def test_unicode_survives_as_bytes_and_as_escapes() -> None:
    said = "".join(one.get("content") or "" for one in deltas(dressed("unicode", tokens=12)))
    assert said == 'Größe über世界世界🚀🚀 "quoted"\n\t\\e\u0301 a/b \u2028 data: {}'.replace("Größe", " Größe", 1)


@pytest.mark.parametrize("name", [name for name in DRESSINGS if name not in ("ping-comments-1s", "late-usage")])
def test_every_dressing_suits_every_dialect(name: str) -> None:
    """What has no place in a dialect leaves it as it is, and no dressing breaks its form."""
    bodies: dict[str, dict[str, Any]] = {
        "/v1/completions": {"prompt": "x", "max_tokens": 4},
        "/v1/responses": {"input": "x", "max_output_tokens": 4},
        "/v1/messages": {"max_tokens": 4},
        "/generate_stream": {"inputs": "x", "parameters": {"max_new_tokens": 4}},
        "/generate": {"text": "x", "sampling_params": {"max_new_tokens": 4}},
        "/v2/models/mock/generate_stream": {"text_input": "x", "max_tokens": 4},
        "/api/generate": {"prompt": "x", "options": {"num_predict": 4}},
        "/completion": {"prompt": "x", "n_predict": 4},
    }
    with MockServer(MockOptions(ttft_s=0.006, itl_s=0.001, dressings=(name,))) as server:
        for path, body in bodies.items():
            for streaming in (True, False):
                got = ask(server.url, path, BODY | body | {"stream": streaming})
                assert got.status == 200, (path, streaming)
                if name != "cut-stream":
                    assert got.whole, (path, streaming, got.error)
                if not streaming and path != "/generate_stream" and not path.endswith("generate_stream"):
                    got.json()
                elif path == "/api/generate":
                    assert all(json.loads(line) for line in got.body.splitlines())
                else:
                    assert all(text == "[DONE]" or json.loads(text) for _, text in sse_events(got.body))
        outcomes = server.stats()["outcomes"]
    assert sum(outcomes.values()) == 16


def test_dressings_that_exclude_each_other_are_refused() -> None:
    check_together(("crlf", "ping-comments", "late-usage", "bom", "gzip"))
    for names in (("plain", "crlf"), ("reasoning", "tool-calls-only"), ("cr", "crlf")):
        with pytest.raises(ConfigError, match="exclude each other"):
            check_together(names)


def test_several_at_once() -> None:
    got = dressed("crlf", "ping-comments", "bom", "event-fields", "reasoning", "late-headers", "chunk-a-byte")
    assert got.whole
    assert deltas(got)[1] == {"reasoning": " this"}
