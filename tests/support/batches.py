"""Batches as a worker would have measured them, without a worker."""

from collections.abc import Sequence
from typing import Literal

from hypothesis import strategies as st

from infertui.measure.itl import summarise_gaps
from infertui.measure.records import BatchRecord, EngineMemory, Request

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
_NO_MEMORY = EngineMemory()


def batch(
    stamps_ns: Sequence[int],
    *,
    start_ns: int = 0,
    end_ns: int | None = None,
    tokens: Sequence[int] | None = None,
    prompt_tokens: int = 4,
    index: int = 0,
    phase: Literal["warmup", "measure"] = "measure",
    memory: EngineMemory = _NO_MEMORY,
    error: str = "",
) -> BatchRecord:
    """A batch with a token step at each stamp; one request for each entry of `tokens`."""
    counts = [len(stamps_ns)] if tokens is None else tokens
    last = stamps_ns[-1] if stamps_ns else None
    end = end_ns if end_ns is not None else start_ns if last is None else last
    return BatchRecord(
        phase=phase,
        index=index,
        start_ns=start_ns,
        first_ns=stamps_ns[0] if stamps_ns else None,
        last_ns=last,
        end_ns=end,
        itl=summarise_gaps(stamps_ns),
        requests=tuple(
            Request(
                f"prompt {n}",
                prompt_tokens,
                count,
                due_ns=start_ns,
                sent_ns=start_ns,
                end_ns=end,
                first_ns=stamps_ns[0] if stamps_ns else None,
                last_ns=last,
                error=error,
            )
            for n, count in enumerate(counts)
        ),
        memory=memory,
        error=error,
    )


def even_batch(seconds: float, *, tokens: int = 10, size: int = 1, index: int = 0, error: str = "") -> BatchRecord:
    """A batch of `size` requests whose `tokens` steps are evenly spread over its duration."""
    length = round(seconds * SECOND)
    stamps = [length * step // tokens for step in range(1, tokens + 1)]
    return batch(stamps, end_ns=length, tokens=[tokens] * size, index=index, error=error)


def stamps(*, min_size: int = 0, max_size: int = 40) -> st.SearchStrategy[list[int]]:
    """Token stamps of one batch: nanoseconds that never go back, at least one after zero."""
    gap = st.integers(0, 1000) | st.integers(0, 10 * SECOND) | st.just(5 * MILLISECOND)

    def accumulate(parts: tuple[int, list[int]]) -> list[int]:
        total, gaps = parts
        found = []
        for length in gaps:
            total += length
            found.append(total)
        return found

    return st.tuples(st.integers(0, 10**15), st.lists(gap, min_size=min_size, max_size=max_size)).map(accumulate)
