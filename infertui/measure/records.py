"""What a request of a measurement is, and a batch of them."""

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from infertui.integers import Whole
from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import Gaps

Phase = Literal["spawn", "load", "compile", "capture", "probe", "warmup", "measure", "score"]
"""What a run goes through, in this order.

Only what an engine does apart has its `compile` and `capture`, and only what is scored for quality its `score`. An
endpoint is looked at in `probe`, and has no `spawn` and `load` but where its server is started here.
"""
Activity = Literal[Phase, "prepare", "idle"]
"""What a worker is at."""


class EngineMemory(Struct, frozen=True):
    """What the worker knows of its memory, in bytes; None is not available.

    `allocated_peak` is the most that live tensors took, `reserved_peak` the most that the allocator held from the
    device for them; `resident_peak` is the peak resident set on the host of the worker and of the processes that its
    engine generates in, added up: what they share counts in each. Of an engine alone it is that of those processes.
    """

    allocated_peak: Whole | None = None
    reserved_peak: Whole | None = None
    resident_peak: Whole | None = None


class Request(Struct, frozen=True, omit_defaults=True):
    """One prompt and its answer: the atom of all figures. Stamps are monotonic nanoseconds; None: there was none.

    The plan wanted it sent at `due_ns`, and it was at `sent_ns`: of a static batch both are when that was handed to the
    engine. `first_byte_ns` is when an answer over a connection began, `first_ns` and `last_ns` are its first and last
    token, and at `end_ns` it was over, of an engine with the device synchronised. `itl` holds the gaps between its
    steps, where they are not those that all of its batch share. `prompt_tokens` and `tokens` were counted, of what
    `asked_prompt_tokens` and `asked_tokens` wanted; None is whatever comes. `error` says why it failed; empty: it did
    not. `output` holds the generated ids where they were read, and `prompt_sha256` then tells the prompt.

    Of a server: `error_kind` is the class of its failure, a word of `targets.endpoint.dialect.ErrorKind`;
    `first_output_ns` is the first token that is not reasoning; `cached_tokens` are those of the prompt that it had
    cached, `reasoning_tokens` are among `tokens`. Who counted `tokens` is told by `counted`, and `local_tokens` is how
    many a tokenizer here makes of the text. `server` holds its own timings in seconds, see `ServerAnswer.server`. For
    `connect_ns` between due and sent it waited for a connection, as where the server had closed the one that was kept.
    """

    prompt: str
    prompt_tokens: int
    tokens: int
    due_ns: int
    sent_ns: int
    end_ns: int
    first_ns: int | None = None
    last_ns: int | None = None
    itl: Gaps | None = None
    error: str = ""
    asked_prompt_tokens: int | None = None
    asked_tokens: int | None = None
    first_byte_ns: int | None = None
    output: tuple[int, ...] = ()
    prompt_sha256: str = ""
    error_kind: str = ""
    first_output_ns: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    counted: str = ""
    local_tokens: int | None = None
    server: dict[str, float] = {}
    connect_ns: int | None = None

    @property
    def ttft(self) -> float | None:
        """Seconds from sending it to its first token."""
        return None if self.first_ns is None else (self.first_ns - self.sent_ns) / NS_PER_S

    @property
    def latency(self) -> float | None:
        """E2E: seconds from sending it to its last token."""
        return None if self.last_ns is None else (self.last_ns - self.sent_ns) / NS_PER_S

    @property
    def tps(self) -> float | None:
        """Tokens a second of its E2E latency."""
        return self.tokens / self.latency if self.latency else None


class BatchRecord(Struct, frozen=True):
    """Requests that were handed to an engine together, as the worker measured them. Stamps are monotonic nanoseconds.

    The batch was handed to the engine at `start_ns`; `first_ns` and `last_ns` are its first and last token step, of
    whichever sequence; at `end_ns` the engine had returned and the device was synchronised. `itl` holds the gaps
    between the steps, which all sequences of a static batch share; of sequences that an engine schedules by itself, and
    that so have `own_times`, all their gaps.
    `stretches_ns` are the times of its parts, of equally many steps one after the other, from start to end; none where
    there were too few steps. `client_ns` is how much of start to end infertui's own calls were seen to take between the
    steps, each from the stamp that it takes to its end; None is not known.
    """

    phase: Literal["warmup", "measure"]
    index: int
    start_ns: int
    first_ns: int | None
    last_ns: int | None
    end_ns: int
    itl: Gaps | None
    requests: tuple[Request, ...]
    memory: EngineMemory
    error: str = ""
    own_times: bool = False
    client_ns: int | None = None
    stretches_ns: tuple[int, ...] = ()

    @property
    def seconds(self) -> float:
        """Wall time of the whole batch, from handing it over to the synchronised end."""
        return (self.end_ns - self.start_ns) / NS_PER_S

    @property
    def tokens(self) -> int:
        """Tokens generated by all sequences of the batch."""
        return sum(request.tokens for request in self.requests)

    @property
    def ttft(self) -> float | None:
        """Seconds from handing the batch over to its first token."""
        return None if self.first_ns is None else (self.first_ns - self.start_ns) / NS_PER_S

    @property
    def latency(self) -> float | None:
        """E2E: seconds from handing the batch over to its last token."""
        return None if self.last_ns is None else (self.last_ns - self.start_ns) / NS_PER_S

    @property
    def tpot(self) -> float | None:
        """Seconds per output token after the first step: (last - first) / (n - those of the first step).

        Over sequences with times of their own: the time of all of them, over the tokens of all of them.
        """
        return None if self.itl is None else self.itl.per_token

    def gaps(self, request: Request) -> Gaps | None:
        """Those of one of the requests: its own, or those that it shares with the whole batch."""
        return request.itl if self.own_times else self.itl

    def tpot_of(self, request: Request) -> float | None:
        """The same of one of the requests."""
        gaps = self.gaps(request)
        return None if gaps is None else gaps.per_token


def slim(batch: BatchRecord) -> BatchRecord:
    """As figures need it, to be kept by the million: without texts, and stamps that are shared in memory once."""

    stamps = {stamp: stamp for stamp in (batch.start_ns, batch.first_ns, batch.last_ns, batch.end_ns)}
    requests = tuple(
        replace(
            request,
            prompt="",
            due_ns=stamps.get(request.due_ns) or request.due_ns,
            sent_ns=stamps.get(request.sent_ns) or request.sent_ns,
            end_ns=stamps.get(request.end_ns) or request.end_ns,
            first_ns=stamps.get(request.first_ns, request.first_ns),
            last_ns=stamps.get(request.last_ns, request.last_ns),
        )
        for request in batch.requests
    )
    return replace(batch, requests=requests)


class RequestRecord(Struct, frozen=True):
    """A line of requests.jsonl. Times in seconds, memory in MiB; None is not available, never zero.

    `prompt, latency, tokens, memory_mb, power_w, tps` are the simple six-field form of the field. From the start of
    measuring on count `start`, when it was sent, `due`, when the plan wanted that, and `first_byte` and `end`. `ttft`
    and `latency` count from when it was sent. `batch` is the index of the batch that it was part of, None of none;
    `energy_j` is its equal share of the batch's energy and `power_w` the mean power of the device (or CPU package)
    meanwhile. `batch_seconds` is the batch's wall time, up to its synchronised end. A request that failed has an
    `error` and no latency. `prompt_tokens` is None in what was imported without it. Without `own_times` the times are
    those of the batch, which all its requests share. `stretches` are those of the batch, see `BatchRecord`, with its
    first request alone. `last` is when the last token came of one without a latency. For `connect` between due and
    start it waited for a connection. Lines of earlier
    versions have no `due`, and none of what stands after it.
    """

    prompt: str
    prompt_tokens: Whole | None
    tokens: Whole
    latency: float | None
    ttft: float | None
    tpot: float | None
    itl: Gaps | None
    tps: float | None
    memory_mb: float | None
    power_w: float | None
    energy_j: float | None
    start: float
    batch: Whole | None
    error: str = ""
    batch_seconds: float | None = None
    own_times: bool = False
    stretches: tuple[float, ...] = ()
    due: float | None = None
    end: float | None = None
    first_byte: float | None = None
    asked_prompt_tokens: Whole | None = None
    asked_tokens: Whole | None = None
    error_kind: str = ""
    first_output: float | None = None
    cached_tokens: Whole | None = None
    reasoning_tokens: Whole | None = None
    counted: str = ""
    local_tokens: Whole | None = None
    server: dict[str, float] = {}
    last: float | None = None
    connect: float | None = None


def request_record(request: Request, *, origin_ns: int) -> RequestRecord:
    """The line of a request that was part of no batch."""

    def since(stamp_ns: int | None) -> float | None:
        return None if stamp_ns is None else (stamp_ns - origin_ns) / NS_PER_S

    failed = bool(request.error)
    # An answer at once tells of no tokens' times: it is there when it has come.
    ended = request if request.last_ns is not None else replace(request, last_ns=request.end_ns)
    return RequestRecord(
        prompt=request.prompt,
        prompt_tokens=request.prompt_tokens,
        tokens=request.tokens,
        latency=None if failed else ended.latency,
        ttft=request.ttft,
        tpot=None if request.itl is None else request.itl.per_token,
        itl=request.itl,
        tps=None if failed else ended.tps,
        memory_mb=None,
        power_w=None,
        energy_j=None,
        start=(request.sent_ns - origin_ns) / NS_PER_S,
        batch=None,
        error=request.error,
        own_times=True,
        due=since(request.due_ns),
        end=since(request.end_ns),
        first_byte=since(request.first_byte_ns),
        asked_prompt_tokens=request.asked_prompt_tokens,
        asked_tokens=request.asked_tokens,
        error_kind=request.error_kind,
        first_output=since(request.first_output_ns),
        cached_tokens=request.cached_tokens,
        reasoning_tokens=request.reasoning_tokens,
        counted=request.counted,
        local_tokens=request.local_tokens,
        server=request.server,
        last=since(request.last_ns) if failed else None,
        connect=None if request.connect_ns is None else request.connect_ns / NS_PER_S,
    )


def request_of(record: RequestRecord) -> Request:
    """The request that such a line tells of, without its text; its stamps count from the start of measuring."""

    def at(seconds: float | None) -> int | None:
        return None if seconds is None else round(seconds * NS_PER_S)

    start = record.start
    sent_ns = round(start * NS_PER_S)
    return Request(
        prompt="",
        prompt_tokens=record.prompt_tokens or 0,
        tokens=record.tokens,
        due_ns=round((start if record.due is None else record.due) * NS_PER_S),
        sent_ns=sent_ns,
        end_ns=round((start if record.end is None else record.end) * NS_PER_S),
        first_ns=None if record.ttft is None else sent_ns + round(record.ttft * NS_PER_S),
        last_ns=at(record.last) if record.latency is None else sent_ns + round(record.latency * NS_PER_S),
        itl=record.itl,
        error=record.error,
        asked_prompt_tokens=record.asked_prompt_tokens,
        asked_tokens=record.asked_tokens,
        first_byte_ns=at(record.first_byte),
        error_kind=record.error_kind,
        first_output_ns=at(record.first_output),
        cached_tokens=record.cached_tokens,
        reasoning_tokens=record.reasoning_tokens,
        counted=record.counted,
        local_tokens=record.local_tokens,
        server=record.server,
        connect_ns=at(record.connect),
    )


def request_records(
    batch: BatchRecord, *, origin_ns: int, power_w: float | None, energy_j: float | None
) -> list[RequestRecord]:
    """The request lines of a batch. `energy_j` is the whole batch's; `origin_ns` is when measuring began."""
    memory = batch.memory.allocated_peak if batch.memory.allocated_peak is not None else batch.memory.resident_peak

    stretches = tuple(length / NS_PER_S for length in batch.stretches_ns)

    def record(number: int, request: Request) -> RequestRecord:
        failed = bool(request.error)
        return replace(
            request_record(request, origin_ns=origin_ns),
            latency=None if failed else request.latency,
            tpot=batch.tpot_of(request),
            itl=batch.gaps(request),
            tps=None if failed else request.tps,
            memory_mb=None if memory is None else round(memory / 2**20, 3),
            power_w=power_w,
            energy_j=None if energy_j is None else energy_j / len(batch.requests),
            batch=batch.index,
            batch_seconds=batch.seconds,
            own_times=batch.own_times,
            stretches=() if number else stretches,
        )

    return [record(number, request) for number, request in enumerate(batch.requests)]


class InBatch(Protocol):
    """What a line of requests.jsonl tells of its batch, read whole or in part."""

    @property
    def batch(self) -> int | None:
        """Its index; None: the request was part of none."""


RequestLine = TypeVar("RequestLine", bound=InBatch)


def grouped(lines: Iterable[RequestLine]) -> Iterator[list[RequestLine]]:
    """The requests of each batch, in a row as they are kept; one that was part of none is by itself."""
    group: list[RequestLine] = []
    for line in lines:
        if group and (line.batch is None or line.batch != group[0].batch):
            yield group
            group = []
        group.append(line)
    if group:
        yield group
