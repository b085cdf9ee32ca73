"""OpenAI's chat and completions in the dressings that servers send: the truth is first at 300 ms, then each 20 ms."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import at_once, came, data, in_ms, recut

from infertui.targets.endpoint.dialect import AskedRequest, ChatMessage, ReceivedAnswer, ServerAnswer, TokenUsage
from infertui.targets.endpoint.dialects.openai_chat import OpenAiChat
from infertui.targets.endpoint.dialects.openai_completions import OpenAiCompletions

CHAT = OpenAiChat()
COMPLETIONS = OpenAiCompletions()
TIMES = [300.0 + 20 * number for number in range(10)]


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices} | more


def usage(output: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": 7, "completion_tokens": output, "total_tokens": 7 + output} | more


def said(number: int) -> dict[str, Any]:
    return chunk({"content": f"w{number} "})


def told(received: ReceivedAnswer) -> ServerAnswer:
    return CHAT.read(received, streaming=True)


STOP = (490.0, data(chunk({}, "stop")))
USAGE = (491.0, data(chunk(usage=usage(10))))
DONE = (492.0, data("[DONE]"))
TOKENS = [(ms, data(said(number))) for number, ms in enumerate(TIMES)]
END = (STOP, USAGE, DONE)


def parted(body: bytes, ms: float) -> list[tuple[float, bytes]]:
    """In two TCP segments, the second 5 ms later."""
    return [(ms - 5, body[: len(body) // 2]), (ms, body[len(body) // 2 :])]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([*TOKENS, *END], id="plain"),
        pytest.param([*((ms, b": ping\n\n") for ms in (100.0, 200.0)), *TOKENS, *END], id="comments"),
        pytest.param([(50.0, data(chunk({"role": "assistant", "content": ""}))), *TOKENS, *END], id="role first"),
        pytest.param([(50.0, data(chunk({"role": "assistant", "content": None}))), *TOKENS, *END], id="role, null"),
        pytest.param([(ms, body.replace(b"\n", b"\r\n")) for ms, body in [*TOKENS, *END]], id="CRLF"),
        pytest.param([(ms, body.replace(b"\n", b"\r")) for ms, body in [*TOKENS, *END]], id="CR"),
        pytest.param([(ms, body.replace(b"data: ", b"data:")) for ms, body in [*TOKENS, *END]], id="no space"),
        pytest.param([half for ms, body in [*TOKENS, *END] for half in parted(body, ms)], id="in two segments"),
        pytest.param([*TOKENS, STOP, (800.0, USAGE[1]), (900.0, DONE[1])], id="usage late"),
        pytest.param([*TOKENS, STOP, USAGE], id="no [DONE]"),
        pytest.param([*TOKENS, STOP, USAGE, (492.0, b"data: [DONE]")], id="[DONE] without an end"),
        pytest.param([*TOKENS, (490.0, data(chunk({}, "stop", usage=usage(10)))), DONE], id="usage with the finish"),
        pytest.param(
            [*TOKENS, (490.0, data(chunk({"content": ""}, "stop"))), (800.0, data(chunk({}, usage=usage(10)))), DONE],
            id="usage after the finish beside an empty choice",
        ),
        pytest.param([(ms, b"id: 3\nevent: message\n" + body) for ms, body in [*TOKENS, *END]], id="ids and names"),
        pytest.param(
            [(ms, b"\xef\xbb\xbf" * (not number) + body) for number, (ms, body) in enumerate([*TOKENS, *END])], id="BOM"
        ),
        pytest.param(
            [*TOKENS[:-1], (480.0, data(chunk({"content": "w9 "}, "stop"))), USAGE, DONE],
            id="finish with the last token",
        ),
        pytest.param([*TOKENS, *END, (950.0, b": bye\n\n")], id="a comment behind"),
        pytest.param(
            [*((ms, data(said(n) | {"usage": None, "error": None})) for n, (ms, _) in enumerate(TOKENS)), *END],
            id="nulls",
        ),
        pytest.param(
            [(ms, json.dumps(chunk()).join(["data: ", "\n\n"]).encode() + body) for ms, body in [*TOKENS, *END]],
            id="empty chunks between",
        ),
        pytest.param(
            [(10.0, data(chunk(prompt_filter_results=[{"content_filter_results": {}}]))), *TOKENS, *END],
            id="Azure's first",
        ),
    ],
)
def test_the_same_truth_in_every_dressing(pieces: list[tuple[float, bytes]]) -> None:
    answer = told(came(*pieces))
    assert (answer.error, answer.message) == ("", "")
    assert in_ms(answer.steps) == TIMES
    assert answer.first_output_ns == answer.steps[0]
    assert (answer.tokens, answer.counted) == (10, "server")
    assert answer.usage == TokenUsage(prompt_tokens=7, output_tokens=10)
    assert (answer.finish, answer.text, answer.reasoning) == ("stop", "".join(f"w{n} " for n in range(10)), "")
    assert answer.first_byte_ns == round(pieces[0][0] * 1e6)


def test_a_blank_line_that_comes_with_the_next_token_delays_none() -> None:
    """As a server writes that puts the blank line before an event, or a proxy that cuts so."""
    pieces = [(ms, b"\n\n" * bool(number) + body[:-2]) for number, (ms, body) in enumerate([*TOKENS, *END])]
    assert in_ms(told(came(*pieces)).steps) == TIMES


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_the_first_token_and_not_the_first_output(name: str) -> None:
    thoughts = [(ms, data(chunk({name: "hm ", "content": None}))) for ms in TIMES[:5]]
    answer = told(came(*thoughts, *TOKENS[5:], *END))
    assert in_ms(answer.steps) == TIMES
    assert answer.first_output_ns == 400_000_000
    assert (answer.reasoning, answer.text) == ("hm " * 5, "w5 w6 w7 w8 w9 ")


def test_calls_of_tools_are_tokens() -> None:
    def call(**function: str) -> dict[str, Any]:
        return chunk({"content": None, "tool_calls": [{"index": 0, "type": "function", "function": function}]})

    parts = [call(name="weather", arguments=""), *(call(arguments=f"{number}") for number in range(9))]
    pieces = [(ms, data(part)) for ms, part in zip(TIMES, parts, strict=True)]
    answer = told(came(*pieces, (490, data(chunk({}, "tool_calls"))), USAGE, DONE))
    assert (answer.error, in_ms(answer.steps), answer.finish) == ("", TIMES, "tool_calls")
    assert answer.text == "weather012345678"
    assert answer.first_output_ns == 300_000_000
    older = [
        (300, data(chunk({"function_call": {"name": "f", "arguments": ""}}))),
        (400, data(chunk({}, "function_call"))),
    ]
    assert in_ms(told(came(*older)).steps) == [300]


def test_two_tokens_a_chunk_are_told_by_running_usage_alone() -> None:
    pairs = [
        (ms, data(said(number) | {"usage": usage(2 * number + 2)}))
        for number, ms in enumerate((300.0, 340.0, 380.0, 420.0, 460.0))
    ]
    answer = told(came((50, data(chunk({"role": "assistant", "content": ""}, usage=usage(0)))), *pairs, *END))
    assert (in_ms(answer.steps), answer.gained, answer.tokens) == ([300, 340, 380, 420, 460], (2, 2, 2, 2, 2), 10)
    without = told(came(*((ms, data(said(n))) for n, (ms, _) in enumerate(pairs)), *END))
    assert (without.gained, without.tokens, without.counted) == ((), 10, "server")


def test_tokens_that_a_parser_holds_back_are_seen_where_usage_runs() -> None:
    """The running count grows by 1, 3 and 1 while nothing is shown, and by one with the text."""
    held = [
        (50.0, data(chunk({"role": "assistant", "content": ""}, usage=usage(0)))),
        (300.0, data(chunk({}, usage=usage(1)))),
        (320.0, data(chunk({"content": ""}, usage=usage(4)))),
        (330.0, data(chunk({"content": ""}, usage=usage(4)))),
        (340.0, data(chunk({"content": "all"}, usage=usage(5)))),
        (360.0, data(chunk({"content": ""}, "stop", usage=usage(6)))),
        (361.0, data(chunk(usage=usage(6)))),
    ]
    answer = told(came(*held, DONE))
    assert (in_ms(answer.steps), answer.gained) == ([300, 320, 340, 360], (1, 3, 1, 1))
    assert (answer.tokens, answer.counted, answer.first_output_ns) == (6, "server", 340_000_000)


def test_text_whose_tokens_were_told_before_is_still_an_arrival() -> None:
    answer = told(
        came((300, data(said(0) | {"usage": usage(3)})), (320, data(said(1) | {"usage": usage(3)})), STOP, DONE)
    )
    assert (in_ms(answer.steps), answer.gained, answer.tokens) == ([300, 320], (), 3)


def test_without_usage_chunks_are_counted() -> None:
    answer = told(came(*TOKENS, STOP, DONE))
    assert (answer.tokens, answer.counted, answer.usage) == (10, "chunks", TokenUsage())
    zero = told(came(*TOKENS, STOP, (495, data(chunk(usage=usage(0)))), DONE))
    assert (zero.tokens, zero.counted) == (10, "chunks")


def test_details_of_usage() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 4}}
    assert told(came(*TOKENS, STOP, (495, data(chunk(usage=usage(10, **details)))))).usage == TokenUsage(7, 10, 5, 4)
    others = {"prompt_tokens_details": None, "reasoning_tokens": 3, "prompt_cache_hit_tokens": 2}
    assert told(came(*TOKENS, STOP, (495, data(chunk(usage=usage(10, **others)))))).usage == TokenUsage(7, 10, 2, 3)


def test_timings_of_llama_server_and_groq() -> None:
    timings = {"cache_n": 3, "prompt_n": 4, "prompt_ms": 250.0, "predicted_n": 10, "predicted_ms": 180.5, "x": 1}
    answer = told(came(*TOKENS, (490, data(chunk({}, "stop", timings=timings))), DONE))
    assert answer.server == {"prefill": 0.25, "decode": 0.1805}
    assert answer.usage == TokenUsage(prompt_tokens=7, output_tokens=10, cached_tokens=3)
    assert (answer.tokens, answer.counted) == (10, "server")
    timed = usage(10, queue_time=0.5, prompt_time=0.25, completion_time=1.5, total_time=1.75)
    answer = told(came(*TOKENS, STOP, (495, data(chunk(usage=timed)))))
    assert answer.server == {"queue": 0.5, "prefill": 0.25, "decode": 1.5, "total": 1.75}


ERROR = {"message": "out of\x1b[2J pages", "type": "x", "code": 500}


@pytest.mark.parametrize(
    "event",
    [
        data({"error": ERROR}),
        data({"error": "out of pages"}),
        data({"error": ERROR} | chunk({"content": "x"})),
        data({"object": "error", "message": "out of pages", "code": 40303}),
        data({"message": "out of pages", "type": "x"}),
        data({"detail": "out of pages"}),
        data(ERROR, event="error"),
        data("out of pages", event="error", space=""),
        b'error: {"code": 500, "message": "out of pages"}\n\n',
        data({"error": {"error": {"detail": [{"msg": "out of pages"}]}}}),
    ],
)
@pytest.mark.parametrize("end", [(), (DONE,), (STOP, DONE)])
def test_an_error_inside_a_stream_is_a_failure(event: bytes, end: tuple[tuple[float, bytes], ...]) -> None:
    answer = told(came(*TOKENS[:3], (350, event), *end))
    assert (answer.error, answer.message) == ("in-stream", "out of pages")
    assert in_ms(answer.steps)[:3] == TIMES[:3]
    assert len(told(came((20, event))).message) == len("out of pages")


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_some_reasons_to_end_are_failures(reason: str) -> None:
    answer = told(came(*TOKENS, (490, data(chunk({}, reason))), USAGE, DONE))
    assert (answer.error, answer.message, answer.finish) == ("in-stream", f"it ended with {reason}", reason)


@pytest.mark.parametrize(
    ("pieces", "whole", "error"),
    [
        pytest.param([*TOKENS], True, "no-finish", id="nothing behind"),
        pytest.param([*TOKENS, DONE], True, "no-finish", id="[DONE] alone"),
        pytest.param([*TOKENS], False, "cut-off", id="cut"),
        pytest.param([*TOKENS, STOP], False, "cut-off", id="cut behind the finish"),
        pytest.param([*TOKENS, STOP, DONE], False, "", id="cut behind [DONE]"),
        pytest.param([*TOKENS[:2], (340, TOKENS[2][1][:20])], False, "cut-off", id="cut in a chunk"),
        pytest.param([*TOKENS[:2], (340, TOKENS[2][1][:20])], True, "malformed", id="half a chunk"),
        pytest.param([], True, "empty", id="no body"),
        pytest.param([(10, b": ping\n\n")], True, "empty", id="comments alone"),
        pytest.param([STOP, DONE], True, "empty", id="no token"),
        pytest.param([STOP, (1, data(chunk(usage=usage(0)))), DONE], True, "empty", id="no token by usage"),
        pytest.param([STOP, (1, data(chunk(usage=usage(5)))), DONE], True, "empty", id="tokens by usage and none sent"),
        pytest.param([(1, data("{'a': 1}"))], True, "malformed", id="no JSON"),
        pytest.param([(1, data("[1]"))], True, "malformed", id="no object"),
        pytest.param([(1, data({"choices": [{"delta": {"content": 5}}]}))], True, "malformed", id="no text"),
        pytest.param([(1, data("[" * 100_000))], True, "malformed", id="deep"),
        pytest.param([(1, b"data: " + b'"' + b"x" * (17 << 20))], True, "too-long", id="long"),
        pytest.param([(1, b"<html>502</html>")], True, "malformed", id="page"),
    ],
)
def test_how_an_answer_fails(pieces: list[tuple[float, bytes]], whole: bool, error: str) -> None:
    answer = told(came(*pieces, whole=whole))
    assert answer.error == error
    assert bool(answer.message) == bool(error)
    assert len(answer.message) < 400
    assert "\x1b" not in answer.message


def test_a_fault_that_the_client_saw_is_the_answers() -> None:
    def broken(*pieces: tuple[int, bytes], word: Any, status: int = 200) -> ServerAnswer:
        return told(ReceivedAnswer(status, {}, pieces, 9, whole=False, broken=word, message="peer\x1b[0m gone"))

    assert (broken((1, TOKENS[0][1]), word="reset").error, broken(word="connect", status=0).error) == (
        "reset",
        "connect",
    )
    assert broken(word="tls", status=0).message == "peer gone"
    assert broken((1, TOKENS[0][1] + STOP[1] + DONE[1]), word="reset").error == ""
    assert broken((1, TOKENS[0][1] + STOP[1] + DONE[1]), word="timeout").error == "timeout"
    assert broken((1, TOKENS[0][1]), word="aborted").steps == (1,)
    assert broken((1, data({"error": "boom"})), word="reset").error == "in-stream"
    assert broken((1, b'{"error": "boo'), word="timeout", status=500).error == "http"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, {"error": ERROR}, "status 500: out of pages"),
        (404, {"object": "error", "message": "no such model"}, "status 404: no such model"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}, {"msg": "b"}]}, "status 422: field required; b"),
        (400, {"error": "bad", "error_type": "validation"}, "status 400: bad"),
        (503, b"upstream\nis \x1b]0;x\x07gone", "status 503: upstream is gone"),
        (502, b"<html><h1>Bad Gateway</h1>", "status 502: a page of HTML"),
        (500, b"", "status 500"),
        (500, b"null", "status 500"),
        (429, {"error": {"message": "slow down"}}, "status 429: slow down"),
        (500, b"[" * 100_000, "status 500: [[["),
        (500, {"error": {"code": "overloaded"}}, "status 500: overloaded"),
    ],
)
def test_a_status_of_failure_says_what_the_server_said(status: int, body: object, message: str) -> None:
    for streaming in (True, False):
        answer = CHAT.read(at_once(body, status), streaming=streaming)
        assert answer.error == ("rate-limited" if status == 429 else "http")
        assert answer.message.startswith(message)
        assert len(answer.message) < 330
        assert answer.steps == ()


def test_a_redirection_is_no_answer() -> None:
    received = came((1, b"x"), status=307, headers={"location": "https://u:secret@h/x"})
    assert told(received).message == 'status 307: it redirects to "https://***@h/x"'


def test_an_answer_at_once_has_tokens_and_no_steps() -> None:
    message = {"role": "assistant", "content": "hello", "reasoning_content": "hm"}
    body = chunk(usage=usage(10)) | {"choices": [{"message": message, "finish_reason": "length"}]}
    # A server that cannot stream answers at once although asked to.
    for streaming in (True, False):
        answer = CHAT.read(at_once(body), streaming=streaming)
        assert (answer.error, answer.steps, answer.first_output_ns) == ("", (), None)
        assert (answer.tokens, answer.counted, answer.finish) == (10, "server", "length")
        assert (answer.text, answer.reasoning, answer.first_byte_ns) == ("hello", "hm", 100_000_000)
    del body["usage"]
    unknown = CHAT.read(at_once(body), streaming=False)
    assert (unknown.tokens, unknown.counted, unknown.error) == (None, "", "")


@pytest.mark.parametrize(
    ("body", "whole", "error"),
    [
        ({"error": ERROR}, True, "in-stream"),
        ({"choices": []}, True, "empty"),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}, True, "empty"),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "length"}], "usage": usage(5)}, True, "empty"),
        ({"choices": [{"message": {"content": "x"}}]}, True, "no-finish"),
        ({"choices": [{"message": {"content": "x"}, "finish_reason": "error"}]}, True, "in-stream"),
        (b'{"choices": [{"mess', True, "malformed"),
        (b'{"choices": [{"mess', False, "cut-off"),
        (b"", True, "malformed"),
    ],
)
def test_how_an_answer_at_once_fails(body: object, whole: bool, error: str) -> None:
    received = came((1, body if isinstance(body, bytes) else json.dumps(body).encode()), whole=whole)
    assert CHAT.read(received, streaming=False).error == error


def test_what_is_odd_and_no_token_depends_on_is_passed_over() -> None:
    odd = [
        (300, data(said(0) | {"usage": "none", "timings": 3, "object": 5})),
        (320, data(said(1) | {"usage": {"completion_tokens": -4}})),
        (340, data(said(2) | {"usage": {"completion_tokens": 10**30, "prompt_tokens": 1.5}})),
        (360, data(said(3) | {"usage": {"completion_tokens": 1 << 60}})),
    ]
    answer = told(came(*odd, STOP, DONE))
    assert (answer.error, answer.text, answer.tokens, answer.counted) == ("", "w0 w1 w2 w3 ", 4, "chunks")
    assert answer.usage == TokenUsage()
    half = b'data: {"choices": [{"delta": {"content": "\xc3"}}]}\n\n'
    assert told(came((1, half), STOP)).text == "\N{REPLACEMENT CHARACTER}"


def test_parts_of_content_with_thoughts() -> None:
    """As Mistral sends them."""
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    answer = told(
        came(
            (1, data(chunk({"content": thinking}))),
            (2, data(chunk({"content": [{"type": "text", "text": "a"}]}))),
            STOP,
        )
    )
    assert (answer.reasoning, answer.text, answer.first_output_ns) == ("hm", "a", 2_000_000)


def test_completions_say_text() -> None:
    def part(text: str, finish: str | None = None) -> bytes:
        return data({"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": finish}]})

    pieces = [(50.0, part("")), *((ms, part("a")) for ms in TIMES), (490.0, part("", "length")), USAGE, DONE]
    answer = COMPLETIONS.read(came(*pieces), streaming=True)
    assert (answer.error, in_ms(answer.steps), answer.text, answer.finish) == ("", TIMES, "a" * 10, "length")
    whole = {"choices": [{"text": "abc", "finish_reason": "stop"}], "usage": usage(3)}
    assert COMPLETIONS.read(at_once(whole), streaming=False).text == "abc"


@given(st.lists(st.integers(0, 5000), max_size=12))
def test_however_a_stream_is_cut_it_says_the_same(places: list[int]) -> None:
    pieces = came((1, b": ping\r\n\r\n"), *TOKENS[:4], (5, data(chunk({"reasoning": "ü€😀"}))), *END)
    answer = told(recut(pieces, places))
    assert (answer.error, len(answer.steps), answer.tokens, answer.reasoning) == ("", 5, 10, "ü€😀")
    assert answer.steps == tuple(sorted(answer.steps))


@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_bytes_raise(body: bytes, kind: int) -> None:
    body = [body, b"data: " + body, b'data: {"choices":' + body, data(chunk({"content": "x"}))[:-9] + body][kind]
    for streaming in (True, False):
        assert CHAT.read(came((1, body)), streaming=streaming).error


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["message", "content", "type"]), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["choices", "usage", "error", "timings", "object", "message", "detail"]), ANYTHING)
)
def test_no_values_raise(values: dict[str, Any]) -> None:
    for streaming in (True, False):
        CHAT.read(came((1, data(values))), streaming=streaming)
        CHAT.read(at_once(values), streaming=streaming)


def asked(**more: Any) -> AskedRequest:
    messages = (ChatMessage("user", "hé"), ChatMessage("assistant", "a"), ChatMessage("user", "b"))
    return AskedRequest("m", messages, **({"output_tokens": 64} | more))


def test_what_is_asked() -> None:
    assert json.loads(CHAT.body(asked())) == {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hé"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "b"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 64,
        "ignore_eos": True,
        "temperature": 0.0,
    }
    plain = json.loads(COMPLETIONS.body(asked(streaming=False, exactly=False, output_tokens=None)))
    assert plain == {"model": "m", "prompt": "héab", "stream": False, "temperature": 0.0}
    sampled = json.loads(CHAT.body(asked(top_k=5, top_p=0.9, seed=0, temperature=0.7)))
    assert (sampled["top_k"], sampled["top_p"], sampled["seed"], sampled["temperature"]) == (5, 0.9, 0, 0.7)


def test_what_a_server_refuses_is_left_out_and_what_a_user_wants_is_added() -> None:
    body = json.loads(
        CHAT.body(asked(without=("ignore_eos", "max_tokens", "stream_options"), extra={"n": 1, "temperature": None}))
    )
    assert body.keys() == {"model", "messages", "stream", "max_completion_tokens", "n"}
    assert body["max_completion_tokens"] == 64
    usage_as_it_goes = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    assert json.loads(CHAT.body(asked(extra=usage_as_it_goes)))["stream_options"]["continuous_usage_stats"]


def test_where_and_with_what_key() -> None:
    assert (CHAT.path("m", streaming=True), COMPLETIONS.path("m", streaming=True)) == (
        "/v1/chat/completions",
        "/v1/completions",
    )
    assert CHAT.headers("k")["authorization"] == "Bearer k"
    assert "authorization" not in COMPLETIONS.headers("")


def test_what_llama_server_sent() -> None:
    """As it came from one built from llama-cpp-python 0.3.36, ids and some timings shortened."""
    same = '"created":1,"id":"c","model":"m","system_fingerprint":"b1-0c1e570","object":"chat.completion.chunk"'
    pieces = [
        f'data: {{"choices":[{{"finish_reason":null,"delta":{{"role":"assistant","content":null}}}}],{same}}}',
        f'data: {{"choices":[{{"finish_reason":null,"index":0,"delta":{{"content":"1"}}}}],{same}}}',
        f'data: {{"choices":[{{"finish_reason":null,"index":0,"delta":{{"content":"."}}}}],{same}}}',
        f'data: {{"choices":[{{"finish_reason":"length","index":0,"delta":{{}}}}],{same}}}',
        f'data: {{"choices":[],{same},"usage":{{"completion_tokens":2,"prompt_tokens":35,"total_tokens":37,'
        '"prompt_tokens_details":{"cached_tokens":24}},"timings":{"cache_n":24,"prompt_n":11,"prompt_ms":1955.362,'
        '"prompt_per_second":5.625556802269862,"predicted_n":2,"predicted_ms":1047.0623}}',
        "data: [DONE]",
    ]
    answer = told(came(*((ms, f"{piece}\n\n".encode()) for ms, piece in enumerate(pieces))))
    assert (answer.error, in_ms(answer.steps), answer.text, answer.finish) == ("", [1, 2], "1.", "length")
    assert answer.usage == TokenUsage(prompt_tokens=35, output_tokens=2, cached_tokens=24)
    assert answer.server == pytest.approx({"prefill": 1.955362, "decode": 1.0470623})


def test_what_transformers_serve_sent() -> None:
    """5.23: no [DONE], usage with the finish and unasked; a character that is not whole is shown as another."""
    same = '"created":1796127525,"model":"tiny@main","object":"text_completion"'
    pieces = [
        f'data: {{"id":"b","choices":[{{"index":0,"text":"\ufffdA"}}],{same}}}',
        f'data: {{"id":"b","choices":[{{"index":0,"text":"\ufffd\\u0007"}}],{same}}}',
        f'data: {{"id":"b","choices":[{{"finish_reason":"length","index":0,"text":""}}],{same},'
        '"usage":{"completion_tokens":10,"prompt_tokens":26,"total_tokens":36}}',
    ]
    received = came(*((ms, f"{piece}\n\n".encode()) for ms, piece in enumerate(pieces)))
    answer = COMPLETIONS.read(received, streaming=True)
    assert (answer.error, in_ms(answer.steps), answer.tokens, answer.counted) == ("", [0, 1], 10, "server")
    assert (answer.gained, answer.usage.prompt_tokens) == ((), 26)
