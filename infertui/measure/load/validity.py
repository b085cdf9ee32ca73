"""Whether the figures of a load may be believed: whether the client, or something else, was measured beside the server.

The thresholds are shares of 1, the first worth a word, the second against a run.
"""

import math
from collections.abc import Iterable

from infertui.measure.load.figures import LoadFigures
from infertui.measure.load.summary import AskedLoad
from infertui.measure.summary import Summary
from infertui.measure.validity import Reason, Verdict, percent, verdict_of

LATE = (0.01, 0.05)
"""Time from due to sent (p99) over the median TTFT, or E2E latency where there is none."""
NOT_REACHED = (0.03, 0.10)
"""Of the asked concurrency or rate."""
OTHER_ARRIVALS = (0.2, 0.5)
"""Difference of the coefficients of variation of the times between requests."""
BUSY = (0.7, 0.9)
"""Of one core, of a client process."""
STALLED_S = (0.02, 0.1)
STALLED_SHARE = 0.005
"""Of the window: a stall that so large a share of requests can have felt shows in their p99."""
OTHER_LENGTHS = (0.01, 0.05)
FAILED = (0.001, 0.01)
CACHED = (0.01, 0.1)
OTHER_COUNT = 0.01
LITTLE = 0.1
"""From where requests are missing among those that are known, or counted twice."""
_HUNDRED = 100
_SURE = 3.0
"""Standard errors by which a rate has to be off."""


def judge_load(summary: Summary, load: LoadFigures, asked: AskedLoad) -> Verdict:
    """By the figures of its window alone."""
    found = [
        *_completeness(summary, load, asked),
        *_client(summary, load, asked),
        *_level(load, asked),
        *_steadiness(load),
        *_remarks(load, asked),
    ]
    return verdict_of(found)


def _completeness(summary: Summary, load: LoadFigures, asked: AskedLoad) -> Iterable[Reason]:
    """Whether requests were answered, and as they were asked to be."""
    if not summary.requests:
        yield Reason("nothing was measured: no request ended", "", against=True)
        return
    if load.error_rate and load.error_rate > FAILED[0]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in load.errors.items())
        text = f"{percent(load.error_rate)} of the requests failed: {kinds}"
        yield Reason(text, "failures", against=load.error_rate > FAILED[1])
    if load.failed_later:
        later, sent = sum(load.failed_later.values()), max(load.sent, 1)
        kinds = ", ".join(f"{count} {kind}" for kind, count in load.failed_later.items())
        text = f"of the requests under way when the window ended {later} failed: {kinds}"
        yield Reason(text, "failures", against=later / sent > FAILED[1])
    if load.other_lengths and load.other_lengths > OTHER_LENGTHS[0]:
        text = f"{percent(load.other_lengths)} of the requests had another number of tokens than was asked for"
        yield Reason(text, "lengths", against=asked.exact_lengths and load.other_lengths > OTHER_LENGTHS[1])
    if asked.fresh_prompts and load.cached_share:
        own = load.cached_share - _around(summary, asked)
        if own > CACHED[0]:
            share = percent(load.cached_share)
            text = f"{share} of the prompt tokens were cached, though no prompts had so much in common"
            yield Reason(text, "cached", against=own > CACHED[1])


def _around(summary: Summary, asked: AskedLoad) -> float:
    """The share of the prompt tokens that the server itself puts around prompts, in all alike: those may be cached."""
    if not summary.prompt_tokens or not summary.requests:
        return 0.0
    return asked.around_tokens * (summary.requests - (summary.failed or 0)) / summary.prompt_tokens


def _client(summary: Summary, load: LoadFigures, asked: AskedLoad) -> Iterable[Reason]:
    """Whether what was measured is the client."""
    client = load.client
    if client is None:
        return
    shortest, name = (summary.ttft, "TTFT") if summary.ttft else (summary.latency, "E2E latency")
    usual = shortest.median if shortest else None
    waits = asked.rate is not None and asked.concurrency is not None
    if client.late_p99 is not None and usual and client.late_p99 > LATE[0] * usual:
        share = client.late_p99 / usual
        who = "1 of 100 requests was" if load.sent >= _HUNDRED else "the latest request was"
        late = "late or later" if load.sent >= _HUNDRED else "late"
        much = f"{who} sent {_ms(client.late_p99)} {late}, {percent(share)} of the median {name}"
        if waits:
            yield Reason(f"{much}: they waited until fewer than {asked.concurrency} were in flight", "late")
        else:
            yield Reason(f"the client was measured: {much}", "client", against=share > LATE[1])
    if client.connect_p99 is not None and usual and client.connect_p99 > LATE[0] * usual:
        who = "1 of 100 requests" if load.sent >= _HUNDRED else "a request"
        more = " or more" if load.sent >= _HUNDRED else ""
        text = f"{who} waited {_ms(client.connect_p99)}{more} for a connection, which is part of no {name} but from due"
        closed = f": the server closed {client.retried} kept ones as requests came" if client.retried else ""
        yield Reason(text + closed)
    if client.cpu is not None and client.cpu > BUSY[0]:
        text = f"the client was measured: one of its processes used {percent(client.cpu)} of a core"
        yield Reason(text, "client", against=client.cpu > BUSY[1])
    if client.lag_max is not None and client.lag_max > STALLED_S[0]:
        felt = client.lag_max > STALLED_S[1] and client.lag_max > STALLED_SHARE * load.window.seconds
        yield Reason(f"the client was measured: it stood still for {_ms(client.lag_max)}", "client", against=felt)


def _level(load: LoadFigures, asked: AskedLoad) -> Iterable[Reason]:
    """Whether the server felt the load that was asked for."""
    if asked.rate is None:
        if asked.concurrency and load.in_flight is not None:
            missing = 1 - load.in_flight / asked.concurrency
            if missing > NOT_REACHED[0]:
                text = f"{load.in_flight:.3g} requests were in flight on average, of {asked.concurrency}"
                connecting = _connecting(load)
                missing -= connecting / asked.concurrency
                text += f", and {connecting:.2g} waited for a connection" if connecting > LATE[0] else ""
                yield Reason(text, "load", against=missing > NOT_REACHED[1])
        return
    if load.offered_rate is not None and load.sent:
        # How many come in a window is chance, of arrivals at random.
        off = abs(load.offered_rate / asked.rate - 1)
        chance = _SURE * (1.0 if asked.cv is None else asked.cv) / math.sqrt(load.sent) + 1 / load.sent
        if off > max(NOT_REACHED[0], chance) and not (asked.concurrency and load.offered_rate < asked.rate):
            text = f"{load.offered_rate:.4g} requests a second were sent, {asked.rate:.4g} were asked for"
            yield Reason(text, "load", against=off > max(NOT_REACHED[1], chance))
    if load.arrival_cv is not None and asked.cv is not None and not asked.concurrency:
        off, chance = abs(load.arrival_cv - asked.cv), 4 * max(asked.cv, 0.1) / math.sqrt(load.sent)
        if off > max(OTHER_ARRIVALS[0], chance):
            text = (
                f"requests were not spaced as planned: their times vary by {load.arrival_cv:.2f} of the mean,"
                f" not {asked.cv:.2f}"
            )
            yield Reason(text, "arrivals", against=off > max(OTHER_ARRIVALS[1], chance))


def _connecting(load: LoadFigures) -> float:
    """How many requests waited for a connection, on average: by Little's law."""
    client, rate = load.client, load.request_throughput
    return 0.0 if client is None or client.connect_mean is None or rate is None else client.connect_mean * rate


def _steadiness(load: LoadFigures) -> Iterable[Reason]:
    if load.steadiness.steady is False:
        yield Reason(load.steadiness.reason, "unsteady", against=True)
    elif load.steadiness.steady is None:
        yield Reason(load.steadiness.reason, "few")


def _remarks(load: LoadFigures, asked: AskedLoad) -> Iterable[Reason]:
    """What a reader should know besides."""
    if load.steadiness.steady and load.littles_ratio is not None and abs(load.littles_ratio - 1) > LITTLE:
        yield Reason(f"requests in flight are {load.littles_ratio:.2f} times rate times latency: some are not known")
    if load.counted.get("chunks"):
        yield Reason("the server did not count its tokens: chunks of text were counted instead")
    if load.local_ratio is not None and abs(load.local_ratio - 1) > OTHER_COUNT:
        yield Reason(f"the tokenizer here makes {load.local_ratio:.3f} times as many tokens of the text as the server")
    if load.undetermined:
        several = "requests have" if load.undetermined > 1 else "request has"
        yield Reason(f"{load.undetermined} {several} no value for {asked.slo.text}, and counts neither way")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
