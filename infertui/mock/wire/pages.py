"""Pages beside the answers: what the server lists of itself, its health, its statistics."""

import json
import os
from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from infertui.mock.families import Family
from infertui.mock.wire.knobs import Knobs
from infertui.mock.wire.prometheus import prometheus

if TYPE_CHECKING:
    from infertui.mock.server import MockHost

MOCK = "a mock of infertui: no model is run"
CONTEXT = 131_072


class MockPage(Struct, frozen=True):
    """An answer at once."""

    status: int
    body: bytes
    media: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


_LISTINGS: dict[str, tuple[frozenset[Family], dict[str, Any]]] = {
    "/v1/models": (
        frozenset({"openai", "vllm", "sglang", "llama-server", "ollama", "tgi"}),
        {
            "object": "list",
            "data": [
                {"id": "mock", "object": "model", "created": 0, "owned_by": "infertui-mock", "max_model_len": CONTEXT}
            ],
        },
    ),
    "/api/tags": (
        frozenset({"ollama"}),
        {
            "models": [
                {
                    "name": "mock:latest",
                    "model": "mock:latest",
                    "modified_at": "2026-01-01T00:00:00Z",
                    "size": 0,
                    "digest": "mock",
                    "details": {
                        "format": "mock",
                        "family": "mock",
                        "parameter_size": "0",
                        "quantization_level": "none",
                    },
                }
            ]
        },
    ),
    "/api/version": (frozenset({"ollama"}), {"version": "0.0.0-mock"}),
    "/version": (frozenset({"vllm"}), {"version": "0.0.0+mock"}),
    "/info": (
        frozenset({"tgi"}),
        {
            "model_id": "mock",
            "model_sha": None,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": 65_536,
            "max_total_tokens": CONTEXT,
            "max_input_tokens": CONTEXT - 1,
            "router": "infertui-mock",
            "version": "0.0.0-mock",
        },
    ),
    "/props": (
        frozenset({"llama-server"}),
        {
            "default_generation_settings": {"id": 0, "n_ctx": CONTEXT, "params": {"n_predict": -1}},
            "total_slots": 0,
            "model_alias": "mock",
            "model_path": "mock",
            "build_info": "mock",
            "is_sleeping": False,
        },
    ),
    "/get_model_info": (
        frozenset({"sglang"}),
        {"model_path": "mock", "tokenizer_path": "mock", "is_generation": True, "preferred_sampling_params": None},
    ),
    "/v2": (frozenset({"triton"}), {"name": "triton", "version": "0.0.0-mock", "extensions": ["generate"]}),
    "/v2/models/mock": (
        frozenset({"triton"}),
        {
            "name": "mock",
            "versions": ["1"],
            "platform": "mock",
            "inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1]}],
            "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [-1]}],
        },
    ),
}
_LISTINGS["/model_info"] = _LISTINGS["/get_model_info"]
_HEALTH: dict[str, tuple[frozenset[Family], bytes]] = {
    "/health": (frozenset({"vllm", "sglang", "tgi"}), b""),
    "/v2/health/ready": (frozenset({"triton"}), b""),
    "/v2/health/live": (frozenset({"triton"}), b""),
    "/v2/models/mock/ready": (frozenset({"triton"}), b""),
}
_METRICS: frozenset[Family] = frozenset({"vllm"})


class Pages:
    """Makes the page of a path."""

    def __init__(self, host: "MockHost") -> None:
        self._host = host
        self._knobs = Knobs(host)
        self._own: dict[str, Callable[[], MockPage]] = {
            "/mock": self._describe,
            "/mock/stats": lambda: _json(self.stats()),
            "/mock/requests": lambda: _json(tuple(self._host.tallies.records)),
            "/mock/options": lambda: _json(msgspec.structs.replace(self._host.options, api_key="", tls_key="")),
        }

    def answer(self, path: str, method: str, url: bytes, key: str, body: bytes = b"") -> MockPage:
        """The page of a path, or why there is none."""
        options = self._host.options
        if method == "POST" and path == "/mock/reset":
            self._host.reset()
            return _json({"mock": MOCK})
        if (turned := self._knobs.answer(path, method, url, body)) is not None:
            if options.api_key and key != options.api_key:
                return _error(401, "Invalid API key")
            return MockPage(turned[0], json.dumps(turned[1]).encode())
        if path in self._own and method in ("GET", "HEAD"):
            return self._own[path]()
        listing = _LISTINGS.get(path)
        if listing is not None and self._has(listing[0]) and method in ("GET", "HEAD"):
            if options.api_key and path == "/v1/models" and key != options.api_key:
                return _error(401, "Invalid API key")
            return self._listed(path, listing[1])
        if path == "/" and options.family == "ollama":
            return MockPage(200, b"Ollama is running", media=b"text/plain; charset=utf-8")
        if path == "/health" and options.family == "llama-server":
            return _json({"status": "ok"})
        health = _HEALTH.get(path)
        if health is not None and self._has(health[0]):
            return MockPage(200, health[1], media=b"text/plain; charset=utf-8")
        if path == "/metrics" and self._has(_METRICS):
            return MockPage(200, prometheus(self._host), media=b"text/plain; version=0.0.4; charset=utf-8")
        return _error(404, f"{MOCK}: nothing is at this path; GET /mock describes it")

    def _has(self, families: frozenset[Family]) -> bool:
        return self._host.options.family == "all" or self._host.options.family in families

    def _listed(self, path: str, document: dict[str, Any]) -> MockPage:
        if path == "/v1/models" and self._host.options.family != "all":  # it passes for another server
            document = document | {"data": [model | {"owned_by": "mock"} for model in document["data"]]}
        if path == "/props":
            document = document | {"total_slots": self._host.options.slots or 65_536}
        return _json(document | {"mock": MOCK} if path != "/v1/models" else document)

    def _describe(self) -> MockPage:
        from infertui.mock.truth import describe

        return MockPage(200, describe(self._host.options).encode(), media=b"text/plain; charset=utf-8")

    def stats(self) -> dict[str, Any]:
        """What the server knows of what it did. Times have their unit in their name."""
        host, tallies = self._host, self._host.tallies
        times = os.times()
        return {
            "mock": MOCK,
            "since_s": (monotonic_ns() - tallies.began_ns) / 1e9,
            "requests": tallies.requests,
            "outcomes": tallies.outcomes,
            "faults": tallies.faults,
            "in_system": tallies.here,
            "peak_in_system": tallies.peak_here,
            "running": len(host.serving.floor.running),
            "peak_running": tallies.peak_running,
            "waiting": len(host.serving.floor.waiting),
            "peak_waiting": tallies.peak_waiting,
            "connections": tallies.connections,
            "open_connections": tallies.open_connections,
            "peak_connections": tallies.peak_connections,
            "prompt_tokens": tallies.prompt_tokens,
            "cached_tokens": tallies.cached_tokens,
            "output_tokens": tallies.output_tokens,
            "bytes": tallies.bytes,
            "arrivals": tallies.gaps(),
            "lateness": tallies.lateness.told(),
            "first_token_lateness": tallies.first_lateness.told(),
            "longest_slice_us": host.deadlines.longest_slice_ns / 1000,
            "cpu_s": times.user + times.system,
            "process": os.getpid(),
        }


def _json(document: object) -> MockPage:
    return MockPage(200, msgspec.json.encode(document))


def _error(status: int, message: str) -> MockPage:
    return MockPage(
        status,
        json.dumps(
            {
                "error": {
                    "message": message,
                    "type": "NotFoundError" if status == 404 else "AuthenticationError",
                    "param": None,
                    "code": status,
                }
            }
        ).encode(),
    )
