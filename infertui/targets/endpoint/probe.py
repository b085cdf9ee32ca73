"""Before a load: what the server is, in which dialect it answers, and whether one short request comes back right."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.endpoint import TargetConfig
from infertui.errors import ConfigError, InfertuiError, ServerError
from infertui.load.texts import KNOWN_WORDS, MadeTexts, TokenScale, scale_of
from infertui.measure.clock import NS_PER_S
from infertui.targets.endpoint.address import EndpointAddress, parse_url
from infertui.targets.endpoint.dialect import Api, AskedRequest, ChatMessage, Dialect, ReceivedAnswer, ServerAnswer
from infertui.targets.endpoint.dialects.reading import body_of
from infertui.targets.endpoint.dialects.registry import dialect_of
from infertui.targets.endpoint.extras import further_fields, further_headers, headers_of, key_of, page_headers
from infertui.targets.endpoint.http import HttpAsker
from infertui.targets.endpoint.identity import ServerIdentity, identify
from infertui.targets.endpoint.refusals import is_loading, is_no_model, refusal_of
from infertui.text import one_line

WAIT_S = 600.0
"""For a model that the server says it is loading."""
TOKENS = 24
"""Asked for in the one short request, whose natural answer is shorter."""
_PROMPT = "Answer with the one word yes."
_OPEN_PROMPT = "Once upon a time there was a"
_NO_SCALE = "it does not tell how many tokens it counts of a text: prompts have about the length that is asked for"
_SOME = 4
"""Tokens of an answer that is asked for because of the prompt: a first one may be of no text."""
_POLL_S = 1.0
_OWN_FAULT = 500
_AGAIN_S = 0.5
"""Before what failed by a fault of the server's own is asked again."""
_MOST_REFUSED = 6
_AT_ONCE = 0.02
"""All tokens within this share of the time of the answer came in one go: something on the way holds them back."""
_FIRST: Final[Mapping[str, tuple[Api, ...]]] = {
    "tgi": ("tgi", "openai-chat"),
    "triton": ("triton", "openai-chat"),
    "ollama": ("ollama-chat", "openai-chat"),
    "sglang": ("openai-chat", "openai-completions", "sglang"),
    "llama-server": ("openai-chat", "openai-completions", "llama-server"),
}
_USUAL: Final[tuple[Api, ...]] = ("openai-chat", "openai-completions", "openai-responses", "anthropic-messages")
# What a request cannot do without, or is named in messages about something else.
_NEEDED = frozenset(
    {"model", "messages", "input", "prompt", "inputs", "text", "text_input", "stream", "parameters", "options"}
    | {"sampling_params", "content", "role", "max_new_tokens", "num_predict", "n_predict", "max_output_tokens"}
)

Told = Callable[[str], None]


class EndpointFacts(Struct, frozen=True):
    """What is known of a server before a load. Empty, or None, is what it does not tell.

    `without`: fields that it refuses, see `AskedRequest`. `ignores_eos`: whether an answer goes on to the length that
    is asked for; None: that was not asked, or could not be and did not show. `streams`: tokens came one after the
    other. `token_s` is the time of one, in seconds, and `first_s` that of the first. `scale`: what it counts of a
    text's tokens, where that was asked for. `notes` are sentences for a person.
    """

    server: str
    version: str
    api: Api
    model: str
    models: tuple[str, ...] = ()
    max_positions: int | None = None
    slots: int | None = None
    without: tuple[str, ...] = ()
    ignores_eos: bool | None = None
    streams: bool = True
    token_s: float | None = None
    first_s: float | None = None
    scale: TokenScale | None = None
    notes: tuple[str, ...] = ()


class _NotThisWayError(Exception):
    """The server does not answer to this dialect; another one may do."""

    def __init__(self, error: InfertuiError, status: int) -> None:
        super().__init__(error.message)
        self.error, self.status = error, status


async def probe(
    target: TargetConfig,
    *,
    exactly: bool = True,
    scale: bool = False,
    wait_s: float = WAIT_S,
    told: Told | None = None,
) -> EndpointFacts:
    """Ask a server what it is, and one short request. `told` hears what is waited for.

    `scale`: ask two more, of texts from which it shows how many tokens it counts.

    Raises:
        ConfigError: a value of `target` is wrong, or does not fit the server.
        ServerError: nothing answers, or it does not answer as it should.
    """
    address = parse_url(target.url)
    key, fields = key_of(target, address), further_fields(target)
    asker = HttpAsker(address, target, further_headers(target))
    until = time.monotonic() + wait_s
    told = told or (lambda _: None)
    pages = page_headers(dialect_of(_candidates(target, address, "")[0]), target, key)

    listing = await _settled(lambda: asker.get("/v1/models", pages), until, told)
    # Only what cannot be a server of this kind ends here: not all of them list their models so.
    problem = refusal_of(listing, target, address, key=bool(key))
    if problem is not None and listing.status not in (404, 405, 501):
        raise problem
    identity = await identify(listing, lambda path: asker.get(path, pages))
    model = target.model or address.model or next(iter(identity.models), "")
    if not model:
        raise ConfigError("target.model", "is empty, and the server lists none", allowed="the name of a model there")

    failure: InfertuiError | None = None
    passed: list[str] = []
    for api in _candidates(target, address, identity.server):
        trial = _Trial(asker, dialect_of(api), target, address, model, key, fields, identity.models)
        try:
            sent, answer = await trial.ask(exactly=exactly, until=until, told=told)
        except _NotThisWayError as refused:
            failure = failure or refused.error
            passed += [f"{api} fails with status {refused.status}"] if refused.status == _OWN_FAULT else []
            continue
        facts = _facts(identity, api, model, sent, answer, streaming=target.streaming)
        if exactly:
            facts = _with_lengths(facts, answer.tokens or 0, asked=trial.asks_lengths)
        if scale:
            facts = replace(facts, scale=await _learned_scale(trial, until))
            if facts.scale is None:
                facts = replace(facts, notes=(*facts.notes, _NO_SCALE))
        others = (f"{text}, twice: asked as {api}" for text in passed)
        return replace(facts, without=trial.without, notes=(*facts.notes, *trial.notes, *others))
    raise failure or ServerError(f"{address.shown} answers to no dialect that is known here")


async def _learned_scale(trial: "_Trial", until: float) -> TokenScale | None:
    """What the server counts of texts of known words, which it has never seen; None where it does not tell."""
    texts, counts = MadeTexts(0, salt=time.time_ns()), []
    for number, words in enumerate(KNOWN_WORDS):
        try:
            _, answer = await trial.ask(
                texts.known(words, number), _SOME, exactly=False, until=until, told=lambda _: None
            )
        except (InfertuiError, _NotThisWayError):
            return None
        if answer.usage.prompt_tokens is None:
            return None
        counts.append((words, answer.usage.prompt_tokens))
    return scale_of(counts)


def _candidates(target: TargetConfig, address: EndpointAddress, server: str) -> tuple[Api, ...]:
    if target.api != "auto":
        return (target.api,)
    return (address.api,) if address.api is not None else _FIRST.get(server, _USUAL)


async def _settled(ask: Callable[[], Awaitable[ReceivedAnswer]], until: float, told: Told) -> ReceivedAnswer:
    """What is answered once the model is loaded, or when there is no more time to wait.

    After a failure of the server's own, which is no word on what was asked, it is asked once more.
    """
    waits = again = False
    while True:
        received = await ask()
        if _is_fault(received) and not again:
            again = True
            told(f"the server failed a first request with status {received.status}: it is asked again")
            await asyncio.sleep(_AGAIN_S)
            continue
        if not is_loading(received) or time.monotonic() >= until:
            return received
        if not waits:
            waits = True
            told("the server is loading its model")
        await asyncio.sleep(_POLL_S)


class _Trial:
    """One short request in one dialect, until it is answered or refused for good."""

    def __init__(
        self,
        asker: HttpAsker,
        dialect: Dialect,
        target: TargetConfig,
        address: EndpointAddress,
        model: str,
        key: str,
        fields: Mapping[str, object],
        models: tuple[str, ...],
    ) -> None:
        self._asker, self._dialect = asker, dialect
        self._target, self._address = target, address
        self._model, self._key, self._fields, self._models = model, key, fields, models
        self.without: tuple[str, ...] = ()

    @property
    def asks_lengths(self) -> bool:
        """Whether the dialect says, to this server, that an answer goes on past the end of sequence."""
        return b'"ignore_eos"' in self._dialect.body(self._asked(_PROMPT, TOKENS, exactly=True))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was refused."""
        return tuple(f"it refuses {name}: asked without" for name in self.without)

    async def ask(
        self, prompt: str = _PROMPT, tokens: int = TOKENS, *, exactly: bool, until: float, told: Told
    ) -> tuple[int, ServerAnswer]:
        """When it was asked, and what came. Raises ServerError, ConfigError, _NotThisWayError."""
        target, dialect = self._target, self._dialect
        path = dialect.path(self._model, streaming=target.streaming)
        timeout_s = min(target.request_timeout_s, target.probe_timeout_s)
        while True:
            body = dialect.body(self._asked(prompt, tokens, exactly=exactly))
            sent = time.monotonic_ns()

            async def once(body: bytes = body) -> ReceivedAnswer:
                nonlocal sent
                sent = time.monotonic_ns()
                return await self._asker.post(path, body, headers_of(dialect, target, self._key), timeout_s=timeout_s)

            received = await _settled(once, until, told)
            if (name := self._refused_field(received, body)) and len(self.without) < _MOST_REFUSED:
                self.without = (*self.without, name)
                continue
            if received.broken == "timeout":
                raise ServerError(
                    f"{self._address.shown} did not answer one short request within {timeout_s:g} s",
                    remedy="Raise target.probe_timeout_s for a server that loads its model only when it is asked."
                    if timeout_s == target.probe_timeout_s
                    else "",
                )
            problem = refusal_of(
                received, target, self._address, key=bool(self._key), model=self._model, models=self._models
            )
            if problem is not None:
                # A model without a chat template completes; some servers fail over that as over a fault of their own.
                absent = received.status in (404, 405, 501) and not is_no_model(received)
                if absent or received.status == _OWN_FAULT or b"chat template" in body_of(received):
                    raise _NotThisWayError(problem, received.status)
                raise problem
            answer = dialect.read(received, streaming=target.streaming)
            if answer.error == "empty" and prompt == _PROMPT:
                # What is only completed may be over before its first token.
                prompt = _OPEN_PROMPT
                continue
            if answer.error:
                raise ServerError(
                    f"{self._address.shown} does not answer as {dialect.api} should: {answer.message}",
                    remedy="Set target.api to the dialect that it speaks." if answer.error == "malformed" else "",
                )
            return sent, answer

    def _asked(self, prompt: str, tokens: int, *, exactly: bool) -> AskedRequest:
        return AskedRequest(
            model=self._model,
            messages=(ChatMessage("user", prompt),),
            output_tokens=tokens,
            exactly=exactly,
            streaming=self._target.streaming,
            extra=self._fields,
            without=self.without,
        )

    def _refused_field(self, received: ReceivedAnswer, body: bytes) -> str:
        """The field that a refusal names, of those that the request had and can do without; those of a user stay."""
        if received.status not in (400, 422):
            return ""
        sent = json.loads(body)
        inner = [name for value in sent.values() if isinstance(value, dict) for name in value]
        text = body_of(received).decode("utf-8", "replace")
        for name in (*sent, *inner):
            kept = name in _NEEDED or name in self._fields or name in self.without
            if not kept and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
                return str(name)
        return ""


def _is_fault(received: ReceivedAnswer) -> bool:
    """Whether an answer is a failure of the server, or of what is before it, and none of the request."""
    if is_loading(received) or b"chat template" in body_of(received):
        return False
    return received.status == 429 or (received.status >= 500 and received.status != 501)


def _facts(
    identity: ServerIdentity,
    api: Api,
    model: str,
    sent_ns: int,
    answer: ServerAnswer,
    *,
    streaming: bool,
) -> EndpointFacts:
    """What one answer shows."""
    notes = []
    steps, tokens = answer.steps, answer.tokens or 0
    streams = len(steps) > 1
    token_s = first_s = None
    if steps:
        first_s = (steps[0] - sent_ns) / NS_PER_S
        if tokens > 1:
            token_s = (steps[-1] - steps[0]) / NS_PER_S / (tokens - 1)
        if streams and steps[-1] - steps[0] <= _AT_ONCE * (steps[-1] - sent_ns):
            notes.append("all tokens came at once: what is between may hold them back, and TTFT is then the whole time")
    elif streaming:
        notes.append("it does not stream: there is no TTFT")
    if answer.counted != "server":
        notes.append("it does not count its tokens: the pieces that it sends are counted in their place")
    elif len(steps) > tokens:
        notes.append(f"it counts {tokens} tokens and sent {len(steps)} pieces of text: its count may be wrong")
    elif streams and tokens > 1.5 * len(steps):
        notes.append(f"it sends several tokens at a time: {tokens} in {len(steps)} pieces")
    if answer.server.get("load", 0) > 0.1:
        notes.append(f"it had to load the model first, which took {answer.server['load']:.1f} s")
    return EndpointFacts(
        server=identity.server,
        version=identity.version,
        api=api,
        model=model,
        models=identity.models,
        max_positions=identity.max_positions,
        slots=identity.slots,
        streams=streams or not streaming,
        token_s=token_s,
        first_s=first_s,
        notes=tuple(one_line(note) for note in notes),
    )


def _with_lengths(facts: EndpointFacts, tokens: int, *, asked: bool) -> EndpointFacts:
    """Whether it holds the length of an answer; `asked`: it was told to go on past the end of sequence."""
    if not tokens:
        return facts
    if tokens != TOKENS:
        note = f"an answer of {TOKENS} tokens was asked for and {tokens} came: it does not hold lengths"
    else:
        note = "" if asked else "it cannot be told to hold lengths: answers end where the model ends them"
    holds = False if tokens != TOKENS else asked or None
    return replace(facts, ignores_eos=holds, notes=(*facts.notes, note) if note else facts.notes)
