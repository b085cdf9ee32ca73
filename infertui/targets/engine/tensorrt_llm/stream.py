"""Driving TensorRT-LLM's asynchronous requests and telling when their tokens come.

All batches, warm-up included, run on one event loop: the library binds queues to the first loop that it meets.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from infertui.errors import EngineError
from infertui.targets.engine.base import Sink
from infertui.text import clean, shorten

STOP_S = 0.6
"""How long requests that were aborted may take to end; the runner kills a worker that has not stopped in a second."""


class Stream:
    """Runs batches on a loop of its own. After a batch that could not be stopped it refuses further ones."""

    def __init__(self, submit: Callable[[Sequence[int], Any], Any]) -> None:
        """`submit(prompt, sampling)` starts a streaming request of the library."""
        self._submit = submit
        self._loop = asyncio.new_event_loop()
        self._stuck = False

    def run(self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any], sink: Sink) -> list["Answer"]:
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

    async def _all(self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any], sink: Sink) -> list["Answer"]:
        answers: list[Answer] = []
        stop = asyncio.Event()
        try:
            for index, (prompt, choice) in enumerate(zip(prompts, sampling, strict=True)):
                answers.append(Answer(index, self._submit(prompt, choice)))
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

    async def _abort(self, answers: Sequence["Answer"], tasks: Sequence["asyncio.Future[None]"]) -> None:
        for answer in answers:
            answer.abort()
        if not tasks:
            return
        _, running = await asyncio.wait(tasks, timeout=STOP_S)
        for task in running:
            task.cancel()
        self._stuck = bool(running)
        await asyncio.gather(*tasks, return_exceptions=True)


class Answer:
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
    return EngineError(f"TensorRT-LLM refuses the batch: {_text(error)}")


def _failed(error: Exception) -> Exception:
    if "out of memory" in str(error).lower():
        return error  # the worker tells it with its figures
    return EngineError(f"TensorRT-LLM failed while generating: {_text(error)}", remedy="worker.log has more.")


def _text(error: Exception) -> str:
    return shorten(clean(str(error)), 600) or type(error).__name__
