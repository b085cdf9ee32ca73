"""TensorRT-LLM's own account of a request, beside ours. Pure.

Its time points are of a steady clock of its own, as seconds or as timedelta by version: only differences count.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from msgspec import Struct


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
