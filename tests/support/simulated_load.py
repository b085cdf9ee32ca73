"""Loads of which the truth is known: requests as a server with a known behaviour would have answered them."""

import heapq
import random
from collections.abc import Callable

from msgspec.structs import replace

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import summarise_gaps
from infertui.measure.records import Request


def ns(seconds: float) -> int:
    """Whole nanoseconds."""
    return round(seconds * NS_PER_S)


def answered(
    sent: float, ttft: float, tpot: float, tokens: int, *, due: float | None = None, gaps: bool = False, **more: object
) -> Request:
    """A request with tokens at even distances."""
    first = ns(sent + ttft)
    stamps = [first + ns(tpot * step) for step in range(tokens)]
    fields: dict[str, object] = {
        "prompt": "",
        "prompt_tokens": 100,
        "tokens": tokens,
        "due_ns": ns(sent if due is None else due),
        "sent_ns": ns(sent),
        "first_ns": first,
        "first_output_ns": first,
        "last_ns": stamps[-1],
        "end_ns": stamps[-1],
        "itl": summarise_gaps(stamps) if gaps else None,
        "counted": "server",
        "asked_tokens": tokens,
    }
    return Request(**{**fields, **more})  # type: ignore[arg-type]


def closed_loop(
    streams: int,
    seconds: float,
    times: Callable[[float, random.Random], tuple[float, float, int]],
    *,
    seed: int = 0,
    spread: float = 0.0,
    drain: bool = True,
    gaps: bool = False,
) -> list[Request]:
    """So many streams, each sending again at once, until `seconds`; `times` are TTFT, TPOT and tokens at a time.

    What is under way then is drained, or ended by the client.
    """
    rng = random.Random(seed)
    requests = []
    for stream in range(streams):
        at = spread * stream / streams
        while at < seconds:
            ttft, tpot, tokens = times(at, rng)
            one = answered(at, ttft, tpot, tokens, gaps=gaps)
            if one.end_ns > ns(seconds) and not drain:
                seen = max(0, min(tokens, int((seconds - at - ttft) / tpot) + 1)) if seconds > at + ttft else 0
                last = one.first_ns + ns(tpot * (seen - 1)) if seen else None  # type: ignore[operator]
                one = replace(
                    one,
                    end_ns=ns(seconds),
                    tokens=seen,
                    first_ns=one.first_ns if seen else None,
                    last_ns=last,
                    error="stopped",
                    error_kind="aborted",
                )
            requests.append(one)
            at = one.end_ns / NS_PER_S
    return requests


def queue(
    rate: float, servers: int, service: float, seconds: float, *, seed: int = 0, until: float = 0.0
) -> list[Request]:
    """M/M/c: Poisson arrivals, first come first served by so many, each for an exponential time with this mean.

    The wait in the queue is the TTFT.
    """
    rng = random.Random(seed)
    free = [0.0] * servers
    heapq.heapify(free)
    requests: list[Request] = []
    at = 0.0
    while True:
        at += rng.expovariate(rate)
        if at > seconds:
            return requests
        begin = max(at, heapq.heappop(free))
        took = rng.expovariate(1 / service)
        heapq.heappush(free, begin + took)
        requests.append(answered(at, begin - at + 1e-6, took / 9, 10))
