"""Paths, and which servers have them."""

import re

from msgspec import Struct

from infertui.mock.families import Family

_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/[^/]+)?/(generate|generate_stream)")


class MockRoute(Struct, frozen=True):
    """Where tokens are asked for. `streaming` None: the body says it. `dialect` may depend on the body too."""

    dialect: str
    families: frozenset[Family]
    streaming: bool | None = None
    either: str = ""

    def told_by(self, body: bytes) -> str:
        """The dialect: /generate is TGI's and SGLang's, which name the prompt differently."""
        return self.either if self.either and b'"inputs"' not in body else self.dialect


_ALMOST_ALL: frozenset[Family] = frozenset({"openai", "vllm", "sglang", "llama-server", "ollama", "tgi"})
GENERATING: dict[str, MockRoute] = {
    "/v1/chat/completions": MockRoute("openai-chat", _ALMOST_ALL),
    "/v1/completions": MockRoute("openai-completions", _ALMOST_ALL),
    "/v1/responses": MockRoute("openai-responses", frozenset({"openai", "vllm", "sglang", "llama-server", "ollama"})),
    "/v1/messages": MockRoute("anthropic-messages", frozenset({"vllm", "sglang", "llama-server", "ollama"})),
    "/generate_stream": MockRoute("tgi", frozenset({"tgi"}), streaming=True),
    "/generate": MockRoute("tgi", frozenset({"tgi", "sglang"}), either="sglang"),
    "/api/chat": MockRoute("ollama-chat", frozenset({"ollama"})),
    "/api/generate": MockRoute("ollama-generate", frozenset({"ollama"})),
    "/completion": MockRoute("llama-server", frozenset({"llama-server"})),
    "/completions": MockRoute("llama-server", frozenset({"llama-server"})),
}
_TRITON: frozenset[Family] = frozenset({"triton"})
_TRITON_WHOLE = MockRoute("triton", _TRITON, streaming=False)
_TRITON_STREAM = MockRoute("triton", _TRITON, streaming=True)


def find(method: str, url: bytes, family: Family) -> MockRoute | str:
    """The route of a POST for tokens; else the path, of which a page may be made."""
    path = url.partition(b"?")[0].decode("latin-1")
    if path.startswith(("http://", "https://")):  # the absolute form of RFC 9112, 3.2.2
        path = "/" + path.split("://", 1)[1].partition("/")[2]
    if method == "POST":
        route = GENERATING.get(path)
        if route is None and (found := _MODEL.fullmatch(path)) and found[1] == "mock":
            route = _TRITON_STREAM if found[2] == "generate_stream" else _TRITON_WHOLE
        if route is not None and (family == "all" or family in route.families):
            if path == "/generate" and family in ("tgi", "sglang"):
                return MockRoute(family, route.families, streaming=False if family == "tgi" else None)
            return route
    return path
