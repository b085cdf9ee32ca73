"""The requests of a load as arrays, in the order of their ends, whichever order they came in."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import Gaps, bucket_seconds
from infertui.measure.load.slo import SloTerm
from infertui.measure.records import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

ABORTED = "aborted"
"""The kind of error of a request that this side ended: it neither failed nor was done."""


class Columns(Struct, frozen=True, eq=False):
    """Seconds after an origin, and counts; NaN is not available. One entry a request, in the order of their ends.

    `first` and `last` are its first and last token, `first_tokens` those that came with the first; `answered` is the
    last, or the end of an answer at once, which has no times of tokens; `end` is when it was over. Of
    the time between due and sent it waited for a connection for `connect`. `good` neither failed nor was ended by this
    side, and `aborted` was.
    """

    requests: tuple[Request, ...]
    due: "Floats"
    sent: "Floats"
    connect: "Floats"
    first: "Floats"
    first_output: "Floats"
    last: "Floats"
    answered: "Floats"
    end: "Floats"
    tokens: "Floats"
    first_tokens: "Floats"
    prompt_tokens: "Floats"
    tpot: "Floats"
    good: "Flags"
    aborted: "Flags"

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def failed(self) -> "Flags":
        """Those that failed."""
        return ~(self.good | self.aborted)

    def latency(self, name: str) -> "Floats":
        """One of ttft, ttfo, tpot, e2e, ttft_due, ttfo_due, e2e_due; NaN where there is none."""
        if name == "tpot":
            return self.tpot
        ends = {"ttft": self.first, "ttfo": self.first_output, "e2e": self.answered}[name.removesuffix("_due")]
        return ends - (self.due if name.endswith("_due") else self.sent)

    def own(self, term: SloTerm, *, from_due: bool) -> "Floats":
        """Each request's own value of what a term is about, since it was due or since it was sent."""
        if term.latency != "itl":
            return self.latency(latency_name(term.latency, from_due=from_due))
        return _floats(_gap(request.itl, term.statistic) for request in self.requests)

    def where(self, chosen: "Flags") -> "Columns":
        """Some of them."""
        import numpy as np

        at = np.flatnonzero(chosen)
        names = [name for name in self.__struct_fields__ if name != "requests"]
        return Columns(tuple(self.requests[each] for each in at), *(getattr(self, name)[at] for name in names))


def latency_name(latency: str, *, from_due: bool) -> str:
    """Of those that begin with a request, from when that was due where that is wanted."""
    return f"{latency}_due" if from_due and latency in ("ttft", "ttfo", "e2e") else latency


def columns_of(requests: Sequence[Request], origin_ns: int) -> Columns:
    """Of all requests."""
    import numpy as np

    ordered = tuple(sorted(requests, key=lambda one: (one.end_ns, one.sent_ns, one.due_ns, one.tokens)))
    nan = float("nan")

    def since(stamps: Iterable[int | None]) -> "Floats":
        return _floats(nan if stamp is None else (stamp - origin_ns) / NS_PER_S for stamp in stamps)

    first = since(one.first_ns for one in ordered)
    last = since(one.last_ns for one in ordered)
    sent = since(one.sent_ns for one in ordered)
    end = np.maximum(since(one.end_ns for one in ordered), sent)

    def within(stamps: "Floats", after: "Floats") -> "Floats":
        """Times that contradict others are none: nobody knows which of them is wrong."""
        with np.errstate(invalid="ignore"):
            return np.where((stamps >= after) & (stamps <= end), stamps, nan)

    first = within(first, sent)
    last = within(last, np.where(np.isnan(first), sent, first))
    aborted = np.array([one.error_kind == ABORTED for one in ordered], dtype=bool)
    # Of what this side ended files of before do not tell the last token: it had come until then.
    last = np.where(aborted & np.isnan(last) & np.isfinite(first), end, last)
    tokens = _floats(one.tokens for one in ordered)
    later = _floats(nan if one.itl is None else one.itl.tokens or one.itl.count for one in ordered)
    per_token = _floats(nan if one.itl is None or one.itl.mean is None else one.itl.per_token for one in ordered)
    alone = np.isnan(later)
    later = np.where(alone, np.where((tokens > 1) & (last > first), tokens - 1, 0), later)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(later > 0, (last - first) / later, nan)
    return Columns(
        requests=ordered,
        due=np.minimum(since(one.due_ns for one in ordered), sent),
        sent=sent,
        connect=_floats((one.connect_ns or 0) / NS_PER_S for one in ordered),
        first=first,
        first_output=within(since(one.first_output_ns for one in ordered), sent),
        last=last,
        answered=np.where(np.isnan(first) & np.isnan(last), end, last),
        end=end,
        tokens=tokens,
        first_tokens=np.maximum(tokens - later, 0),
        prompt_tokens=_floats(one.prompt_tokens or None for one in ordered),
        tpot=np.where(alone, spread, per_token),
        good=np.array([not one.error and not one.error_kind for one in ordered], dtype=bool),
        aborted=aborted,
    )


def _gap(gaps: Gaps | None, statistic: str) -> float | None:
    """One of a request's own gaps. Their p95 is not kept: it is read from the histogram."""
    if gaps is None:
        return None
    if statistic in ("", "p95"):
        return gaps.maximum if not statistic else _p95(gaps)
    return {"mean": gaps.mean, "p50": gaps.p50, "p90": gaps.p90, "p99": gaps.p99}[statistic]


def _p95(gaps: Gaps) -> float | None:
    left = 0.95 * (gaps.count - 1)
    for bucket, count in sorted(gaps.histogram.items()):
        left -= count
        if left < 0:
            return min(max(bucket_seconds(bucket), gaps.minimum or 0.0), gaps.maximum or float("inf"))
    return gaps.maximum


def _floats(values: Iterable[float | int | None]) -> "Floats":
    import numpy as np

    return np.fromiter((float("nan") if each is None else each for each in values), dtype=float)
