"""The plan of a load: a function of its description and a seed, made as it is executed."""

from collections.abc import Iterator, Sequence
from itertools import islice, repeat

from msgspec.structs import replace

from infertui.config.endpoint import LoadConfig
from infertui.config.schema import Config, WorkloadConfig
from infertui.load.arrivals import DueTimes, UnitArrivals
from infertui.load.lengths import INPUT, OUTPUT, PlannedLengths
from infertui.load.levels import levels_of
from infertui.load.plan import DEFAULT_LOAD_S, LoadPlan, PlannedRequest
from infertui.load.texts import Encode, MadeTexts, TokenScale
from infertui.load.traces import BLOCK_TOKENS, TracedRequest, read_trace


def sending_seconds(config: Config) -> float | None:
    """After how long no more requests are sent, whatever of a plan is left; None: the plan ends by itself.

    Raises ConfigError for steps that cannot be read.
    """
    load, limit = config.load, config.measurement.max_seconds
    bounds = [limit] if limit else []
    if load.steps and (end := levels_of(load).end) is not None:
        bounds.append(end)
    if not config.workload.num_prompts and not bounds and not load.trace:
        bounds.append(DEFAULT_LOAD_S)
    return min(bounds, default=None)


def load_seconds(config: Config) -> float | None:
    """For how long requests are sent, as far as a config tells: those of a rate come by chance, some later.

    Raises ConfigError for steps that cannot be read.
    """
    load, requests = config.load, config.workload.num_prompts
    bound = sending_seconds(config)
    expected = requests / load.request_rate if requests and load.request_rate else None
    return min((seconds for seconds in (bound, expected) if seconds is not None), default=None)


def plan_of(
    load: LoadConfig,
    workload: WorkloadConfig,
    prompts: Sequence[str] = (),
    *,
    salt: int = 0,
    scale: TokenScale | None = None,
    encode: Encode | None = None,
) -> LoadPlan:
    """The plan of requests that [load] and [workload] describe; `prompts` are the workload's, none for random ones.

    A trace is read here.

    `salt` tells apart the texts of plans that are otherwise equal, so that a server has none of them in its cache;
    arrivals and lengths stay. For `scale` and `encode` see `MadeTexts`. Raises ConfigError for what cannot be planned;
    what contradicts itself is refused by `checks.check_load`.
    """
    texts = MadeTexts(workload.seed, salt=salt, scale=scale, encode=encode)
    if load.trace:
        return TracePlan(read_trace(load.trace), workload, texts)
    return SeededPlan(load, workload, prompts, texts)


class SeededPlan:
    """A `LoadPlan` of made or given prompts. Requests of an open loop are due at their arrivals, others at None."""

    def __init__(
        self,
        load: LoadConfig,
        workload: WorkloadConfig,
        prompts: Sequence[str],
        texts: MadeTexts,
        arrivals: DueTimes | None = None,
    ) -> None:
        self._load, self._workload, self._prompts, self._texts = load, workload, prompts, texts
        if arrivals is None and load.request_rate:
            unit = UnitArrivals(load.arrival, load.burstiness, workload.seed)
            arrivals = DueTimes(unit, levels_of(load).scaled(1 / load.turns))
        self._arrivals = arrivals

        def lengths(mean: int, stream: int) -> PlannedLengths:
            return PlannedLengths(mean, load.lengths, load.length_spread, seed=workload.seed, stream=stream)

        self._inputs = lengths(workload.input_len, INPUT) if workload.input_len else None
        self._outputs = lengths(workload.output_len, OUTPUT)

    @property
    def count(self) -> int | None:
        return self._workload.num_prompts or None

    def requests(self, part: int = 0, parts: int = 1, first: int = 0) -> Iterator[PlannedRequest]:
        turns, count = self._load.turns, self.count
        start = first // turns
        start += (part - start) % parts
        dues = islice(self._arrivals.due(start), None, None, parts) if self._arrivals else repeat(None)
        for number, due in enumerate(dues):
            conversation = start + number * parts
            for turn in range(turns):
                index = conversation * turns + turn
                if count is not None and index >= count:
                    return
                if index >= first:
                    yield self._request(index, conversation, turn, due if turn == 0 else None)

    def adjusted(
        self,
        at: float,
        *,
        request_rate: float | None = None,
        input_len: int | None = None,
        output_len: int | None = None,
        shared_prefix: float | None = None,
    ) -> "SeededPlan":
        load, workload, arrivals = self._load, self._workload, self._arrivals
        if request_rate is not None and arrivals:
            arrivals = arrivals.changed(at, request_rate / load.turns)
        if shared_prefix is not None:
            load = replace(load, shared_prefix=shared_prefix)
        workload = replace(
            workload,
            input_len=workload.input_len if input_len is None else input_len,
            output_len=workload.output_len if output_len is None else output_len,
        )
        return SeededPlan(load, workload, self._prompts, self._texts, arrivals)

    def _request(self, index: int, conversation: int, turn: int, due: float | None) -> PlannedRequest:
        tokens = None if self._inputs is None else self._inputs.at(index)
        talks = self._load.turns > 1
        return PlannedRequest(
            index=index,
            prompt=self._prompt(index, tokens, 0.0 if turn else self._load.shared_prefix),
            due=due,
            prompt_tokens=None if turn else tokens,
            output_tokens=self._outputs.at(index),
            conversation=conversation if talks else None,
            turn=turn,
            previous=index - 1 if turn else None,
        )

    def _prompt(self, index: int, tokens: int | None, shared: float) -> str:
        if not self._prompts:
            assert tokens is not None  # noqa: S101 (refused by check_load)
            return self._texts.unique(index, tokens, shared)
        prompt = self._prompts[index % len(self._prompts)]
        return prompt if tokens is None else self._texts.of_prompt(prompt, index, tokens, shared)


class TracePlan:
    """A `LoadPlan` that repeats a trace. Nothing of it can be adjusted."""

    def __init__(self, trace: Sequence[TracedRequest], workload: WorkloadConfig, texts: MadeTexts) -> None:
        self._trace, self._workload, self._texts = trace, workload, texts

    @property
    def count(self) -> int:
        return min(len(self._trace), self._workload.num_prompts or len(self._trace))

    def requests(self, part: int = 0, parts: int = 1, first: int = 0) -> Iterator[PlannedRequest]:
        return map(self._request, range(first + (part - first) % parts, self.count, parts))

    def adjusted(
        self,
        at: float,
        *,
        request_rate: float | None = None,
        input_len: int | None = None,
        output_len: int | None = None,
        shared_prefix: float | None = None,
    ) -> "TracePlan":
        return self

    def _request(self, index: int) -> PlannedRequest:
        traced = self._trace[index]
        prompt, tokens = traced.prompt, traced.prompt_tokens
        if prompt is None:
            assert tokens is not None  # noqa: S101 (refused when it was read)
            prompt = self._texts.blocks(traced.blocks, BLOCK_TOKENS, tokens, index)
        return PlannedRequest(
            index=index,
            prompt=prompt,
            due=traced.at,
            prompt_tokens=tokens,
            output_tokens=traced.output_tokens or self._workload.output_len,
        )
