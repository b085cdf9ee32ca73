"""Requests in, replies out: what the mock does, apart from sockets."""

import asyncio
import time
from random import Random
from time import monotonic_ns

from infertui.mock.answers.anthropic import MessagesAnswer
from infertui.mock.answers.asked import MockRequest
from infertui.mock.answers.base import AnswerState, MockAnswer, Worn
from infertui.mock.answers.llama_server import LlamaServerAnswer
from infertui.mock.answers.native import SglangAnswer, TgiAnswer, TritonAnswer
from infertui.mock.answers.ollama import OllamaAnswer, OllamaGenerateAnswer
from infertui.mock.answers.openai import ChatAnswer, CompletionAnswer
from infertui.mock.answers.responses import ResponsesAnswer
from infertui.mock.answers.words import UNICODE_WORDS, WORDS
from infertui.mock.cache import PrefixCache, Prompt
from infertui.mock.clock import Deadlines
from infertui.mock.dressings import Wire
from infertui.mock.faults import FaultPlan
from infertui.mock.options import NS_PER_S, MockOptions
from infertui.mock.reply import Floor, Outlet, Reply
from infertui.mock.script import Style, Timing, at_once, dripping, in_pairs, split, streamed
from infertui.mock.tallies import Tallies
from infertui.mock.wire.framing import framed

ANSWERS: dict[str, type[MockAnswer]] = {
    "openai-chat": ChatAnswer,
    "openai-completions": CompletionAnswer,
    "openai-responses": ResponsesAnswer,
    "anthropic-messages": MessagesAnswer,
    "tgi": TgiAnswer,
    "triton": TritonAnswer,
    "ollama-chat": OllamaAnswer,
    "ollama-generate": OllamaGenerateAnswer,
    "llama-server": LlamaServerAnswer,
    "sglang": SglangAnswer,
}
_PING_NS, _SLOW_PING_NS = 100_000_000, 1_000_000_000
_UNUSED = Random(0)  # noqa: S311
_WARM_ROUNDS, _WARM_TOKENS = 3, 4
_HALF = {"stall": "stall", "reset": "reset", "cut": "cut"}


class Serving:
    """All that requests have in common."""

    def __init__(self, options: MockOptions, deadlines: Deadlines) -> None:
        self.options = options
        self.deadlines = deadlines
        self.tallies = Tallies()
        self.floor = Floor(options.slots, self.tallies, self._admit)
        self.cache = PrefixCache(options.kv_blocks)
        self.faults = FaultPlan(options.faults, rate=options.fault_rate, every=options.fault_every, seed=options.seed)
        self.worn = frozenset(options.dressings)
        self._number = 0
        self._worn = self._said()
        self._styles: dict[tuple[str, bool], Style] = {}
        self._varies = bool(options.ttft_spread_s or options.itl_spread_s or "split-segments" in self.worn)
        self._ttft_ns, self._itl_ns = round(options.ttft_s * NS_PER_S), round(options.itl_s * NS_PER_S)
        self._ttft_spread_ns = round(options.ttft_spread_s * NS_PER_S)
        self._itl_spread_ns = round(options.itl_spread_s * NS_PER_S)
        self._per_stream_ns = round(options.itl_per_stream_s * NS_PER_S)

    def reply(self, outlet: Outlet, asked: MockRequest, *, arrived_ns: int, fault: str, name: str) -> Reply:
        """A reply that is not yet let in."""
        self._number += 1
        told = AnswerState(self._number, arrived_ns, int(time.time()))
        self.tallies.arrived(arrived_ns)
        self.tallies.prompt_tokens += asked.prompt.tokens
        if self.options.prefix_cache:
            told.cached = self.cache.take(asked.prompt)
            self.tallies.cached_tokens += told.cached
        made = Reply(self.floor, self.tallies, outlet, asked, told, name)
        made.fault = fault
        return made

    def answer_of(self, reply: Reply) -> MockAnswer:
        """The dialect's way to answer it."""
        return ANSWERS[reply.asked.dialect](reply.asked, reply.told, self._worn)

    def _said(self) -> Worn:
        worn, family = self.worn, self.options.family
        reasoning = "reasoning" if "reasoning" in worn else "reasoning_content" if "reasoning-content" in worn else ""
        return Worn(
            reasoning=reasoning,
            tool="tool-calls-only" in worn,
            null_role="role-only-null" in worn,
            continuous_usage=bool(worn & {"continuous-usage", "swallowed-tokens"}),
            cached_told=self.options.prefix_cache,
            llama=family == "llama-server",
            incomplete=family == "openai",
            no_finish="no-finish" in worn,
        )

    def _admit(self, reply: Reply, at_ns: int) -> None:
        asked, told = reply.asked, reply.told
        # Seeding takes longer than all the rest.
        random = Random(self.options.seed * 1_000_003 + told.number) if self._varies else _UNUSED  # noqa: S311
        first_ns = at_ns + self._ttft_ns
        if self._ttft_spread_ns:
            first_ns += random.randint(-self._ttft_spread_ns, self._ttft_spread_ns)
        if self.options.prefill_rate:
            first_ns += round((asked.prompt.tokens - told.cached) / self.options.prefill_rate * NS_PER_S)
        told.admitted_ns = at_ns
        self.tallies.queue.add((at_ns - told.arrived_ns) / NS_PER_S)
        timing = Timing(
            at_ns,
            first_ns,
            self._itl_ns,
            more_ns=self._slower_by if self._per_stream_ns else None,
            spread_ns=self._itl_spread_ns,
            random=random,
        )
        kind = reply.fault, asked.streaming
        if (style := self._styles.get(kind)) is None:
            style = self._styles[kind] = self._style(reply.fault, streaming=asked.streaming)
        answer = reply.answer or self.answer_of(reply)
        if asked.streaming:
            steps = streamed(answer, timing, Wire(self.worn, tight=answer.tight), style)
            if "split-segments" in self.worn:
                steps = split(steps, random)
            if "joined-events" in self.worn:
                steps = in_pairs(steps)
        else:
            steps = at_once(answer, timing, style, ticking=bool(self._per_stream_ns))
        if "cut-stream" in self.worn and asked.streaming:
            reply.ending = "cut"
        elif reply.fault in _HALF:
            reply.ending = _HALF[reply.fault]
        elif reply.fault == "close-keep-alive":
            reply.ending = "close"
        steps = framed(steps, reply.framing)
        if reply.fault == "drip":
            steps = dripping(steps)
        reply.begin(steps, self.deadlines)

    def _slower_by(self) -> int:
        return self._per_stream_ns * max(len(self.floor.running) - 1, 0)

    def _style(self, fault: str, *, streaming: bool) -> Style:
        worn = self.worn
        end = Wire(worn, tight=False)
        return Style(
            words=UNICODE_WORDS if "unicode" in worn else WORDS,
            tokens_a_chunk=2 if "two-tokens-a-chunk" in worn else 1,
            swallow="swallowed-tokens" in worn,
            reasoning=bool(worn & {"reasoning", "reasoning-content"}),
            tool="tool-calls-only" in worn,
            early_opening=bool(worn & {"role-only-empty", "role-only-null"}),
            early_extra="empty-choices" in worn,
            ping=end.comment(b" ping") if "ping-comments" in worn else end.comment(b""),
            ping_ns=_PING_NS if "ping-comments" in worn else _SLOW_PING_NS if "ping-comments-1s" in worn else 0,
            late_usage="late-usage" in worn,
            no_done="no-done" in worn,
            no_finish="no-finish" in worn,
            fails="error-in-stream" in worn,
            stop_half=fault in _HALF or ("cut-stream" in worn and streaming),
            malformed=fault == "malformed",
            huge=fault == "huge-line",
        )


class _Nowhere:
    """Takes answers and drops them."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.over = asyncio.Event()

    def send(self, data: bytes) -> None:
        pass

    def answered(self, ending: str) -> None:
        self._left -= 1
        if not self._left:
            self.over.set()


async def warmed_up(options: MockOptions, deadlines: Deadlines) -> None:
    """Answer a few requests of each dialect to nobody: what runs for the first time takes milliseconds."""
    own = tuple(word for word in options.dressings if word != "late-usage")
    serving = Serving(MockOptions(ttft_s=0.0, itl_s=0.0, family=options.family, dressings=own), deadlines)
    nowhere = _Nowhere(_WARM_ROUNDS * len(ANSWERS))
    for dialect in [*ANSWERS] * _WARM_ROUNDS:
        asked = MockRequest(
            dialect=dialect, prompt=Prompt(b"warm"), output_tokens=_WARM_TOKENS, limited=True, streaming=True
        )
        now_ns = monotonic_ns()
        reply = serving.reply(nowhere, asked, arrived_ns=now_ns, fault="", name="")
        serving.floor.arrive(reply, now_ns)
    await nowhere.over.wait()
    deadlines.longest_slice_ns = 0
