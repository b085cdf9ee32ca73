"""The key, the headers and the fields of every request."""

import json
from pathlib import Path

import pytest

from infertui.config.endpoint import TargetConfig
from infertui.errors import ConfigError
from infertui.targets.endpoint.address import parse_url
from infertui.targets.endpoint.dialects.registry import dialect_of
from infertui.targets.endpoint.extras import check_not_kept, find_key, further_fields, further_headers, headers_of
from infertui.text import clean

HERE = parse_url("http://127.0.0.1:8000")
ENVIRON = {"OPENAI_API_KEY": "sk-of-openai-0001", "ANTHROPIC_API_KEY": "of-anthropic-0001", "MINE": " of-mine-00001\n"}


def test_the_key_of_the_environment_stays_here_or_goes_through_tls() -> None:
    for url in ("http://localhost:1", "https://api.example.com/v1", "unix:/x"):
        assert find_key(TargetConfig(), parse_url(url), ENVIRON) == "sk-of-openai-0001"
    assert find_key(TargetConfig(), parse_url("http://10.0.0.5:8000"), ENVIRON) == ""
    named = TargetConfig(api_key_env="OPENAI_API_KEY")
    assert find_key(named, parse_url("http://10.0.0.5:8000"), ENVIRON) == "sk-of-openai-0001"
    assert find_key(TargetConfig(), HERE, {}) == ""


def test_anthropic_has_a_key_of_its_own() -> None:
    assert find_key(TargetConfig(api="anthropic-messages"), HERE, ENVIRON) == "of-anthropic-0001"
    assert find_key(TargetConfig(), parse_url("http://localhost/v1/messages"), ENVIRON) == "of-anthropic-0001"
    assert find_key(TargetConfig(api="anthropic-messages"), HERE, {"OPENAI_API_KEY": "x" * 9}) == ""


def test_a_key_is_stripped_and_masked() -> None:
    assert find_key(TargetConfig(api_key_env="MINE"), HERE, ENVIRON) == "of-mine-00001"
    assert "of-mine-00001" not in clean("a server repeats of-mine-00001")


@pytest.mark.parametrize("value", ["", "  ", "a b", "a\nb", "schlüssel", "a\x00b"])
def test_what_is_no_key(value: str) -> None:
    with pytest.raises(ConfigError, match="api_key_env") as caught:
        find_key(TargetConfig(api_key_env="MINE"), HERE, {"MINE": value})
    assert value.strip() == "" or value not in str(caught.value)
    with pytest.raises(ConfigError, match="not set"):
        find_key(TargetConfig(api_key_env="NOBODY"), HERE, ENVIRON)


def test_a_key_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("of-a-file-0001\n")
    path.chmod(0o600)
    target = TargetConfig(api_key_file=str(path))
    assert find_key(target, parse_url("http://10.0.0.5"), ENVIRON) == "of-a-file-0001"
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="0640") as caught:
        find_key(target, HERE, ENVIRON)
    assert "chmod 600" in caught.value.remedy
    path.chmod(0o600)
    for content in (b"", b" \n", b"a b", b"\xff", b"x" * 5000):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="api_key_file"):
            find_key(target, HERE, ENVIRON)
    for other in (tmp_path / "none", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="api_key_file"):
            find_key(TargetConfig(api_key_file=str(other)), HERE, ENVIRON)
    with pytest.raises(ConfigError, match="one of the two"):
        find_key(TargetConfig(api_key_file=str(path), api_key_env="MINE"), HERE, ENVIRON)


def test_headers() -> None:
    assert further_headers(TargetConfig()) == {}
    told = {"X-Team": " a ", "x-n": 3, "Accept-Language": "de"}
    assert further_headers(TargetConfig(headers=json.dumps(told))) == {
        "x-team": "a",
        "x-n": "3",
        "accept-language": "de",
    }


@pytest.mark.parametrize(
    "headers",
    [
        "[]", "{", '{"a"', "5", '{"a": null}', '{"a": true}', '{"a": {}}', '{"a b": "c"}', '{"": "c"}', '{"a:": "c"}',
        '{"a": "b\\r\\nc: d"}', '{"a": "\\u00e9"}', '{"Content-Length": 5}', '{"host": "x"}', "[" * 9999,
        '{"\\u00e9": "x"}',
    ],
)  # fmt: skip
def test_what_is_no_header(headers: str) -> None:
    with pytest.raises(ConfigError, match=r"^target\.headers: "):
        further_headers(TargetConfig(headers=headers))


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-Key", "api-key", "Cookie", "X-Auth-Token"])
def test_keys_are_no_headers(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        further_headers(TargetConfig(headers=json.dumps({name: "hunter22"})))
    assert "hunter22" not in str(caught.value)
    assert "api_key_env" in caught.value.remedy


def test_the_key_itself_is_in_nothing_that_is_kept() -> None:
    key = "of-mine-00001"
    check_not_kept(TargetConfig(url="http://h", headers='{"a": "b"}'), key)
    check_not_kept(TargetConfig(url="http://h/short"), "short")
    for name, value in (
        ("url", f"http://h/?q={key}"), ("url", "http://h/?q=of%2Dmine-00001"), ("headers", f'{{"x": "{key}"}}'),
        ("body", f'{{"user": "{key}"}}'), ("metrics_url", f"http://h/{key}"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=rf"^target\.{name}: ") as caught:
            check_not_kept(TargetConfig(**{name: value}), key)  # type: ignore[arg-type]
        assert key not in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "content-length", "x:", "\u00e9"])
def test_what_is_no_header_for_a_key(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^target\.api_key_header: "):
        headers_of(dialect_of("openai-chat"), TargetConfig(api_key_header=name), "of-mine-00001")


def test_fields() -> None:
    assert further_fields(TargetConfig(body='{"repetition_penalty": 1.1, "a": {"b": [null]}, "n": 1}')) == {
        "repetition_penalty": 1.1,
        "a": {"b": [None]},
        "n": 1,
    }
    assert further_fields(TargetConfig()) == {}
    for body in ("[]", "{", '{"stream": false}', '{"model": "x"}', '{"messages": []}', '{"n": 2}', '{"n": "1"}'):
        with pytest.raises(ConfigError, match=r"^target\.body: "):
            further_fields(TargetConfig(body=body))
