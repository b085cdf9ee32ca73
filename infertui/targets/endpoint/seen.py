"""What a server's own page said over a load: before it, meanwhile and after it."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from infertui.integers import Whole
from infertui.targets.endpoint.scrape import ServerFigures, ServerScrape, between


class ServerSeen(Struct, frozen=True):
    """Of so many `pages`. Requests running and waiting, and the share of the KV cache in use, over the pages that were
    read while the load was on; `counted` is what its counters gained from the first page to the last. None is what it
    does not tell.
    """

    pages: Whole
    running_mean: float | None = None
    running_max: float | None = None
    waiting_mean: float | None = None
    waiting_max: float | None = None
    kv_usage_mean: float | None = None
    kv_usage_max: float | None = None
    counted: ServerFigures | None = None


def seen(pages: Sequence[ServerScrape], start_ns: int, end_ns: int) -> ServerSeen | None:
    """Of pages in the order of their times; the load was on from `start_ns` to `end_ns`. None without any page."""
    if not pages:
        return None
    inside = [page for page in pages if start_ns <= page.t_ns <= end_ns]
    running = _known(page.running for page in inside)
    waiting = _known(page.waiting for page in inside)
    usage = _known(page.kv_usage for page in inside)
    return ServerSeen(
        pages=len(pages),
        running_mean=_mean(running),
        running_max=max(running, default=None),
        waiting_mean=_mean(waiting),
        waiting_max=max(waiting, default=None),
        kv_usage_mean=_mean(usage),
        kv_usage_max=max(usage, default=None),
        counted=between(pages[0], pages[-1]) if len(pages) > 1 else None,
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
