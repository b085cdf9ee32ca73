"""The figures of a kept load, derived anew from its requests."""

from collections.abc import Sequence

from msgspec.structs import replace

from infertui.measure.clock import NS_PER_S
from infertui.measure.load.figures import ClientFigures
from infertui.measure.load.summary import summarise_load
from infertui.measure.load.validity import judge_load
from infertui.measure.records import Request
from infertui.results.result import Result
from infertui.runner.endpoint.asked import asked_load
from infertui.runner.endpoint.others import OTHERS

STOPPED = "stopped early: "
"""What a verdict says of things that no request tells."""


def anew(old: Result, requests: Sequence[Request]) -> Result | None:
    """By today's rules, over the window that was found then; None where these are not the requests of that result.

    What clients told of themselves, and what was seen of the server and its device, stays.
    """
    before = old.load
    if before is None:
        return None
    stop = before.window.end if before.stop is None else before.stop
    asked = asked_load(old.own_config, old.loaded)
    found = replace(before.steadiness, window=before.window)
    summary, load = summarise_load(requests, asked, origin_ns=0, stop_ns=round(stop * NS_PER_S), found=found)
    if (summary.requests, summary.failed, load.sent) != (old.summary.requests, old.summary.failed, before.sent):
        return None
    load = replace(load, client=_client(load.client, before.client), stop=before.stop)
    verdict = judge_load(summary, load, asked)
    kept = tuple(note for note in old.verdict.notes if note.startswith((STOPPED, OTHERS)))
    return replace(old, summary=summary, load=load, verdict=replace(verdict, notes=(*verdict.notes, *kept)))


def _client(now: ClientFigures | None, before: ClientFigures | None) -> ClientFigures | None:
    """How late requests were is known anew, and nothing else."""
    if now is None or before is None:
        return before
    names = ("late_p50", "late_p99", "late_max", "connect_mean", "connect_p99")
    return replace(before, **{name: getattr(now, name) for name in names})
