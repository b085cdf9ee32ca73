"""What a request asks for, in any of the dialects."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from infertui.mock.cache import Prompt
from infertui.text import quoted

MOST_TOKENS = 1_000_000
DEFAULT_TOKENS = 64
"""What is said where neither the request nor the mock's options set a length."""
_COMPLETIONS_DEFAULT = 16


class AskedWronglyError(Exception):
    """What is wrong with a request, in words for its sender, under an HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class MockRequest(msgspec.Struct, frozen=True):
    """One request as the mock understands it. `limited`: the length ends it, not the model of its own."""

    dialect: str
    prompt: Prompt
    output_tokens: int
    limited: bool
    streaming: bool
    include_usage: bool = False
    continuous_usage: bool = False
    details: bool = False
    max_tokens: int | None = None


def read_request(
    dialect: str, body: bytes, *, model: str, osl: int, streaming: bool | None, strict: bool
) -> MockRequest:
    """The request, or AskedWronglyError.

    `streaming`: what the path says of it; `strict`: as OpenAI, without extensions.
    """
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise AskedWronglyError(f"the body is no JSON: {quoted(error)}") from error
    if not isinstance(fields, dict):
        raise AskedWronglyError("the body is no JSON object")
    named = fields.get("model", model)
    if dialect in _NAMED and named not in (model, f"{model}:latest"):
        raise AskedWronglyError(
            f"The model {quoted(named)} does not exist: this mock server has the model `{model}`.", 404
        )
    prompt = _PROMPTS[dialect](fields)
    most = _limit(dialect, fields)
    if most is None:
        most = _COMPLETIONS_DEFAULT if dialect == "openai-completions" and not osl else None
    count = min(most, osl) if most is not None and osl else osl or (DEFAULT_TOKENS if most is None else most)
    options = _table(fields, "stream_options")
    if strict and "continuous_usage_stats" in options:
        raise AskedWronglyError("Unknown parameter: 'stream_options.continuous_usage_stats'.")
    asked_stream = fields.get("stream", dialect in ("ollama-chat", "ollama-generate"))
    if not isinstance(asked_stream, bool):
        raise AskedWronglyError("stream: neither true nor false")
    return MockRequest(
        dialect=dialect,
        prompt=prompt,
        output_tokens=count,
        limited=most is not None and count >= most,
        streaming=asked_stream if streaming is None else streaming,
        include_usage=options.get("include_usage") is True,
        continuous_usage=options.get("continuous_usage_stats") is True,
        details=_table(fields, "parameters").get("details") is True,
        max_tokens=most,
    )


_NAMED = frozenset(
    {"openai-chat", "openai-completions", "openai-responses", "anthropic-messages", "ollama-chat", "ollama-generate"}
)
# The field of the length, or table and field; the last of several wins.
_LIMITS: dict[str, tuple[tuple[str, ...], ...]] = {
    "openai-chat": (("max_tokens",), ("max_completion_tokens",)),
    "openai-completions": (("max_tokens",),),
    "openai-responses": (("max_output_tokens",),),
    "anthropic-messages": (("max_tokens",),),
    "tgi": (("parameters", "max_new_tokens"),),
    "triton": (("parameters", "max_tokens"), ("max_tokens",)),
    "ollama-chat": (("options", "num_predict"),),
    "ollama-generate": (("options", "num_predict"),),
    "llama-server": (("max_tokens",), ("n_predict",)),
    "sglang": (("sampling_params", "max_new_tokens"),),
}
_UNLIMITED = frozenset({"ollama-chat", "ollama-generate", "llama-server"})


def _limit(dialect: str, fields: Mapping[str, Any]) -> int | None:
    found, name = None, ""
    for way in _LIMITS[dialect]:
        table = _table(fields, way[0]) if len(way) == 2 else fields
        if table.get(way[-1]) is not None:
            found, name = table[way[-1]], ".".join(way)
    if found is None:
        if dialect == "anthropic-messages":
            raise AskedWronglyError("max_tokens: Field required")
        return None
    if isinstance(found, bool) or not isinstance(found, int):
        raise AskedWronglyError(f"{name}: {quoted(found)} is no whole number")
    if dialect in _UNLIMITED and found < 0:
        return None
    least = 0 if dialect in _UNLIMITED else 1
    if not least <= found <= MOST_TOKENS:
        raise AskedWronglyError(f"{name}: {quoted(found)}; allowed: {least} to {MOST_TOKENS}")
    return found


def _table(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise AskedWronglyError(f"{name}: no object")
    return found


def _text(value: object, name: str) -> str:
    """Text, or a list of parts of which those of text count."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = (part.get("text") for part in value if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    raise AskedWronglyError(f"{name}: text is missing")


def _prompt(value: object, name: str) -> Prompt:
    """Text or ids, or a list of one of these."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, str):
        if not value:
            raise AskedWronglyError(f"{name}: is empty")
        return _bytes(value)
    if isinstance(value, list) and value and all(isinstance(item, int) and 0 <= item < 1 << 63 for item in value):
        return Prompt(ids=value)
    raise AskedWronglyError(f"{name}: neither a text nor a list of token ids, nor one of these in a list")


def _messages(value: object, name: str, before: str = "") -> Prompt:
    if not isinstance(value, list) or not value:
        raise AskedWronglyError(f"{name}: a list with at least one message is missing")
    parts = [before] if before else []
    for place, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise AskedWronglyError(f"{name}.{place}: no message with a role")
        content = message.get("content")
        parts.append(f"{message['role']}\n{'' if content is None else _text(content, f'{name}.{place}.content')}\n")
    return _bytes("".join(parts))


def _bytes(text: str) -> Prompt:
    return Prompt(text.encode(errors="replace"))


def _of_responses(fields: Mapping[str, Any]) -> Prompt:
    given, before = fields.get("input"), fields.get("instructions")
    if isinstance(given, str):
        return _bytes(f"{before or ''}{given}")
    return _messages(given, "input", before if isinstance(before, str) else "")


def _of_anthropic(fields: Mapping[str, Any]) -> Prompt:
    system = fields.get("system")
    return _messages(fields.get("messages"), "messages", _text(system, "system") if system else "")


def _of_sglang(fields: Mapping[str, Any]) -> Prompt:
    name = "input_ids" if fields.get("input_ids") is not None else "text"
    return _prompt(fields.get(name), name)


def _field(name: str) -> Any:
    return lambda fields: _prompt(fields.get(name), name)


_PROMPTS: dict[str, Any] = {
    "openai-chat": lambda fields: _messages(fields.get("messages"), "messages"),
    "openai-completions": _field("prompt"),
    "openai-responses": _of_responses,
    "anthropic-messages": _of_anthropic,
    "tgi": _field("inputs"),
    "triton": _field("text_input"),
    "ollama-chat": lambda fields: _messages(fields.get("messages"), "messages"),
    "ollama-generate": _field("prompt"),
    "llama-server": _field("prompt"),
    "sglang": _of_sglang,
}
DIALECTS: Sequence[str] = tuple(_PROMPTS)
