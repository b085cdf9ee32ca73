"""What is found of a server before a load: of mock servers, and of servers whose bytes are written here."""

import asyncio
import gzip
import json
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.answers import data
from support.scripted_server import Heard, Script, Scripted, scripted

from infertui.config.endpoint import TargetConfig
from infertui.errors import ConfigError, EngineError, InfertuiError, ServerError
from infertui.load.texts import MadeTexts, bundled_words
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.targets.endpoint import probe as probing
from infertui.targets.endpoint.dialects.registry import DIALECTS
from infertui.targets.endpoint.probe import EndpointFacts, probe

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(probing, "_AGAIN_S", 0.01)


def found(server: MockServer, **target: Any) -> EndpointFacts:
    return asyncio.run(probe(TargetConfig(kind="endpoint", **({"url": server.url} | target))))


@pytest.mark.parametrize("api", DIALECTS)
def test_every_dialect_of_the_mock_server(api: str) -> None:
    with MockServer(MockOptions(ttft_s=0.01, itl_s=0.002)) as server:
        facts = found(server, api=api, model="mock")
    assert (facts.api, facts.model, facts.streams) == (api, "mock", True)
    # Some have no word for going on past the end of sequence.
    silent = api in ("anthropic-messages", "tgi", "ollama-chat", "ollama-generate")
    assert facts.ignores_eos is (None if silent else True)
    assert any("cannot be told" in note for note in facts.notes) == silent
    assert facts.token_s is not None
    assert 0.001 < facts.token_s < 0.02
    assert facts.first_s is not None
    assert facts.first_s >= 0.01
    assert "json" not in " ".join(facts.notes)


@pytest.mark.parametrize("api", ["openai-chat", "openai-completions", "anthropic-messages", "llama-server"])
def test_prompts_have_the_tokens_that_the_server_counts(api: str) -> None:
    """The mock server counts a token for four bytes of what it is sent, and some around that."""
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001)) as server:
        target = TargetConfig(kind="endpoint", url=server.url, api=api, model="mock")  # type: ignore[arg-type]
        facts = asyncio.run(probe(target, scale=True))
        assert facts.scale is not None
        words = bundled_words()
        assert facts.scale.per_word == pytest.approx(sum(len(word) + 1 for word in words) / len(words) / 4, rel=0.02)
        for tokens in (100, 1000) if api == "openai-chat" else ():
            before = server.stats()["prompt_tokens"]
            for seed in range(20):
                text = MadeTexts(seed, scale=facts.scale).unique(7, tokens)
                body = {"model": "mock", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
                urllib.request.urlopen(server.url + CHAT, json.dumps(body).encode()).read()  # noqa: S310
            assert (server.stats()["prompt_tokens"] - before) / 20 == pytest.approx(tokens, rel=0.03)
    assert not any("counts of a text" in note for note in facts.notes)


def test_a_server_that_counts_no_prompt_leaves_lengths_to_the_words() -> None:
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001)) as server:
        facts = asyncio.run(
            probe(TargetConfig(kind="endpoint", url=server.url, api="triton", model="mock"), scale=True)
        )
    assert facts.scale is None
    assert any("how many tokens it counts of a text" in note for note in facts.notes)


@pytest.mark.parametrize(
    ("family", "server_name", "api"),
    [
        ("vllm", "vllm", "openai-chat"),
        ("sglang", "sglang", "openai-chat"),
        ("llama-server", "llama-server", "openai-chat"),
        ("tgi", "tgi", "tgi"),
        ("ollama", "ollama", "ollama-chat"),
        ("openai", "", "openai-chat"),
        ("all", "infertui-mock", "openai-chat"),
    ],
)
def test_which_server_it_is_says_which_dialect(family: Any, server_name: str, api: str) -> None:
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001, family=family)) as server:
        facts = found(server)
    assert (facts.server, facts.api, facts.model) == (server_name, api, "mock")
    assert facts.max_positions
    assert bool(facts.version) == (family not in ("openai", "all"))


def test_a_strict_server_is_asked_without_what_it_refuses() -> None:
    """As a user has to ask who wants usage as it goes where there is none; that field is the user's own."""
    usage_as_it_goes = '{"stream_options": {"continuous_usage_stats": true}}'
    strict = MockOptions(ttft_s=0.001, itl_s=0.001, family="openai")
    with MockServer(strict) as server, pytest.raises(EngineError, match="continuous_usage_stats"):
        found(server, body=usage_as_it_goes)
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001)) as server:
        assert found(server, body=usage_as_it_goes).without == ()


def test_over_a_socket_and_tls_and_ipv6(tmp_path: Path) -> None:
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001, uds=str(tmp_path / "s"))) as server:
        assert found(server).model == "mock"
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001, host="::1")) as server:
        assert found(server).model == "mock"
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001, tls=True)) as server:
        assert found(server, ca_file=server.ca_file).model == "mock"
        assert found(server, insecure=True).model == "mock"
        with pytest.raises(EngineError, match="no TLS with") as caught:
            found(server)
        assert "ca_file" in caught.value.remedy
        with pytest.raises(EngineError) as caught:
            found(server, url=server.url.replace("https", "http"))
        assert "https://" in caught.value.remedy
        with pytest.raises(ConfigError, match=r"target\.ca_file"):
            found(server, ca_file=str(tmp_path / "none"))
    with MockServer(MockOptions()) as server, pytest.raises(EngineError) as caught:
        found(server, url=server.url.replace("http", "https"))
    assert "http://" in caught.value.remedy


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with MockServer(MockOptions(ttft_s=0.001, itl_s=0.001, api_key="key-0123456789")) as server:
        with pytest.raises(EngineError, match="401") as caught:
            found(server)
        assert "api_key_env" in caught.value.remedy
        monkeypatch.setenv("MINE", "another-0123456")
        with pytest.raises(EngineError, match="401") as caught:
            found(server, api_key_env="MINE")
        assert "another one" in caught.value.remedy
        monkeypatch.setenv("MINE", "key-0123456789")
        assert found(server, api_key_env="MINE").model == "mock"
        monkeypatch.setenv("OPENAI_API_KEY", "key-0123456789")
        assert found(server).model == "mock"


# Servers of hand-written bytes


def said(text: str, finish: str | None = None) -> bytes:
    return data({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def usage(tokens: int) -> bytes:
    return data({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": tokens}})


def stream(pieces: int = 24, tokens: int = 24, gap_s: float = 0.002) -> Scripted:
    end = [said("", "length"), usage(tokens), data("[DONE]")]
    return Scripted(pieces=[*(said("w ") for _ in range(pieces)), *end], gap_s=gap_s, media="text/event-stream")


def models(*names: str, owner: str = "x") -> Scripted:
    return Scripted(body={"object": "list", "data": [{"id": name, "owned_by": owner} for name in names]})


PLAIN: Script = {"/v1/models": models("a", "b"), CHAT: stream()}


def probed(
    script: Script, *, exactly: bool = True, wait_s: float = 5, **target: Any
) -> tuple[EndpointFacts, list[Heard]]:
    async def run() -> tuple[EndpointFacts, list[Heard]]:
        async with scripted(script) as (url, heard):
            config = TargetConfig(kind="endpoint", **({"url": url} | target))
            return await probe(config, exactly=exactly, wait_s=wait_s), heard

    return asyncio.run(run())


def refused(script: Script, **target: Any) -> InfertuiError:
    with pytest.raises(InfertuiError) as caught:
        probed(script, **target)
    return caught.value


def test_the_first_model_that_is_listed() -> None:
    facts, heard = probed(PLAIN)
    assert (facts.model, facts.models, facts.api, facts.server) == ("a", ("a", "b"), "openai-chat", "")
    assert heard[-1].fields["model"] == "a"
    assert heard[-1].headers["connection"] == "close"
    assert "authorization" not in heard[-1].headers
    assert facts.notes == ()


def test_further_headers_and_fields_go_along() -> None:
    _, heard = probed(PLAIN, headers='{"X-Team": "a"}', body='{"repetition_penalty": 1.1}', model="b")
    assert all(request.headers["x-team"] == "a" for request in heard)
    assert (heard[-1].fields["repetition_penalty"], heard[-1].fields["model"]) == (1.1, "b")


def test_a_url_with_a_version_or_a_path() -> None:
    async def run(ending: str) -> list[str]:
        async with scripted(PLAIN) as (url, heard):
            facts = await probe(TargetConfig(kind="endpoint", url=url + ending))
            assert facts.api == "openai-chat"
            return [request.path for request in heard]

    for ending in ("/v1", "/v1/", CHAT):
        paths = asyncio.run(run(ending))
        assert (paths[0], paths[-1]) == ("/v1/models", CHAT)


@pytest.mark.parametrize(
    ("listing", "page", "server", "version", "longest"),
    [
        (models("m", owner="vllm"), ("/version", {"version": "0.33.0"}), "vllm", "0.33.0", None),
        (models("m", owner="sglang"),
         ("/get_server_info", {"model_path": "m", "version": "0.5.23", "context_length": 4096}),
         "sglang", "0.5.23", 4096),
        (models("m"), ("/props", {"default_generation_settings": {"n_ctx": 8192}, "build_info": "b7000-abc",
                                  "total_slots": 4}), "llama-server", "b7000-abc", 8192),
        (models("m"), ("/api/version", {"version": "0.9.1"}), "ollama", "0.9.1", None),
        (models("m"), ("/version", {"version": {"a": 1}}), "vllm", "", None),
        (models("m"), ("/props", []), "", "", None),
        (models("m", owner="tensorrt_llm"), ("/version", {"version": "1"}), "tensorrt-llm", "", None),
        (Scripted(body={"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 2048}]}),
         ("/version", {"version": "1"}), "vllm", "1", 2048),
    ],
)  # fmt: skip
def test_what_a_server_says_of_itself(
    listing: Scripted, page: tuple[str, Any], server: str, version: str, longest: int | None
) -> None:
    facts, _ = probed({"/v1/models": listing, page[0]: Scripted(body=page[1]), CHAT: stream()}, api="openai-chat")
    assert (facts.server, facts.version, facts.max_positions) == (server, version, longest)


def test_a_listing_in_every_odd_shape() -> None:
    odd = {"data": [5, {"id": 7}, {"id": "\x1b[2Jx"}, {"id": "m" * 999}]}
    bodies: list[Any] = [b"{", [], {"data": 5}, odd, b"[" * 99_999]
    for body in bodies:
        error = refused({"/v1/models": Scripted(body=body), CHAT: stream()})
        assert (type(error), "target.model" in str(error)) == (ConfigError, True)
    facts, _ = probed({CHAT: stream()}, model="m")
    assert (facts.model, facts.models) == ("m", ())


@pytest.mark.parametrize(
    ("first", "without"),
    [
        ({"error": {"message": "Unrecognized request argument supplied: ignore_eos"}}, ("ignore_eos",)),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]},
         ("stream_options",)),
        ({"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}},
         ("max_tokens",)),
        ({"error": {"message": "temperature does not support 0"}}, ("temperature",)),
    ],
)  # fmt: skip
def test_a_field_that_is_refused_is_left_out(first: Any, without: tuple[str, ...]) -> None:
    facts, heard = probed({"/v1/models": models("m"), CHAT: [Scripted(400, first), stream()]})
    assert facts.without == without
    assert facts.ignores_eos is (None if without == ("ignore_eos",) else True)
    assert without[0] not in heard[-1].fields
    assert ("max_completion_tokens" in heard[-1].fields) == (without == ("max_tokens",))
    assert any(without[0] in note for note in facts.notes)


def test_a_refusal_that_goes_on_is_told_and_a_users_own_field_is_kept() -> None:
    always = {
        "/v1/models": models("m"),
        CHAT: Scripted(400, {"error": "bad ignore_eos temperature stream_options max_tokens"}),
    }
    error = refused(always)
    assert "status 400: bad ignore_eos" in str(error)
    mine = {"/v1/models": models("m"), CHAT: Scripted(422, {"error": "bad repetition_penalty"})}
    assert "repetition_penalty" in str(refused(mine, body='{"repetition_penalty": 9}'))


def test_lengths_that_are_not_held_and_tokens_that_are_not_counted() -> None:
    facts, _ = probed({"/v1/models": models("m"), CHAT: stream(3, 3)})
    assert facts.ignores_eos is False
    assert any("24 tokens was asked for and 3 came" in note for note in facts.notes)
    assert probed({"/v1/models": models("m"), CHAT: stream(3, 3)}, exactly=False)[0].ignores_eos is None
    uncounted = Scripted(pieces=[*(said("w ") for _ in range(24)), said("", "length")], gap_s=0.001)
    facts, _ = probed({"/v1/models": models("m"), CHAT: uncounted})
    assert any("does not count" in note for note in facts.notes)
    facts, _ = probed({"/v1/models": models("m"), CHAT: stream(6, 24)})
    assert any("24 in 6 pieces" in note for note in facts.notes)
    facts, _ = probed({"/v1/models": models("m"), CHAT: stream(24, 2)})
    assert any("may be wrong" in note for note in facts.notes)


def test_an_answer_that_is_over_before_its_first_token_is_asked_for_otherwise() -> None:
    """As of a model that completes, and takes a finished sentence for the end: llama-cpp-python's server."""
    over = Scripted(pieces=[said("", "stop"), usage(0)])
    facts, heard = probed({"/v1/models": models("m"), CHAT: [over, stream()]})
    assert facts.ignores_eos is True
    assert heard[-1].fields["messages"] != heard[-2].fields["messages"]


def test_a_stream_that_is_none() -> None:
    whole = {
        "choices": [{"message": {"content": "yes"}, "finish_reason": "length"}],
        "usage": {"completion_tokens": 24},
    }
    script: Script = {"/v1/models": models("m"), CHAT: Scripted(body=whole)}
    facts, _ = probed(script)
    assert (facts.streams, facts.token_s, facts.ignores_eos) == (False, None, True)
    assert any("does not stream" in note for note in facts.notes)
    facts, heard = probed(script, streaming=False)
    assert facts.notes == ()
    assert heard[-1].fields["stream"] is False
    joined = b"".join([*(said("w ") for _ in range(24)), said("", "length"), usage(24)])
    at_once, _ = probed({"/v1/models": models("m"), CHAT: Scripted(pieces=[b": wait\n\n", joined], gap_s=0.05)})
    assert any("came at once" in note for note in at_once.notes)


def test_a_dialect_that_is_not_there_gives_way_to_the_next() -> None:
    part = data({"choices": [{"text": "w ", "finish_reason": None}]})
    end = data({"choices": [{"text": "", "finish_reason": "length"}], "usage": {"completion_tokens": 24}})
    completes = Scripted(pieces=[part] * 24 + [end], gap_s=0.001)
    for refusal in (
        Scripted(404, {"detail": "Not Found"}),
        Scripted(405, b""),
        Scripted(500, b"Internal Server Error"),
        Scripted(400, {"message": "default chat template is no longer allowed, so you must provide a chat template"}),
    ):
        script: Script = {"/v1/models": models("m"), CHAT: refusal, "/v1/completions": completes}
        facts, heard = probed(script)
        assert facts.api == "openai-completions"
        assert [one.path for one in heard].count(CHAT) == (2 if refusal.status == 500 else 1)
        assert any("fails with status 500, twice" in note for note in facts.notes) == (refusal.status == 500)
        assert "openai-chat" not in str(refused(script, api="openai-chat"))
    assert "404" in str(refused({"/v1/models": models("m")}))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_failure_at_first_is_no_word_on_the_dialect(status: int) -> None:
    fault = Scripted(status, {"error": "out of breath"})
    told: list[str] = []

    async def run(script: Script) -> EndpointFacts:
        async with scripted(script) as (url, _):
            return await probe(TargetConfig(kind="endpoint", url=url), told=told.append)

    assert asyncio.run(run({"/v1/models": models("m"), CHAT: [fault, stream()]})).api == "openai-chat"
    assert asyncio.run(run({"/v1/models": [fault, models("m")], CHAT: [stream()]})).api == "openai-chat"
    assert told == [f"the server failed a first request with status {status}: it is asked again"] * 2
    with pytest.raises(ServerError, match="out of breath"):
        asyncio.run(run({"/v1/models": [fault], CHAT: [stream()]}))


def test_a_server_that_never_answers_is_given_a_time_of_its_own() -> None:
    slow = Scripted(pieces=[b": wait\n\n"] * 20, gap_s=0.05)
    error = refused({"/v1/models": models("m"), CHAT: slow}, probe_timeout_s=0.2)
    assert "one short request within 0.2 s" in str(error)
    assert "target.probe_timeout_s" in str(error)
    error = refused({"/v1/models": models("m"), CHAT: slow}, probe_timeout_s=9, request_timeout_s=0.1)
    assert "within 0.1 s" in str(error)
    assert "probe_timeout_s" not in str(error)


def test_tokens_that_are_counted_and_never_sent_are_no_answer() -> None:
    """And it is not said that it does not stream: it sent nothing."""
    counted = Scripted(pieces=[said("", "length"), usage(24), data("[DONE]")], media="text/event-stream")
    error = refused({"/v1/models": models("m"), CHAT: counted})
    assert "without text, of which the server counts 24 tokens" in str(error)
    assert "stream" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "The model `nobody` does not exist.", "type": "NotFoundError", "code": 404}},
        {"error": "model 'nobody' not found"},
        {"error": "Request for unknown model: 'nobody' is not found"},
    ],
)
def test_a_model_that_is_not_there_is_told_with_those_that_are(body: Any) -> None:
    for status in (404, 400):
        listed = models("qwen", "llama", *(f"m{number}" for number in range(20)))
        error = refused({"/v1/models": listed, CHAT: Scripted(status, body)}, model="nobody")
        assert isinstance(error, ConfigError)
        assert error.path == "target.model"
        assert error.allowed.startswith("qwen, llama, m0")
        assert "and 12 more" in error.allowed


def test_a_model_that_is_being_loaded_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_POLL_S", 0.01)
    loading = Scripted(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
    told: list[str] = []

    async def run(chat: Sequence[Scripted], listing: Sequence[Scripted], wait_s: float) -> EndpointFacts:
        async with scripted({"/v1/models": listing, CHAT: chat}) as (url, _):
            return await probe(TargetConfig(kind="endpoint", url=url), wait_s=wait_s, told=told.append)

    facts = asyncio.run(run([loading, loading, stream()], [models("m")], 60))
    assert (facts.model, told) == ("m", ["the server is loading its model"])
    # The time that it loaded is not the time of a token.
    assert facts.token_s is not None
    assert facts.token_s < 1
    assert asyncio.run(run([stream()], [loading, models("m")], 60)).model == "m"
    with pytest.raises(EngineError, match="Loading model"):
        asyncio.run(run([loading], [models("m")], 0.05))
    with pytest.raises(EngineError, match="no capacity"):
        asyncio.run(run([Scripted(503, {"error": "no capacity"})], [models("m")], 60))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Scripted(body=b"<!doctype html><title>x</title>", media="text/html"), ("page of HTML", "with its port")),
        (Scripted(502, b"<html>"), ("502",)),
        (Scripted(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), ("does not speak HTTP", "https://")),
        (Scripted(raw=b""), ("closed without an answer", "https://")),
        (Scripted(raw=b"\x15\x03\x03\x00\x02\x02\x0a"), ("does not speak HTTP", "https://")),
        (Scripted(403, {"error": "who are you?"}), ("403", "who are you?", "api_key_env")),
        (Scripted(429, {"error": "slow down"}), ("429", "slow down", "later")),
        (Scripted(307, b""), ("307",)),
        (Scripted(500, {"error": "boom\x1b[2J"}), ("500", "boom")),
        (Scripted(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), ()),
        (Scripted(raw=b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000 + b"\r\n\r\n"), ("HTTP",)),
    ],
)
def test_what_is_no_such_server(answer: Scripted, words: tuple[str, ...]) -> None:
    error = refused({"/v1/models": answer})
    assert all(word in str(error) for word in words), str(error)
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Scripted(pieces=[said("w "), data({"error": "out of pages"}), data("[DONE]")]), "out of pages"),
        (Scripted(pieces=[said("", "stop"), data("[DONE]")]), "without a token"),
        (Scripted(pieces=[said("w ")]), "without saying why"),
        (Scripted(pieces=[said("w ")], ends=False), "no HTTP"),
        (Scripted(pieces=[b"data: {\n\n"]), "not JSON"),
        (Scripted(body=b"<html>"), "page of HTML"),
    ],
)
def test_answers_that_fail_fail_before_the_load(answer: Scripted, word: str) -> None:
    assert word in str(refused({"/v1/models": models("m"), CHAT: answer}))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_answer_that_is_packed_though_nobody_asked(coding: str) -> None:
    body = b"".join([*(said("w ") for _ in range(24)), said("", "length"), usage(24), data("[DONE]")])
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {coding}\r\n"
    raw = head.encode() + b"content-length: %d\r\n\r\n" % len(packed) + packed
    facts, _ = probed({"/v1/models": models("m"), CHAT: Scripted(raw=raw)})
    assert facts.ignores_eos
    broken = raw[: len(head) + 30] + bytes(len(raw) - len(head) - 30)
    assert "content-encoding" in str(refused({"/v1/models": models("m"), CHAT: Scripted(raw=broken)}))


def test_nothing_there(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:9", f"unix:{tmp_path}/none", "http://no-such-host.invalid:1"):
        with pytest.raises(EngineError, match="nothing answers at") as caught:
            asyncio.run(probe(TargetConfig(kind="endpoint", url=url)))
        assert "target.url" in caught.value.remedy


async def probe_silence(scheme: str) -> None:
    """Ask a server that takes connections and says nothing."""
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1")
    url = f"{scheme}://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    try:
        await probe(TargetConfig(kind="endpoint", url=url))
    finally:
        silent.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions wait for a tenth of a second."""
    from infertui.targets.endpoint.http import HttpAsker

    real = HttpAsker.get
    monkeypatch.setattr(HttpAsker, "get", lambda self, path, headers: real(self, path, headers, timeout_s=0.1))


@pytest.mark.usefixtures("impatient")
def test_one_that_never_answers() -> None:
    with pytest.raises(EngineError, match="does not answer"):
        asyncio.run(probe_silence("http"))


@pytest.mark.usefixtures("impatient")
def test_a_server_without_tls_that_waits_for_a_request() -> None:
    with pytest.raises(EngineError, match=r"no TLS with .* handshake") as caught:
        asyncio.run(probe_silence("https"))
    assert "http://" in caught.value.remedy


@pytest.mark.parametrize("name", ["api-key", "X-Api-Key"])
def test_a_key_in_a_header_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MINE", "key-0123456789")
    _, heard = probed(PLAIN, api_key_env="MINE", api_key_header=name)
    assert {request.headers.get(name.lower()) for request in heard} == {"key-0123456789"}
    assert not any("authorization" in request.headers for request in heard)


def test_wrong_values_are_told_before_anything_is_asked() -> None:
    wrong: list[dict[str, Any]] = [{"headers": "{"}, {"body": "["}, {"url": "h"}, {"api_key_env": "NOBODY"}]
    for target in wrong:
        with pytest.raises(ConfigError, match=next(iter(target))):
            asyncio.run(probe(TargetConfig(kind="endpoint", **({"url": "http://127.0.0.1:9"} | target))))
