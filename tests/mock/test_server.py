"""Where it listens, whom it lets in, what it lists, which options it refuses."""

import socket
from pathlib import Path
from typing import Any

import pytest
from support.mock_client import ask, connect

from infertui.errors import ConfigError, InfertuiError
from infertui.mock.families import FAMILIES, Family
from infertui.mock.options import MockOptions, check, seconds
from infertui.mock.server import MockServer

BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2, "stream": True}
CHAT = "/v1/chat/completions"
FAST: dict[str, Any] = {"ttft_s": 0.002, "itl_s": 0.001}


def test_tls_with_a_certificate_of_its_own() -> None:
    with MockServer(MockOptions(tls=True, **FAST)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert ask(server.url, CHAT, BODY, ca_file=server.ca_file).body.endswith(b"[DONE]\n\n")
        with pytest.raises(OSError, match="certificate verify failed"):
            connect(server.url)
        folder = Path(server.ca_file).parent
    assert not folder.exists()


def test_tls_with_files_that_are_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    with pytest.raises(ConfigError, match="--tls-cert"), MockServer(MockOptions(tls_cert=str(bad), tls_key=str(bad))):
        pass


def test_a_unix_socket_and_what_lies_in_its_way(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with MockServer(MockOptions(uds=str(path), **FAST)) as server:
        assert server.url == f"unix:{path}"
        assert ask(server.url, CHAT, BODY).whole
        with pytest.raises(ConfigError, match="already"), MockServer(MockOptions(uds=str(path))):
            pass
        assert ask(server.url, CHAT, BODY).whole
    assert not path.exists()
    path.write_text("a file")
    with pytest.raises(ConfigError, match="no socket"), MockServer(MockOptions(uds=str(path))):
        pass
    assert path.read_text() == "a file"


@pytest.mark.parametrize("host", ["::1", "localhost", "127.0.0.2"])
def test_other_names_of_this_machine(host: str) -> None:
    with MockServer(MockOptions(host=host, **FAST)) as server:
        assert ask(server.url, CHAT, BODY).whole


def test_a_port_that_is_taken_is_told_and_a_second_start_works() -> None:
    with MockServer(MockOptions(**FAST)) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=r"--port.*in use"), MockServer(MockOptions(port=port)):
            pass
    with MockServer(MockOptions(port=port, **FAST)) as server:
        assert ask(server.url, CHAT, BODY).whole


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", "", "127.0.0.1 "])  # noqa: S104
def test_no_other_machine_may_come(host: str) -> None:
    with pytest.raises(ConfigError, match="not this machine alone"):
        check(MockOptions(host=host))


def test_a_key_is_asked_for() -> None:
    with MockServer(MockOptions(api_key="secret-key", **FAST)) as server:
        assert ask(server.url, CHAT, BODY).status == 401
        assert ask(server.url, CHAT, BODY, headers={"Authorization": "Bearer wrong"}).status == 401
        assert ask(server.url, CHAT, BODY, headers={"authorization": "bearer secret-key"}).status == 200
        assert ask(server.url, "/v1/messages", BODY, headers={"x-api-key": "secret-key"}).status == 200
        assert ask(server.url, "/v1/models", method="GET").status == 401
        assert ask(server.url, "/health", method="GET").status == 200
        assert b"secret-key" not in ask(server.url, "/mock/options", method="GET").body


ONLY: dict[Family, tuple[str, ...]] = {
    "openai": ("/v1/models",),
    "vllm": ("/v1/models", "/version", "/health", "/metrics"),
    "sglang": ("/v1/models", "/get_model_info", "/model_info", "/health"),
    "llama-server": ("/v1/models", "/props", "/health"),
    "ollama": ("/v1/models", "/api/tags", "/api/version", "/"),
    "tgi": ("/v1/models", "/info", "/health"),
    "triton": ("/v2", "/v2/models/mock", "/v2/health/ready", "/v2/models/mock/ready"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_server_lists_what_it_has_and_no_more(family: Family) -> None:
    pages = {page for pages in ONLY.values() for page in pages}
    with MockServer(MockOptions(family=family, **FAST)) as server:
        found = {page for page in pages if ask(server.url, page, method="GET").status == 200}
        assert found == (pages - {"/"} if family == "all" else set(ONLY[family]))
        assert b"mock" in ask(server.url, "/mock", method="GET").body


def test_generate_belongs_to_whom_it_belongs() -> None:
    sglang, tgi = (
        {"text": "x", "sampling_params": {"max_new_tokens": 2}},
        {"inputs": "x", "parameters": {"max_new_tokens": 2}},
    )
    with MockServer(MockOptions(family="sglang", **FAST)) as server:
        assert ask(server.url, "/generate", sglang).json()["text"] == " this text"
        assert ask(server.url, "/generate", tgi).status == 400
        assert ask(server.url, "/generate_stream", tgi).status == 404
    with MockServer(MockOptions(family="tgi", **FAST)) as server:
        assert ask(server.url, "/generate", tgi).json() == {"generated_text": " this text"}
        assert ask(server.url, "/generate", sglang).status == 422
    with MockServer(MockOptions(family="openai", **FAST)) as server:
        got = ask(server.url, CHAT, BODY | {"stream_options": {"continuous_usage_stats": True}})
        assert (got.status, "continuous_usage_stats" in got.body.decode()) == (400, True)
        got = ask(server.url, "/v1/responses", {"input": "x", "max_output_tokens": 1, "stream": True})
        assert b"event: response.incomplete\n" in got.body
    with MockServer(MockOptions(family="llama-server", **FAST)) as server:
        assert b'"content":null' in (got := ask(server.url, CHAT, BODY)).body
        assert b'"timings":{' in got.body


def test_head_other_methods_and_absolute_targets() -> None:
    with MockServer(MockOptions(**FAST)) as server:
        got = ask(server.url, "/v1/models", method="HEAD")
        assert (got.status, got.body) == (200, b"")
        assert ask(server.url, CHAT, method="GET").status == 404
        assert ask(server.url, "http://mock/v1/models?a=b", method="GET").status == 200
        assert ask(server.url, "/v1/models/../../etc/passwd", method="GET").status == 404


def test_an_answer_length_that_is_set_bounds_what_is_asked_for() -> None:
    with MockServer(MockOptions(osl=3, **FAST)) as server:
        for asked_for, tokens, reason in ((2, 2, "length"), (3, 3, "length"), (4, 3, "stop")):
            got = ask(server.url, CHAT, BODY | {"max_tokens": asked_for, "stream": False}).json()
            assert (got["usage"]["completion_tokens"], got["choices"][0]["finish_reason"]) == (tokens, reason)


@pytest.mark.parametrize(
    ("text", "value"),
    [("50ms", 0.05), ("1.5s", 1.5), ("200us", 2e-4), ("200µs", 2e-4), ("3", 3), (".5 ms", 5e-4), ("1m", 60)],
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text, name="--ttft") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "ms", "-1ms", "1h", "nan", "inf", "1e9", "99999999s", "5 0ms", "\x1b[31m1ms"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match="--itl") as error:
        seconds(text, name="--itl")
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 65_536}, {"port": -1}, {"ttft_s": -1}, {"itl_s": float("nan")}, {"osl": -1}, {"osl": 1_000_001},
        {"ttft_s": 0.01, "ttft_spread_s": 0.02}, {"itl_s": 0.01, "itl_spread_s": 0.006}, {"fault_rate": 1.5},
        {"fault_rate": float("nan")}, {"slots": -1}, {"kv_blocks": 0}, {"dressings": ("tuxedo",)},
        {"faults": ("none",)},
        {"family": "vLLM"}, {"uds": "/x", "port": 1}, {"uds": "/x", "tls": True}, {"uds": "/" + "x" * 200},
        {"tls_cert": "x"}, {"tls_key": "x"}, {"prefill_rate": -1}, {"dressings": ("cr", "crlf")}, {"spin_s": -1},
    ],
)  # fmt: skip
def test_options_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError), MockServer(MockOptions(**wrong)):
        pass


def test_it_cannot_be_asked_before_it_runs() -> None:
    with pytest.raises(InfertuiError, match="does not run"):
        MockServer().stats()


def test_no_thread_socket_or_file_is_left() -> None:
    import threading

    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with MockServer(MockOptions(**FAST)) as server:
        ask(server.url, CHAT, BODY)
    before = held()
    for _ in range(3):
        with MockServer(MockOptions(**FAST)) as server:
            left = connect(server.url)
            ask(server.url, CHAT, BODY)
        left.close()
    assert held() <= before
    assert not [one for one in threading.enumerate() if one.name == "mock-server"]
