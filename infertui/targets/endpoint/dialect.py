"""The seam between a server's dialect and everything else: what is sent for a request, what its answer says.

A dialect is pure: of a request it makes bytes, and of bytes that came, with the times at which they came, a
`ServerAnswer`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

Api = Literal[
    "openai-chat",
    "openai-completions",
    "openai-responses",
    "anthropic-messages",
    "tgi",
    "triton",
    "ollama-chat",
    "ollama-generate",
    "llama-server",
    "sglang",
]
"""Words of configs and results: they are not to be changed."""
ErrorKind = Literal[
    "",
    "connect",
    "tls",
    "http",
    "rate-limited",
    "timeout",
    "reset",
    "cut-off",
    "in-stream",
    "malformed",
    "no-finish",
    "empty",
    "too-long",
    "aborted",
]
"""Why a request failed.

`http`: a status of 400 and above but 429, which is `rate-limited`; `reset`: the connection broke; `cut-off`: the body
ended before its length or last chunk; `in-stream`: an error inside an answer of status 200; `no-finish`: it ended in
order and never said why generation ended; `empty`: no text of any token came, whatever the server counts; `too-long`:
an event beyond what is accepted; `aborted`: by this side. Words of results.
"""


class ChatMessage(Struct, frozen=True):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class AskedRequest(Struct, frozen=True):
    """What one request asks of a server. `output_tokens` None: as the server likes; `exactly`: past end of sequence.

    `without` are fields of bodies that the server was found to refuse: what they say is left out, or said otherwise.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    output_tokens: int | None
    exactly: bool = True
    streaming: bool = True
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    extra: Mapping[str, object] = {}
    """Further fields of the body, which replace those of the dialect; objects are merged, and None takes one out."""
    without: tuple[str, ...] = ()


class ReceivedAnswer(Struct, frozen=True):
    """A response as it came: pieces of its body, each with the monotonic nanoseconds at which it arrived.

    `status` is 0 where none came; names of `headers` are in lower case.
    `whole`: the body ended in order, by its length or its last chunk. `broken` says by which fault it ended, where the
    client knows: one of the words of `ErrorKind`, and `message` what it was.
    """

    status: int
    headers: Mapping[str, str]
    pieces: Sequence[tuple[int, bytes]]
    end_ns: int
    whole: bool = True
    broken: ErrorKind = ""
    message: str = ""


class TokenUsage(Struct, frozen=True):
    """Tokens as the server counts them; None is what it does not tell."""

    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class ServerAnswer(Struct, frozen=True):
    """What an answer says. Stamps are monotonic nanoseconds, those of the pieces in which something came.

    `steps` are the stamps at which tokens arrived, ascending, and `gained` how many did at each, where that is known
    for all; else it is empty. The first step is the first token: non-empty content, reasoning, or tool argument;
    `first_output_ns` the first that is not reasoning. Neither usage nor `[DONE]` moves the last. `tokens` is the
    server's count, else the number of chunks with text, as `counted` says; None: unknown, as of an answer at once
    without usage. `server` holds the server's own timings in seconds, by our names: `prefill`, `decode`, `queue`,
    `load`, `total`.
    """

    error: ErrorKind = ""
    message: str = ""
    first_byte_ns: int | None = None
    steps: tuple[int, ...] = ()
    gained: tuple[int, ...] = ()
    first_output_ns: int | None = None
    tokens: int | None = None
    counted: Literal["server", "chunks", ""] = ""
    usage: TokenUsage = TokenUsage()
    finish: str = ""
    text: str = ""
    reasoning: str = ""
    server: Mapping[str, float] = {}


class Dialect(Protocol):
    """One way to ask, and to be answered. Without state: one object serves all requests."""

    @property
    def api(self) -> Api:
        """Its name."""
        ...

    def path(self, model: str, *, streaming: bool) -> str:
        """Below the endpoint's base URL, with a slash in front."""
        ...

    def headers(self, key: str) -> dict[str, str]:
        """What it wants beside length and host; `key` is the API key, empty for none."""
        ...

    def body(self, asked: AskedRequest) -> bytes:
        """The request's body."""
        ...

    def read(self, received: ReceivedAnswer, *, streaming: bool) -> ServerAnswer:
        """Whatever came. Never raises: what cannot be read is an answer with an error."""
        ...
