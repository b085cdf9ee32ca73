"""Servers' own dialects: TGI, Triton, Ollama, llama-server and SGLang; and what holds for all dialects."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import at_once, came, data, in_ms, recut

from infertui.targets.endpoint.dialect import (
    AskedRequest,
    ChatMessage,
    Dialect,
    ReceivedAnswer,
    ServerAnswer,
    TokenUsage,
)
from infertui.targets.endpoint.dialects.llama_server import LlamaServer
from infertui.targets.endpoint.dialects.ollama import OllamaChat, OllamaGenerate
from infertui.targets.endpoint.dialects.registry import DIALECTS, dialect_of
from infertui.targets.endpoint.dialects.sglang import SGLang
from infertui.targets.endpoint.dialects.tgi import Tgi
from infertui.targets.endpoint.dialects.triton import Triton

TIMES = [300.0, 320.0, 340.0]


def stream(dialect: Dialect, *pieces: tuple[float, bytes], whole: bool = True) -> ServerAnswer:
    return dialect.read(came(*pieces, whole=whole), streaming=True)


def asked(**more: Any) -> AskedRequest:
    return AskedRequest("m", (ChatMessage("user", "a"), ChatMessage("user", "b")), **({"output_tokens": 64} | more))


def body(dialect: Dialect, **more: Any) -> dict[str, Any]:
    value = json.loads(dialect.body(asked(**more)))
    assert isinstance(value, dict)
    return value


# TGI


def token(number: int, text: str, *, special: bool = False, **more: Any) -> bytes:
    value = {"index": number, "token": {"id": number, "text": text, "logprob": -1.0, "special": special},
             "generated_text": None, "details": None}  # fmt: skip
    return data(value | more, space="")


def test_tgi_tells_a_token_an_event_and_the_rest_in_the_last() -> None:
    details = {"finish_reason": "eos_token", "generated_tokens": 4, "input_length": 7, "seed": None}
    pieces = [(ms, token(n, "w ")) for n, ms in enumerate(TIMES)]
    answer = stream(Tgi(), *pieces, (360, token(4, "</s>", special=True, generated_text="w w w ", details=details)))
    assert (answer.error, in_ms(answer.steps), answer.gained) == ("", [*TIMES, 360], (1, 1, 1, 1))
    assert (answer.text, answer.finish, answer.tokens, answer.counted) == ("w w w ", "eos_token", 4, "server")
    assert answer.usage == TokenUsage(prompt_tokens=7, output_tokens=4)
    # Part of a character has no text, and is a token.
    part = stream(Tgi(), (300, token(1, "")), (320, token(2, "é", generated_text="é", details=None)))
    assert (in_ms(part.steps), part.first_output_ns, part.tokens, part.finish) == ([300, 320], 320_000_000, 2, "end")


def test_gains_that_do_not_add_up_are_not_known() -> None:
    """Three events, and seven tokens by the last: which came when is not told."""
    details = {"finish_reason": "length", "generated_tokens": 7, "input_length": 7}
    pieces = [
        (300, token(1, "w w ")),
        (320, token(2, "w w ")),
        (340, token(3, "w ", generated_text="x", details=details)),
    ]
    answer = stream(Tgi(), *pieces)
    assert (in_ms(answer.steps), answer.gained, answer.tokens) == (TIMES, (), 7)
    fewer = stream(SGLang(), (300, so_far("a", 5)), (320, so_far("ab", 6)), (340, so_far("ab", 2, "stop")))
    assert (in_ms(fewer.steps), fewer.gained, fewer.tokens) == ([300, 320], (), 2)


@pytest.mark.parametrize("name", ["", "error"])
def test_tgi_errors_are_events(name: str) -> None:
    error = data({"error": "Input validation error: too long", "error_type": "validation"}, event=name, space="")
    answer = stream(Tgi(), (300, token(1, "w ")), (310, error))
    assert (answer.error, answer.message, answer.tokens) == ("in-stream", "Input validation error: too long", 1)
    assert stream(Tgi(), (300, token(1, "w "))).error == "no-finish"
    assert stream(Tgi(), (300, token(1, "w ")), whole=False).error == "cut-off"


def test_tgi_at_once_with_its_headers() -> None:
    value = {"generated_text": "abc", "details": {"finish_reason": "length", "generated_tokens": 3, "prefill": []}}
    headers = {"x-queue-time": "2", "x-total-time": "1500", "x-prompt-tokens": "7", "x-inference-time": "soon"}
    received = came((1, json.dumps(value).encode()), headers=headers)
    answer = Tgi().read(received, streaming=False)
    assert (answer.error, answer.text, answer.finish, answer.tokens) == ("", "abc", "length", 3)
    assert answer.usage == TokenUsage(prompt_tokens=7, output_tokens=3)
    assert answer.server == {"queue": 0.002, "total": 1.5}
    assert Tgi().read(at_once({"generated_text": ""}), streaming=False).error == "empty"


def test_what_tgi_is_asked() -> None:
    parameters = {"details": True, "do_sample": False, "max_new_tokens": 64}
    assert body(Tgi()) == {"inputs": "ab", "parameters": parameters}
    sampled = body(Tgi(), temperature=0.7, top_p=0.9, top_k=3, seed=1)["parameters"]
    assert sampled == parameters | {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 3, "seed": 1}
    assert (Tgi().path("m", streaming=True), Tgi().path("m", streaming=False)) == ("/generate_stream", "/generate")


# Triton


def output(text: object, **more: Any) -> bytes:
    return data({"model_name": "m", "model_version": "1", "text_output": text} | more)


def test_triton_has_neither_usage_nor_an_end() -> None:
    answer = stream(Triton(), *((ms, output("w ")) for ms in TIMES), (350, output("")))
    assert (answer.error, in_ms(answer.steps), answer.text, answer.finish) == ("", TIMES, "w w w ", "")
    assert (answer.tokens, answer.counted, answer.gained) == (3, "chunks", ())
    told = stream(Triton(), (300, output(["w ", "x"], finish_reason="None")), (310, output("", finish_reason="length")))
    assert (told.text, told.finish) == ("w ", "length")
    assert stream(Triton(), (300, output("w ")), whole=False).error == "cut-off"
    assert stream(Triton()).error == "empty"


def test_triton_errors_come_with_status_200() -> None:
    answer = stream(Triton(), (300, output("w ")), (310, data({"error": "Error generating stream: boom"})))
    assert (answer.error, answer.message, in_ms(answer.steps)) == ("in-stream", "Error generating stream: boom", [300])
    whole = Triton().read(at_once({"text_output": "abc"}), streaming=False)
    assert (whole.error, whole.text, whole.tokens) == ("", "abc", None)
    assert Triton().read(at_once({"error": "boom"}), streaming=False).error == "in-stream"


def test_what_triton_is_asked() -> None:
    assert body(Triton()) == {
        "text_input": "ab",
        "parameters": {
            "stream": True,
            "exclude_input_in_output": True,
            "max_tokens": 64,
            "min_tokens": 64,
            "ignore_eos": True,
            "top_k": 1,
        },
    }
    assert body(Triton(), temperature=0.5, exactly=False)["parameters"].keys() == {
        "stream", "exclude_input_in_output", "max_tokens", "temperature",
    }  # fmt: skip
    assert Triton().path("a/b c", streaming=True) == "/v2/models/a%2Fb%20c/generate_stream"
    assert Triton().path("m", streaming=False) == "/v2/models/m/generate"
    merged = body(Triton(), extra={"parameters": {"bad_words": "", "top_k": None}}, without=("min_tokens",))
    assert merged["parameters"].keys() == {"stream", "exclude_input_in_output", "max_tokens", "ignore_eos", "bad_words"}


# Ollama


def line(**values: Any) -> bytes:
    return json.dumps({"model": "m", "created_at": "2026-12-01T00:00:00Z", "done": False} | values).encode() + b"\n"


def chat(**message: Any) -> bytes:
    return line(message={"role": "assistant", "content": ""} | message)


LAST: dict[str, Any] = {
    "done": True, "done_reason": "length", "total_duration": 5_000_000_000, "load_duration": 2_000_000_000,
    "prompt_eval_count": 7, "prompt_eval_duration": 500_000_000, "eval_count": 4, "eval_duration": 250_000_000,
}  # fmt: skip
TOLD = {"prefill": 0.5, "decode": 0.25, "load": 2.0, "total": 5.0}


def test_ollama_chats_by_the_line() -> None:
    pieces = [(100, chat(thinking="hm ")), *((ms, chat(content="w ")) for ms in TIMES)]
    answer = stream(OllamaChat(), *pieces, (350, line(message={"role": "assistant", "content": ""}, **LAST)))
    assert (answer.error, in_ms(answer.steps), answer.first_output_ns) == ("", [100, *TIMES], 300_000_000)
    assert (answer.text, answer.reasoning, answer.finish) == ("w w w ", "hm ", "length")
    assert (answer.tokens, answer.counted, answer.usage) == (4, "server", TokenUsage(7, 4))
    assert answer.server == TOLD
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    tools = stream(OllamaChat(), (1, chat(tool_calls=[call])), (2, line(message={"content": ""}, **LAST)))
    assert (tools.text, in_ms(tools.steps)) == ('f{"a":1}', [1])


def test_ollama_generates_by_the_line() -> None:
    pieces = [(100, line(response="", thinking="hm ")), *((ms, line(response="w ")) for ms in TIMES)]
    answer = stream(OllamaGenerate(), *pieces, (350, line(response="", context=[1, 2], **LAST)))
    assert (answer.error, in_ms(answer.steps), answer.text, answer.reasoning) == ("", [100, *TIMES], "w w w ", "hm ")
    older = {key: value for key, value in LAST.items() if key not in ("done_reason", "prompt_eval_count")}
    answer = stream(OllamaGenerate(), *pieces, (350, line(response="", **older)))
    assert (answer.error, answer.finish, answer.usage) == ("", "done", TokenUsage(output_tokens=4))


@pytest.mark.parametrize(
    ("last", "whole", "error"),
    [
        (b'{"error": "model runner has stopped"}\n', True, "in-stream"),
        (b"", True, "no-finish"),
        (b'{"mess', True, "malformed"),
        (b'{"mess', False, "cut-off"),
        (b"", False, "cut-off"),
        (b'"text"\n', True, "malformed"),
    ],
)
def test_how_ollama_fails(last: bytes, whole: bool, error: str) -> None:
    answer = stream(OllamaChat(), (300, chat(content="w ")), (320, chat(content="x ")), (350, last), whole=whole)
    assert (answer.error, in_ms(answer.steps)) == (error, [300, 320])


def test_ollama_in_one_line() -> None:
    """At once; as a stream that was none; and an error with status 200 before anything else."""
    whole = line(message={"content": "abc", "thinking": "hm"}, **LAST)
    for streaming in (True, False):
        answer = OllamaChat().read(at_once(whole), streaming=streaming)
        assert (answer.error, answer.steps, answer.text, answer.reasoning) == ("", (), "abc", "hm")
        assert (answer.tokens, answer.server) == (4, TOLD)
        failed = OllamaChat().read(at_once({"error": "no model"}), streaming=streaming)
        assert (failed.error, failed.message) == ("in-stream", "no model")
    begun = stream(OllamaChat(), (300, chat(content="w ")), whole=False)
    assert (begun.error, in_ms(begun.steps)) == ("cut-off", [300])
    assert OllamaChat().read(at_once({"error": "model 'x' not found"}, 404), streaming=True).error == "http"


def test_what_ollama_is_asked() -> None:
    options = {"temperature": 0.0, "num_predict": 64}
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert body(OllamaChat()) == {"model": "m", "messages": messages, "stream": True, "options": options}
    assert body(OllamaGenerate()) == {"model": "m", "prompt": "ab", "raw": True, "stream": True, "options": options}
    wide = body(OllamaChat(), extra={"options": {"num_ctx": 8192}}, seed=3, top_k=2, top_p=0.5)["options"]
    assert wide == options | {"num_ctx": 8192, "seed": 3, "top_k": 2, "top_p": 0.5}
    assert (OllamaChat().path("m", streaming=True), OllamaGenerate().path("m", streaming=True)) == (
        "/api/chat",
        "/api/generate",
    )


# llama-server


def part(text: str, count: int, **more: Any) -> bytes:
    value = {"index": 0, "content": text, "tokens": [], "stop": False, "id_slot": -1,
             "tokens_predicted": count, "tokens_evaluated": 7}  # fmt: skip
    return data(value | more)


TIMED = {"cache_n": 3, "prompt_n": 4, "prompt_ms": 250.0, "predicted_n": 4, "predicted_ms": 60.0}


def test_llama_server_counts_as_it_goes() -> None:
    pieces = [(100, b": ping\n\n"), (300, part("w ", 1)), (320, part("w w ", 3)), (340, part("w ", 4))]
    answer = stream(LlamaServer(), *pieces, (341, part("", 4, stop=True, stop_type="limit", timings=TIMED)))
    assert (answer.error, in_ms(answer.steps), answer.gained) == ("", TIMES, (1, 2, 1))
    assert (answer.tokens, answer.finish, answer.text) == (4, "limit", "w w w w ")
    assert answer.usage == TokenUsage(prompt_tokens=7, output_tokens=4, cached_tokens=3)
    assert answer.server == {"prefill": 0.25, "decode": 0.06}
    # The end of sequence is a token without text.
    ended = stream(LlamaServer(), *pieces, (360, part("", 5, stop=True, stop_type="eos")))
    assert (in_ms(ended.steps), ended.gained, ended.tokens) == ([*TIMES, 360], (1, 2, 1, 1), 5)


def test_llama_server_of_before() -> None:
    """No running count, `stopped_limit` for `stop_type`, and a field of the stream for an error."""
    old = [(ms, data({"content": "w ", "stop": False, "slot_id": 0, "multimodal": False})) for ms in TIMES]
    end = data({"content": "", "stop": True, "stopped_limit": True, "tokens_predicted": 3, "tokens_evaluated": 7})
    answer = stream(LlamaServer(), *old, (350, end))
    assert (answer.error, in_ms(answer.steps), answer.tokens, answer.finish) == ("", TIMES, 3, "stop")
    failed = stream(LlamaServer(), *old, (350, b'error: {"code": 500, "message": "boom"}\n\n'))
    assert (failed.error, failed.message) == ("in-stream", "boom")


@pytest.mark.parametrize(("last", "error"), [(data({"error": {"message": "boom"}}), "in-stream"), (b"", "no-finish")])
def test_how_llama_server_fails(last: bytes, error: str) -> None:
    assert stream(LlamaServer(), (300, part("w ", 1)), (320, last)).error == error


def test_llama_server_at_once() -> None:
    whole = {"content": "abc", "stop": True, "stop_type": "limit", "tokens_predicted": 4, "tokens_evaluated": 7}
    answer = LlamaServer().read(at_once(whole | {"timings": TIMED}), streaming=False)
    assert (answer.error, answer.text, answer.tokens, answer.finish) == ("", "abc", 4, "limit")
    assert (answer.usage, answer.server) == (TokenUsage(7, 4, 3), {"prefill": 0.25, "decode": 0.06})
    loading = at_once({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)
    assert LlamaServer().read(loading, streaming=True).message == "status 503: Loading model"


def test_what_llama_server_is_asked() -> None:
    assert body(LlamaServer()) == {
        "model": "m", "prompt": "ab", "stream": True, "temperature": 0.0, "n_predict": 64, "ignore_eos": True,
        "top_p": 1.0,
    }  # fmt: skip
    assert LlamaServer().path("m", streaming=True) == "/completion"


# SGLang


def so_far(text: str, count: int, finish: object = None, **more: Any) -> bytes:
    meta = {"id": "r", "finish_reason": finish, "prompt_tokens": 7, "completion_tokens": count, "cached_tokens": 3}
    return data({"text": text, "output_ids": [1] * count, "meta_info": meta | more, "index": 0})


LENGTH = {"type": "length", "length": 4}


@pytest.mark.parametrize("texts", [("w ", "w x ", "w x y "), ("w ", "x ", "y ")], ids=["cumulative", "incremental"])
def test_sglang_counts_as_it_goes_and_its_texts_grow(texts: tuple[str, ...]) -> None:
    counts = (1, 3, 4)
    pieces = [(ms, so_far(text, count)) for ms, text, count in zip(TIMES, texts, counts, strict=True)]
    last = so_far(texts[-1] if texts[1].startswith("w") else "", 4, LENGTH, e2e_latency=0.5, queue_time=0.25)
    answer = stream(SGLang(), *pieces, (341, last), (342, data("[DONE]")))
    assert (answer.error, in_ms(answer.steps), answer.gained) == ("", TIMES, (1, 2, 1))
    assert (answer.text, answer.finish, answer.tokens) == ("w x y ", "length", 4)
    assert answer.usage == TokenUsage(prompt_tokens=7, output_tokens=4, cached_tokens=3)
    assert answer.server == {"queue": 0.25, "total": 0.5}


def test_sglang_holds_back_half_a_character() -> None:
    pieces = [(300, so_far("", 1)), (320, so_far("é", 2)), (340, so_far("é", 3)), (360, so_far("é", 3, "stop"))]
    answer = stream(SGLang(), *pieces)
    assert (in_ms(answer.steps), answer.gained, answer.text) == (TIMES, (1, 1, 1), "é")
    assert (answer.first_output_ns, answer.finish) == (320_000_000, "stop")


@pytest.mark.parametrize(
    ("last", "error", "message"),
    [
        (so_far("w ", 1, {"type": "abort", "message": "out of pages"}), "in-stream", "out of pages"),
        (so_far("w ", 1, {"type": "abort"}), "in-stream", "it ended with abort"),
        (data({"error": {"message": "too long"}}), "in-stream", "too long"),
        (data("[DONE]"), "no-finish", "the answer ended without saying why generation did"),
    ],
)
def test_how_sglang_fails(last: bytes, error: str, message: str) -> None:
    answer = stream(SGLang(), (300, so_far("w ", 1)), (320, last), (321, data("[DONE]")))
    assert (answer.error, answer.message, in_ms(answer.steps)) == (error, message, [300])


def test_sglang_at_once() -> None:
    meta = {"finish_reason": LENGTH, "prompt_tokens": 7, "completion_tokens": 4, "cached_tokens": 0, "e2e_latency": 1}
    answer = SGLang().read(at_once({"text": "abc", "meta_info": meta}), streaming=False)
    assert (answer.error, answer.text, answer.tokens, answer.usage) == ("", "abc", 4, TokenUsage(7, 4, 0))
    aborted = {"text": "", "meta_info": meta | {"finish_reason": {"type": "abort", "message": "no"}}}
    assert SGLang().read(at_once(aborted), streaming=False).message == "no"


def test_what_sglang_is_asked() -> None:
    sampling = {"temperature": 0.0, "max_new_tokens": 64, "ignore_eos": True}
    assert body(SGLang()) == {"text": "ab", "sampling_params": sampling, "stream": True}
    assert "ignore_eos" not in body(SGLang(), without=("ignore_eos",))["sampling_params"]
    assert body(SGLang(), seed=5)["sampling_params"]["sampling_seed"] == 5


# All of them

STREAMS: dict[str, bytes] = {
    "openai-chat": data({"choices": [{"delta": {"content": "é"}}]}) * 2
    + data({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
    "openai-completions": data({"choices": [{"text": "é"}]}) * 2
    + data({"choices": [{"text": "", "finish_reason": "x"}]}),
    "openai-responses": data({"type": "response.output_text.delta", "delta": "é"}) * 2
    + data({"type": "response.completed", "response": {"status": "completed"}}),
    "anthropic-messages": data({"type": "content_block_delta", "delta": {"text": "é"}}) * 2
    + data({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    "tgi": token(1, "é") + token(2, "é", generated_text="éé"),
    "triton": output("é") * 2,
    "ollama-chat": chat(content="é") * 2 + line(done=True),
    "ollama-generate": line(response="é") * 2 + line(done=True),
    "llama-server": part("é", 1) + part("é", 2, stop=True),
    "sglang": so_far("é", 1) + so_far("éé", 2, "stop"),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
class TestAll:
    def test_its_name_finds_it(self, dialect: Dialect) -> None:
        assert dialect_of(dialect.api) is dialect
        assert dialect.api in STREAMS

    @given(places=st.lists(st.integers(0, 2000), max_size=8))
    def test_however_it_is_cut_it_says_the_same(self, dialect: Dialect, places: list[int]) -> None:
        answer = dialect.read(recut(came((1, STREAMS[dialect.api])), places), streaming=True)
        assert (answer.error, answer.text, answer.tokens, len(answer.steps)) == ("", "éé", 2, 2)

    @given(
        raw=st.binary(max_size=80), head=st.sampled_from([b"", b"data: ", b"data: {", b"{", b'{"error":', b"data: [["])
    )
    def test_no_bytes_raise(self, dialect: Dialect, raw: bytes, head: bytes) -> None:
        for streaming in (True, False):
            for status in (200, 404):
                dialect.read(came((1, head + raw), status=status), streaming=streaming)
                dialect.read(came((1, head + raw), status=status, whole=False), streaming=streaming)

    @pytest.mark.parametrize("value", [None, 5, "x", [], {}, [5], [{}], {"a": None}, -1, 1e300, 10**40, True])
    def test_no_value_in_any_place_raises(self, dialect: Dialect, value: Any) -> None:
        """Each field of what it reads in turn holds what it should not."""

        def spoilt(known: Any) -> list[Any]:
            if isinstance(known, dict):
                return [value, *(known | {key: bad} for key, inner in known.items() for bad in spoilt(inner))]
            if isinstance(known, list):
                return [value, *([bad] for inner in known for bad in spoilt(inner))]
            return [value]

        for event in STREAMS[dialect.api].splitlines():
            if text := event.removeprefix(b"data:").strip():
                for bad in spoilt(json.loads(text)):
                    encoded = json.dumps(bad).encode()
                    for raw in (b"data: " + encoded + b"\n\n", encoded + b"\n" + encoded, encoded):
                        for streaming in (True, False):
                            answer = dialect.read(came((1, raw)), streaming=streaming)
                            assert answer.tokens is None or 0 <= answer.tokens <= 1 << 53

    def test_what_is_no_answer(self, dialect: Dialect) -> None:
        for streaming in (True, False):
            assert dialect.read(at_once({"error": "boom"}, 500), streaming=streaming).message == "status 500: boom"
            assert dialect.read(at_once(b"<html>", 200), streaming=streaming).error == "malformed"
            assert dialect.read(at_once({"error": "boom"}), streaming=streaming).message == "boom"
            assert dialect.read(at_once({"error": "slow"}, 429), streaming=streaming).error == "rate-limited"
            assert dialect.read(came(), streaming=streaming).error in ("empty", "malformed")
            gone = ReceivedAnswer(0, {}, (), 9, whole=False, broken="timeout", message="after 5 s")
            assert dialect.read(gone, streaming=streaming) == ServerAnswer(error="timeout", message="after 5 s")

    def test_a_key_is_a_header_and_a_body_is_json(self, dialect: Dialect) -> None:
        assert dialect.headers("k-1")["authorization"] == "Bearer k-1"
        assert "authorization" not in dialect.headers("")
        for streaming in (True, False):
            json.loads(dialect.body(asked(streaming=streaming, output_tokens=None, exactly=False)))
            assert dialect.path("m", streaming=streaming).startswith("/")
        assert json.loads(dialect.body(asked(extra={"x": {"y": [1]}})))["x"] == {"y": [1]}
