"""Driving TensorRT-LLM's asynchronous requests and telling when their tokens come.

All batches, warm-up included, run on one event loop: the library binds queues to the first loop that it meets. The
model lives in processes of the library's own, whose objects cannot be looked at. Their log can: which KV pool they
allocated, which CUDA graphs they captured, what the weights took. The library's own account of a request stands beside
ours; its time points are of a steady clock of its own, so only differences count.
"""

import asyncio
import os
import re
import stat
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from infertui.errors import EngineError
from infertui.targets.engine.base import Sink
from infertui.text import error_text

STOP_S = 0.6
"""How long requests that were aborted may take to end; the runner kills a worker that has not stopped in a second."""


class BatchStream:
    """Runs batches on a loop of its own. After a batch that could not be stopped it refuses further ones."""

    def __init__(self, submit: Callable[[Sequence[int], Any], Any]) -> None:
        """`submit(prompt, sampling)` starts a streaming request of the library."""
        self._submit = submit
        self._loop = asyncio.new_event_loop()
        self._stuck = False

    def run(self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any], sink: Sink) -> list["PendingRequest"]:
        """Generate for all prompts at once; what came, in their order.

        Whatever the sink raises ends the batch: its requests are aborted, and it is raised again. Raises EngineError
        for what the library raises.
        """
        if self._stuck:
            raise EngineError("TensorRT-LLM did not stop an earlier batch", remedy="Start a fresh process.")
        return self._loop.run_until_complete(self._all(prompts, sampling, sink))

    def close(self) -> None:
        """Close the loop."""
        if not self._loop.is_closed():
            self._loop.close()

    async def _all(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any], sink: Sink
    ) -> list["PendingRequest"]:
        answers: list[PendingRequest] = []
        stop = asyncio.Event()
        try:
            for index, (prompt, choice) in enumerate(zip(prompts, sampling, strict=True)):
                answers.append(PendingRequest(index, self._submit(prompt, choice)))
        except Exception as error:
            await self._abort(answers, [asyncio.ensure_future(answer.drain()) for answer in answers])
            raise _refused(error) from error
        readers = [asyncio.ensure_future(answer.read(sink, stop)) for answer in answers]
        stopped = asyncio.ensure_future(stop.wait())
        try:
            first: list[asyncio.Future[Any]] = [stopped, asyncio.gather(*readers)]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                return answers
            await self._abort(answers, readers)
        finally:
            stopped.cancel()
        failure = next(answer.failure for answer in answers if answer.failure is not None)
        if isinstance(failure, Exception) and not isinstance(failure, EngineError | MemoryError):
            told = _failed(failure)
            raise told from (failure if told is not failure else None)
        raise failure

    async def _abort(self, answers: Sequence["PendingRequest"], tasks: Sequence["asyncio.Future[None]"]) -> None:
        for answer in answers:
            answer.abort()
        if not tasks:
            return
        _, running = await asyncio.wait(tasks, timeout=STOP_S)
        for task in running:
            task.cancel()
        self._stuck = bool(running)
        await asyncio.gather(*tasks, return_exceptions=True)


class PendingRequest:
    """One request under way, and afterwards what it came to. `output` is the library's object."""

    def __init__(self, index: int, output: Any) -> None:
        self.output = output
        self.count = 0
        self.failure: BaseException | None = None
        self._index = index
        self._chunks: list[int] | None = None
        self._first: tuple[int, ...] = ()

    async def read(self, sink: Sink, stop: asyncio.Event) -> None:
        """Tell the sink of every token as it comes. After a stop what still comes is read and not told."""
        try:
            async for _ in self.output:
                if stop.is_set():
                    continue
                if gained := self._gained():
                    sink.gained(self._index, gained)
        except asyncio.CancelledError:
            raise
        except BaseException as failure:  # noqa: BLE001 (a sink stops a batch by raising what it likes)
            already = stop.is_set()
            if not already:
                self.failure = failure
            stop.set()
            if not already:
                await self.drain()

    async def drain(self) -> None:
        """Read to the end without telling anyone."""
        try:
            async for _ in self.output:
                pass
        except Exception:  # noqa: BLE001 (an aborted request may end as it likes)
            return

    def abort(self) -> None:
        """Ask the library to end the request, where it has not ended."""
        if not getattr(self.output, "finished", False):
            self.output.abort()

    def _gained(self) -> int:
        """Tokens that came with this response. Their list holds all so far; should a version give only the new ones,
        they are kept here."""
        completion = self.output.outputs[0]
        ids = completion.token_ids
        new = getattr(completion, "token_ids_diff", None)
        if self._chunks is None and (len(ids) < self.count or (new and len(ids) < self.count + len(new))):
            self._chunks = list(self._first)
        if self._chunks is not None:
            fresh = list(ids if new is None else new)
            self._chunks += fresh
            self.count += len(fresh)
            return len(fresh)
        gained = len(ids) - self.count
        self.count = len(ids)
        if self.count == gained:
            self._first = tuple(ids)
        return gained

    def ids(self) -> list[int]:
        """The token ids, once it is over."""
        return list(self.output.outputs[0].token_ids) if self._chunks is None else self._chunks


def _refused(error: Exception) -> EngineError:
    return EngineError(f"TensorRT-LLM refuses the batch: {error_text(error, 600)}")


def _failed(error: Exception) -> Exception:
    if "out of memory" in str(error).lower():
        return error  # the worker tells it with its figures
    return EngineError(f"TensorRT-LLM failed while generating: {error_text(error, 600)}", remedy="worker.log has more.")


_GIB = 1 << 30
_MOST_BYTES = 16 << 20

_KV_POOL = re.compile(r"Allocated ([\d.]+) GiB for max tokens in paged KV cache \((\d+)\)")
_GRAPH = re.compile(r"CUDA graph warmup for batch size=(\d+)")
_WEIGHTS = re.compile(r"Memory used after loading model weights \(inside torch\)[^:]*: ([\d.]+) GiB")
_BACKEND = re.compile(r"Using LLM with (\w+) backend")
_FEATURES = re.compile(r"AttentionRuntimeFeatures\(chunked_prefill=(\w+), cache_reuse=(\w+)")
_LIMITS = re.compile(r"max_seq_len=(\d+), max_num_requests=(\d+), max_num_tokens=(\d+), max_batch_size=(\d+)")
_BLOCK = re.compile(r"Number of tokens per block: (\d+)")
_SAMPLER = re.compile(r"Using Sampler: (\w+)")
_OVERLAP_OFF = re.compile(r"[Dd]isabl\w+ (?:the )?overlap scheduler[^\n]*")
_INFO = re.compile(r"\[TRT-LLM\] (?:\[RANK \d+\] )?\[I\]")


class StartupLog(Struct, frozen=True):
    """What was said. None or empty is not said. `talks` tells that messages of the level INFO are there at all.

    `kv_bytes` and `kv_tokens` are the KV pool, `graphs` the batch sizes whose CUDA graphs were captured,
    `weight_bytes` what the weights took of one GPU, to 10 MiB.
    """

    talks: bool = False
    backend: str = ""
    kv_bytes: int | None = None
    kv_tokens: int | None = None
    tokens_per_block: int | None = None
    graphs: tuple[int, ...] = ()
    weight_bytes: int | None = None
    chunked_prefill: bool | None = None
    block_reuse: bool | None = None
    max_batch_size: int | None = None
    max_num_tokens: int | None = None
    sampler: str = ""
    overlap_off: str = ""


def parse(text: str) -> StartupLog:
    """Read the log of a start. The last word counts: the KV pool is made twice, small for profiling and then for good.

    Graphs captured for the profiling pool are gone with it.
    """
    pools = list(_KV_POOL.finditer(text))
    final = text[pools[-1].start() :] if pools else text
    features, limits = _last(_FEATURES, text), _last(_LIMITS, text)
    weights, block = _last(_WEIGHTS, text), _last(_BLOCK, text)
    backend, sampler, overlap = _last(_BACKEND, text), _last(_SAMPLER, text), _last(_OVERLAP_OFF, text)
    return StartupLog(
        # The line that names the backend is printed at any level: it does not tell that the others would be.
        talks=any(_INFO.search(line) and not _BACKEND.search(line) for line in text.splitlines()),
        backend=backend[1].lower() if backend else "",
        kv_bytes=round(float(pools[-1][1]) * _GIB) if pools else None,
        kv_tokens=int(pools[-1][2]) if pools else None,
        tokens_per_block=int(block[1]) if block else None,
        graphs=tuple(sorted({int(match[1]) for match in _GRAPH.finditer(final)})),
        weight_bytes=round(float(weights[1]) * _GIB) if weights else None,
        chunked_prefill=features[1] == "True" if features else None,
        block_reuse=features[2] == "True" if features else None,
        max_batch_size=int(limits[4]) if limits else None,
        max_num_tokens=int(limits[3]) if limits else None,
        sampler=sampler[1] if sampler else "",
        overlap_off=overlap[0].strip() if overlap else "",
    )


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007 (the last is wanted)
        pass
    return found


class OwnOutput:
    """The file that our standard output goes to, from here on. A terminal or a pipe cannot be read back."""

    def __init__(self) -> None:
        self._path = Path("/proc/self/fd/1")
        self._start = self._size()

    def text(self) -> str:
        """What was written since; empty where it cannot be read."""
        if self._start is None:
            return ""
        try:
            with self._path.open("rb") as log:
                log.seek(self._start)
                return log.read(_MOST_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def _size(self) -> int | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 (follows to the open file, deleted or not)
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None


class Own(Struct, frozen=True):
    """Sums over the requests of a batch: microseconds, tokens and blocks. `timed` requests had times at all."""

    requests: int = 0
    timed: int = 0
    ttft_us: int = 0
    decode_us: int = 0
    cached_tokens: int = 0
    reused_blocks: int = 0
    iterations: int = 0
    drafted: int = 0
    accepted: int = 0

    def plus(self, other: "Own") -> "Own":
        """Both together."""
        return Own(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


def of_batch(outputs: Sequence[Any], counts: Sequence[int], draft_tokens: int) -> Own:
    """Add up what the library's outputs tell. `draft_tokens` is how many are drafted at a time; 0: none.

    Drafts are the library's own count where it has one; else, as trtllm-bench does it, a full draft in every
    iteration, with every token beyond one an iteration as accepted.
    """
    total = Own()
    for output, count in zip(outputs, counts, strict=True):
        total = total.plus(_of_request(output, count, draft_tokens))
    return total


def _of_request(output: Any, count: int, draft_tokens: int) -> Own:
    metrics = getattr(output.outputs[0], "request_perf_metrics", None)
    timing = getattr(metrics, "timing_metrics", None)
    arrival, first, last = (
        _us(getattr(timing, name, None)) for name in ("arrival_time", "first_token_time", "last_token_time")
    )
    timed = arrival is not None and first is not None and last is not None and 0 <= arrival <= first <= last
    kv = getattr(metrics, "kv_cache_metrics", None)
    last_iteration = getattr(output, "decoding_iter", None)
    iterations = last_iteration + 1 if isinstance(last_iteration, int) else 0
    drafted, accepted = _drafts(getattr(metrics, "speculative_decoding", None))
    if draft_tokens and not drafted and iterations:
        drafted, accepted = draft_tokens * iterations, max(0, count - iterations)
    return Own(
        requests=1,
        timed=int(timed),
        ttft_us=round(first - arrival) if timed and first is not None and arrival is not None else 0,
        decode_us=round(last - first) if timed and last is not None and first is not None else 0,
        cached_tokens=_count(getattr(output, "cached_tokens", 0)),
        reused_blocks=_count(getattr(kv, "num_reused_blocks", 0)),
        iterations=iterations,
        drafted=drafted if draft_tokens else 0,
        accepted=accepted if draft_tokens else 0,
    )


def _drafts(speculation: Any) -> tuple[int, int]:
    drafted = _count(getattr(speculation, "total_draft_tokens", 0))
    return drafted, _count(getattr(speculation, "total_accepted_draft_tokens", 0))


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _us(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value / timedelta(microseconds=1)
    return value * 1e6 if isinstance(value, int | float) else None
