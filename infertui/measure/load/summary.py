"""From the requests of a load on an endpoint to its figures, over the window in which it was settled."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import msgspec
from msgspec import Struct

from infertui.measure.load.client import Meter, client_figures
from infertui.measure.load.columns import Columns, columns_of
from infertui.measure.load.estimates import (
    BLOCKS,
    GapBlocks,
    distribution,
    share_interval,
    share_of,
)
from infertui.measure.load.figures import LoadFigures, Steadiness, StepFigures, Window
from infertui.measure.load.objectives import SloOutcome, binding
from infertui.measure.load.rates import Rates, known_tokens
from infertui.measure.load.slo import Slo
from infertui.measure.load.steady import FEWEST, level_of, steadiness
from infertui.measure.load.steps import AskedStep, around, concurrency_of, reached, settled_in, step_figures
from infertui.measure.records import Request
from infertui.measure.statistics import Distribution, Interval
from infertui.measure.summary import Summary, with_drift

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


MOST_PARTS, _IN_PART = 48, 4
"""Of a window, and requests in each at least, from twelve parts on."""


class AskedLoad(Struct, frozen=True):
    """What was asked of the clients. `concurrency` None is any; `rate` None: each request followed the one before.

    `cv` is the deviation of the planned times between requests over their mean: 1 of Poisson arrivals, 0 of even ones;
    None: not known, as of a trace. Levels grew over `ramp_s`. `exact_lengths`: answers cannot end earlier;
    `fresh_prompts`: none has more in common with another than chance makes, but for the `around_tokens` that the server
    puts around every prompt. `steps` are the levels of a load that has several.
    """

    concurrency: int | None = None
    rate: float | None = None
    cv: float | None = None
    ramp_s: float = 0.0
    slo: Slo = Slo()
    exact_lengths: bool = True
    fresh_prompts: bool = True
    around_tokens: float = 0.0
    steps: tuple[AskedStep, ...] = ()

    def at(self, step: AskedStep) -> "AskedLoad":
        """What was asked in one of its steps."""
        level = {"concurrency": concurrency_of(step)} if self.rate is None else {"rate": step.level}
        return msgspec.structs.replace(self, steps=(), **level)

    @property
    def open_loop(self) -> bool:
        """Whether requests come at their times, so that their users wait from when they were due."""
        return self.rate is not None or self.concurrency is None


def summarise_load(
    requests: Sequence[Request],
    asked: AskedLoad,
    *,
    origin_ns: int,
    stop_ns: int | None = None,
    window: Window | None = None,
    meters: Sequence[Meter] = (),
    found: Steadiness | None = None,
) -> tuple[Summary, LoadFigures]:
    """Figures of all requests of a load, in any order.

    The load began at `origin_ns`, and nothing new was sent from `stop_ns` on; None: the plan came to its end. Without a
    `window` it is found by rule: where the load was at its level and its latencies had settled; where they never did,
    or too little was seen to tell, it is all of the time at that level, or else of the load. `found` is what was found
    of these requests before, and is not looked for again.
    """
    columns = columns_of(requests, origin_ns)
    stop = None if stop_ns is None else (stop_ns - origin_ns) / 1e9
    # An open loop with room for so many at a time is at its level by its rate.
    in_flight = asked.concurrency if asked.rate is None else None
    level = level_of(columns, concurrency=in_flight, ramp_s=asked.ramp_s, stop=stop)
    found = _found(columns, level, window) if found is None else found
    chosen = found.window or Window(0.0, 0.0)
    summary, load = _Seen(columns, chosen, level.end, settled=found.steady is not False).figures(asked, found, meters)
    steps = _steps(columns, asked, level.end if stop is None else stop, (summary, load)) if window is None else ()
    return summary, msgspec.structs.replace(load, stop=stop, steps=steps)


def token_rates(requests: Sequence[Request], *, origin_ns: int, window: Window) -> tuple[float, ...]:
    """Output tokens a second in equal parts of a window in which the load had settled; none: they are not known.

    They are more than the blocks of its figures where there are many requests: the more there are, the better it is
    seen how they wander together.
    """
    if window.seconds <= 0:
        return ()
    columns = columns_of(requests, origin_ns)
    ended = columns.where(_ended_in(columns, window) & ~columns.aborted)
    done = ended.where(ended.good)
    parts = max(BLOCKS, min(MOST_PARTS, len(done) // _IN_PART))
    tokens = Rates(columns, window, ended, done, window.end, blocks=parts).tokens()
    return () if tokens is None else tuple((tokens / (window.seconds / len(tokens))).tolist())


def _found(columns: Columns, level: Window, window: Window | None) -> Steadiness:
    """Where figures are made, and whether the load was settled there."""
    judged = level if window is None else window
    found = steadiness(columns, judged.start, judged.end)
    if window is not None:
        return msgspec.structs.replace(found, window=window)
    if not len(columns):
        return Steadiness(None, "no request ended", level)
    tells = found.steady is not None or len(columns) >= FEWEST
    if tells and found.window is not None and _ended_in(columns, found.window).any():
        return found
    return msgspec.structs.replace(found, window=Window(float(columns.sent.min()), float(columns.end.max())))


def _steps(
    columns: Columns, asked: AskedLoad, stop: float, last: tuple[Summary, LoadFigures]
) -> tuple[StepFigures, ...]:
    """Of each step; those of the last one are the load's own, where that was reached."""
    told = []
    for step in reached(asked.steps, stop):
        if step.start == asked.ramp_s:
            told.append(step_figures(step, *last))
            continue
        here = around(columns, step)
        found = settled_in(here, step)
        window = found.window or Window(step.start, step.end)
        seen = _Seen(here, window, step.end, settled=found.steady is not False)
        told.append(step_figures(step, *seen.figures(asked.at(step), found, ())))
    return tuple(told)


def _ended_in(columns: Columns, window: Window) -> "Flags":
    return (columns.end > window.start) & (columns.end <= window.end)


class _Seen:
    """What was seen in a window: all requests, those that ended in it, and of these those that were done."""

    def __init__(self, columns: Columns, window: Window, horizon: float, *, settled: bool) -> None:

        self._all = columns
        self._window = window
        self._ended = columns.where(_ended_in(columns, window) & ~columns.aborted)
        self._done = self._ended.where(self._ended.good)
        self._rates = Rates(columns, window, self._ended, self._done, horizon, settled=settled)

    def figures(self, asked: AskedLoad, found: Steadiness, meters: Sequence[Meter]) -> tuple[Summary, LoadFigures]:
        """All of them."""
        done, window = self._done, self._window
        inside = (self._all.sent >= window.start) & (self._all.sent < window.end)
        late, connect = (self._all.sent - self._all.due)[inside], self._all.connect[inside]
        spreads = {
            name: distribution(done.latency(name))
            for name in ("ttft", "tpot", "e2e", "ttfo", "ttft_due", "ttfo_due", "e2e_due")
        }
        gaps = GapBlocks(done.requests)
        outcome = SloOutcome(self._all, asked.slo, from_due=asked.open_loop)
        here = _ended_in(self._all, window) & ~self._all.aborted
        share_good = share_of(self._ended.good) or 0.0
        requests = self._rates.rate(self._rates.requests(self._all.good.astype(float), share_good))
        goodput = self._rates.rate(
            self._rates.requests(outcome.kept.astype(float), share_of(outcome.kept[here]) or 0.0)
        )
        judged = here & (outcome.kept | outcome.broken)
        terms = tuple(outcome.term(term, here, gaps, spreads) for term in asked.slo.terms)
        load = LoadFigures(
            window=window,
            steadiness=found,
            asked_concurrency=asked.concurrency,
            asked_rate=asked.rate,
            request_throughput=requests[0],
            request_throughput_interval=requests[1],
            in_flight=self._rates.in_flight(),
            littles_ratio=self._rates.littles_ratio(),
            latency_due=spreads["e2e_due"][0],
            ttft_due=spreads["ttft_due"][0],
            ttfo=spreads["ttfo"][0],
            tps_user=distribution(_inverse(done.tpot))[0],
            intervals={f"{name}.{what}": each for name in spreads for what, each in spreads[name][1].items()},
            slo=asked.slo.text,
            terms=terms,
            binding=binding(terms),
            goodput=goodput[0] if terms else None,
            goodput_interval=goodput[1] if terms else None,
            attainment=share_of(outcome.kept[judged]) if terms else None,
            attainment_interval=share_interval(outcome.kept[judged]) if terms and judged.any() else None,
            undetermined=int((here & ~judged).sum()) if terms else 0,
            **self._arrivals(asked),
            **self._counts(),
            client=client_figures(late, connect, meters),
        )
        return self._summary(spreads, gaps), load

    def _summary(
        self, spreads: "dict[str, tuple[Distribution | None, dict[str, Interval]]]", gaps: GapBlocks
    ) -> Summary:
        done, seconds = self._done, self._window.seconds
        tokens, prompts = self._rates.tokens(), self._rates.prompt_tokens()
        output, bounds = self._rates.rate(tokens)
        prompt_rate = self._rates.rate(prompts)[0]
        summary = Summary(
            iterations=None,
            requests=len(self._ended),
            failed=int(self._ended.failed.sum()),
            prompt_tokens=_total(done.prompt_tokens),
            output_tokens=_total(known_tokens(done)),
            measured_s=seconds,
            output_throughput=output,
            output_throughput_interval=bounds,
            total_throughput=None if output is None or prompt_rate is None else output + prompt_rate,
            latency=spreads["e2e"][0],
            ttft=spreads["ttft"][0],
            tpot=spreads["tpot"][0],
            tps=distribution(known_tokens(done) / _positive(done.latency("e2e")))[0],
            itl=gaps.pooled,
            cut_off=int(self._all.aborted.sum()),
            observation_unit="block" if tokens is not None and len(tokens) > 1 else "",
            observations=len(tokens) if tokens is not None and len(tokens) > 1 else 0,
        )
        if tokens is None or seconds <= 0:
            return summary
        return with_drift(summary, (tokens / (seconds / len(tokens))).tolist())

    def _arrivals(self, asked: AskedLoad) -> "_Arrivals":
        import numpy as np

        window = self._window
        sent = np.sort(self._all.sent[(self._all.sent >= window.start) & (self._all.sent < window.end)])
        apart = np.diff(sent)
        tells = asked.rate is not None and len(apart) > 1 and apart.mean() > 0
        return {
            "sent": len(sent),
            "offered_rate": len(sent) / window.seconds if window.seconds > 0 else None,
            "arrival_cv": float(apart.std(ddof=1) / apart.mean()) if tells else None,
        }

    def _failed_later(self) -> Counter[str]:
        """Requests that were under way when the window ended, which no other figure tells of."""
        every, window = self._all, self._window
        later = (every.sent < window.end) & (every.end > window.end) & every.failed
        return Counter(one.error_kind or "other" for one in every.where(later).requests)

    def _counts(self) -> "_Counts":
        import numpy as np

        ended, done = self._ended, self._done
        errors = Counter(one.error_kind or "other" for one in ended.where(ended.failed).requests)
        counted: Counter[str] = Counter()
        local = server = cached = prompts = reasoning = with_reasoning = others = asked = 0
        for one in done.requests:
            if one.counted:
                counted[one.counted] += one.tokens
            if one.local_tokens is not None and one.counted == "server":
                local, server = local + one.local_tokens, server + one.tokens
            if one.cached_tokens is not None and one.prompt_tokens:
                cached, prompts = cached + one.cached_tokens, prompts + one.prompt_tokens
            if one.reasoning_tokens is not None:
                reasoning, with_reasoning = reasoning + one.reasoning_tokens, with_reasoning + one.tokens
            if one.asked_tokens is not None and one.counted:
                others, asked = others + (one.tokens != one.asked_tokens), asked + 1
        return {
            "errors": dict(sorted(errors.items())),
            "failed_later": dict(sorted(self._failed_later().items())),
            "error_rate": share_of(ended.failed),
            "error_rate_interval": share_interval(np.asarray(ended.failed)) if len(ended) else None,
            "cached_share": cached / prompts if prompts else None,
            "reasoning_share": reasoning / with_reasoning if with_reasoning else None,
            "counted": dict(sorted(counted.items())),
            "local_ratio": local / server if server else None,
            "other_lengths": others / asked if asked else None,
        }


class _Arrivals(TypedDict):
    sent: int
    offered_rate: float | None
    arrival_cv: float | None


class _Counts(TypedDict):
    errors: dict[str, int]
    failed_later: dict[str, int]
    error_rate: float | None
    error_rate_interval: Interval | None
    cached_share: float | None
    reasoning_share: float | None
    counted: dict[str, int]
    local_ratio: float | None
    other_lengths: float | None


def _positive(values: "Floats") -> "Floats":
    import numpy as np

    return np.where(values > 0, values, np.nan)


def _inverse(values: "Floats") -> "Floats":
    return 1 / _positive(values)


def _total(values: "Floats") -> int | None:
    total = float(values.sum())
    return None if math.isnan(total) else int(total)
