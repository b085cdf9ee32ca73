"""Which server answers, and what it says of itself: its pages, read as far as they are known.

What a server lists is foreign text, and bounded. Nothing here is needed to measure: what is not told stays unknown.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from infertui.targets.endpoint.dialect import ReceivedAnswer
from infertui.text import one_line

Page = Callable[[str], Awaitable[ReceivedAnswer]]
"""Asks for a page."""

_OWNERS: Final[Mapping[str, str]] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama-server",
    "library": "ollama",
    "lmdeploy": "lmdeploy",
    "tensorrt_llm": "tensorrt-llm",
    "TensorRT-LLM": "tensorrt-llm",
    "infertui-mock": "infertui-mock",
}
_MOST_MODELS = 1000
_LONGEST_NAME = 300


class ServerIdentity(Struct, frozen=True):
    """What a server says of itself; empty, or None, is what it does not.

    `max_positions` is the longest prompt and answer together; `slots` how many requests it runs at a time.
    """

    server: str = ""
    version: str = ""
    models: tuple[str, ...] = ()
    max_positions: int | None = None
    slots: int | None = None


async def identify(listing: ReceivedAnswer, page: Page) -> ServerIdentity:
    """Which server it is; `listing` is what it answered to `/v1/models`."""
    owner, models, longest = _listed(listing)
    likely = _OWNERS.get(owner, "")
    for server, path, read in _PAGES:
        if likely not in ("", server):
            continue
        told = read(json_object(await page(path)))
        if told is not None:
            names = told.models or models
            if server == "ollama" and not names:
                names = _tagged(json_object(await page("/api/tags")))
            return ServerIdentity(server, told.version, names, told.max_positions or longest, told.slots)
    return ServerIdentity(likely, "", models, longest)


def json_object(reply: ReceivedAnswer) -> dict[str, Any]:
    """What a page holds, if that is a JSON object; else an empty one."""
    if reply.status != 200 or not reply.whole:
        return {}
    try:
        return msgspec.json.decode(b"".join(piece for _, piece in reply.pieces), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}


def _listed(listing: ReceivedAnswer) -> tuple[str, tuple[str, ...], int | None]:
    """Whose the models are, their names, and the length of the first."""
    entries = json_object(listing).get("data")
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    first = found[0] if found else {}
    meta = first.get("meta")
    longest = _whole(first.get("max_model_len")) or _whole(meta.get("n_ctx_train") if isinstance(meta, dict) else None)
    return _text(first.get("owned_by")), _names([entry.get("id") for entry in found]), longest


def _names(found: list[object]) -> tuple[str, ...]:
    return tuple(filter(None, (_name(name) for name in found[:_MOST_MODELS])))


def _tagged(page: dict[str, Any]) -> tuple[str, ...]:
    entries = page.get("models")
    return _names(
        [entry.get("name") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )


def _name(value: object) -> str:
    """A model's name, as it has to be sent: none that would have to be cut or cleaned."""
    name = value if isinstance(value, str) else ""
    return name if one_line(name, _LONGEST_NAME) == name else ""


def _text(value: object) -> str:
    return one_line(value, 80) if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53 else None


def _versioned(page: dict[str, Any]) -> ServerIdentity | None:
    return ServerIdentity(version=_text(page["version"])) if "version" in page else None


def _sglang(page: dict[str, Any]) -> ServerIdentity | None:
    if "model_path" not in page:
        return None
    longest = _whole(page.get("context_length")) or _whole(page.get("max_context_length"))
    return ServerIdentity(version=_text(page.get("version")), max_positions=longest)


def _llama_server(page: dict[str, Any]) -> ServerIdentity | None:
    if "default_generation_settings" not in page:
        return None
    settings = page["default_generation_settings"]
    longest = _whole(settings.get("n_ctx")) if isinstance(settings, dict) else None
    return ServerIdentity(
        version=_text(page.get("build_info")), max_positions=longest, slots=_whole(page.get("total_slots"))
    )


def _tgi(page: dict[str, Any]) -> ServerIdentity | None:
    if "max_total_tokens" not in page:
        return None
    return ServerIdentity(
        version=_text(page.get("version")),
        models=_names([page.get("model_id")]),
        max_positions=_whole(page["max_total_tokens"]),
        slots=_whole(page.get("max_concurrent_requests")),
    )


def _triton(page: dict[str, Any]) -> ServerIdentity | None:
    return ServerIdentity(version=_text(page.get("version"))) if "extensions" in page else None


_Reading = Callable[[dict[str, Any]], ServerIdentity | None]
_PAGES: Final[tuple[tuple[str, str, _Reading], ...]] = (
    ("llama-server", "/props", _llama_server),
    ("tgi", "/info", _tgi),
    ("sglang", "/get_server_info", _sglang),
    ("sglang", "/server_info", _sglang),
    ("sglang", "/get_model_info", _sglang),
    ("triton", "/v2", _triton),
    ("ollama", "/api/version", _versioned),
    ("vllm", "/version", _versioned),
)
"""By which page each is known, where its listing does not say whose the models are; and there stands its version."""
