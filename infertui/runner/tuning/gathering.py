"""What a segment under way comes to: its batches as they end, its comparisons, and the points of the charts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from infertui.analysis.tuning.segment import (
    GROWTH,
    Compared,
    Segment,
    against,
    comparisons,
    known_within,
    looks_until,
)
from infertui.measure.clock import NS_PER_S
from infertui.measure.comparison import Totals
from infertui.measure.dependence import FEWEST
from infertui.measure.itl import merge_gaps
from infertui.measure.records import BatchRecord
from infertui.measure.statistics import describe
from infertui.runner.events import LoadProgressed
from infertui.runner.tuning.course import CLIMB_SEGMENT_S, SegmentPlan
from infertui.runner.tuning.state import TuningLive, TuningPoint

HOPELESS, HOPELESS_REQUESTS = 5, 20
WELL_KNOWN = 0.05
"""How far the interval of a first segment may reach to either side, as a share, for it to be told what comes next."""
POINT_S = 0.5
"""Seconds between two points, at the least."""


class Gathering:
    """Of segment `number`, which began at `began` of its session. `others` are those before it, with what of them was
    observed."""

    def __init__(
        self, number: int, name: str, began: float, others: Sequence[Segment], observed_of: Mapping[int, Totals]
    ) -> None:
        self.number, self.name, self.began = number, name, began
        self.process = 0
        self.over = asyncio.Event()
        """Set when it has ended."""
        self.baseline = 0
        self.versus = 0
        """The segment that it is to be clear against; 0: the one before."""
        self.among = 1
        """Of how many that one was chosen as the best."""
        self._others, self._observed_of = others, observed_of
        self._tokens: list[float] = []
        self._seconds: list[float] = []
        self._stretches: list[tuple[float, ...]] = []
        self._recent: list[BatchRecord] = []
        self._point_at = began
        self._looks = 0
        self._first_look = FEWEST
        self._failed = 0
        self._load: LoadProgressed | None = None
        self._rates: tuple[float, ...] = ()
        self._load_looks = 0
        self._load_look_at = 0.0
        self._looks_at_versus = 0
        self._clear = False
        self._marked = 0
        self._found: Compared = (None, None, None)

    @property
    def observed(self) -> Totals:
        """Tokens over seconds of the batches so far, or of parts of a load."""
        if self._load is not None:
            return Totals.mean_of(self._rates)
        return Totals(tuple(self._tokens), tuple(self._seconds), tuple(self._stretches))

    def take(self, batch: BatchRecord) -> None:
        """Take a measured batch; one that failed tells nothing of the speed."""
        if batch.error:
            self._failed += 1
            return
        self._tokens.append(float(batch.tokens))
        self._seconds.append(batch.seconds)
        self._stretches.append(tuple(length / NS_PER_S for length in batch.stretches_ns))
        self._recent.append(batch)

    def look(self, plan: SegmentPlan, rates: Callable[[], tuple[float, ...]], *, begins_climb: bool) -> bool:
        """Look whether it is to end, now that more of it is known; `rates` are those of a load."""
        if (load := self._load) is not None:
            if self._load_is_due(least_s=0.0 if plan.until_clear else plan.seconds):
                self._look_at_load(load.elapsed, rates())
            seconds, begun = load.elapsed, bool(load.steady) or load.elapsed >= CLIMB_SEGMENT_S
        else:
            seconds, begun = self.seconds, self.batches >= FEWEST
            if not begun:
                return self.hopeless
            if plan.lengthens and not plan.until_clear and self._first_look == FEWEST and seconds >= plan.seconds:
                # Until then it is not to end, whatever it looks like: this look is the first that counts.
                self._first_look, self._looks = self.batches, 0
        clear = self.clear and (self.others_measured or seconds >= plan.seconds)
        return self.hopeless or (begins_climb and begun) or plan.over(seconds, clear=clear)

    def looked(self) -> Compared:
        """Against the one before, the best and the baseline, as of the last look that was due."""
        looks = self.looks
        if looks != self._looks or self.baseline != self._marked:
            self._looks, self._marked = looks, self.baseline
            self._found = self.compared(fixed=False)
        return self._found

    def progressed(self, event: LoadProgressed) -> None:
        """Take how a load on a server goes."""
        self._load = event

    def _load_is_due(self, *, least_s: float) -> bool:
        """Once it has settled, `least_s` after its begin or later, and whenever it has lasted half as long again."""
        load = self._load
        return load is not None and bool(load.steady) and load.elapsed >= max(least_s, self._load_look_at)

    def _look_at_load(self, elapsed: float, rates: tuple[float, ...]) -> None:
        if rates:
            self._rates = rates
            self._load_looks += 1
            self._load_look_at = elapsed * GROWTH

    def over_with(self, rates: tuple[float, ...]) -> None:
        """Take what a load came to in the end, where all of it is known; it compares as it was looked at last."""
        self._rates = rates

    @property
    def looks(self) -> int:
        """How often it was looked at so far."""
        return self._load_looks or looks_until(len(self._tokens), self._first_look)[0]

    @property
    def rates(self) -> tuple[float, ...]:
        """Of a load: tokens a second in parts of its window."""
        return self._rates

    def compared(self, *, fixed: bool, figures: Mapping[str, float | None] | None = None) -> Compared:
        """The same now; `fixed`: this is the only look, and when it is was said beforehand."""
        return comparisons(
            self.number,
            self.observed,
            self._others,
            self._observed_of,
            process=self.process,
            fixed=fixed,
            first=self._first_look,
            look=self._load_looks,
            baseline=self.baseline,
            figures=figures,
        )

    @property
    def batches(self) -> int:
        """How many are measured."""
        return len(self._seconds)

    @property
    def seconds(self) -> float:
        """For how long it is measured."""
        return sum(self._seconds)

    @property
    def others_measured(self) -> bool:
        """Whether there is a segment to hold it against."""
        return any(one.measured for one in self._others)

    @property
    def hopeless(self) -> bool:
        """Whether every batch so far failed, or request, and that were several: it would go on failing."""
        if self._load is not None:
            return self._load.failed >= HOPELESS_REQUESTS and not self._load.done
        return self._failed >= HOPELESS and not self._seconds

    @property
    def clear(self) -> bool:
        """Whether it can be said how it compares with `versus`; of the first one, how fast it is."""
        if not self.others_measured:
            return self._known_well()
        if not self.versus or self.versus not in self._observed_of:
            previous, _, _ = self.looked()
            return previous is not None and previous.finding != "unclear"
        looks = self.looks
        if looks != self._looks_at_versus:
            self._looks_at_versus = looks
            theirs = self._observed_of[self.versus]
            found = against(
                self.versus,
                theirs,
                self.observed,
                fixed=False,
                first=self._first_look,
                look=self._load_looks,
                among=self.among,
            )
            self._clear = found.finding != "unclear"
        return self._clear

    def _known_well(self) -> bool:
        looks = self.looks
        if looks != self._looks_at_versus:
            self._looks_at_versus = looks
            self._clear = known_within(self.observed, WELL_KNOWN)
        return self._clear

    def live(self) -> TuningLive:
        """As it is shown."""
        previous, best, baseline = self.looked()
        if (load := self._load) is not None:
            return TuningLive(
                self.number,
                self.name,
                self.began,
                batches=load.done,
                seconds=load.elapsed,
                throughput=load.tokens_per_s,
                previous=previous,
                best=best,
                baseline=baseline,
            )
        seconds = self.seconds
        return TuningLive(
            self.number,
            self.name,
            self.began,
            batches=len(self._seconds),
            seconds=seconds,
            throughput=sum(self._tokens) / seconds if seconds else None,
            previous=previous,
            best=best,
            baseline=baseline,
        )

    def point(self, now: float, *, vram: int | None, power: float | None, last: bool = False) -> TuningPoint | None:
        """The next point, of the batches since the one before; None where it is too early, unless it is the `last`, and
        where nothing was measured."""
        if (load := self._load) is not None:
            if load.phase != "measure" or now - self._point_at < POINT_S or load.tokens_per_s is None:
                return None
            self._point_at = now
            return TuningPoint(
                now,
                self.number,
                throughput=load.tokens_per_s,
                ttft=load.ttft_p50,
                ttft_p99=load.ttft_p99,
                itl=load.itl_p50,
                itl_p99=load.itl_p99,
                vram=vram,
                power=power,
                joules_per_token=power / load.tokens_per_s if power is not None and load.tokens_per_s else None,
            )
        if not self._recent or (now - self._point_at < POINT_S and not last):
            return None
        batches, self._recent, self._point_at = self._recent, [], now
        seconds = sum(batch.seconds for batch in batches)
        throughput = sum(batch.tokens for batch in batches) / seconds if seconds else None
        firsts = [request.ttft for batch in batches for request in batch.requests if request.ttft is not None]
        ttft = describe(firsts, independent=len(batches))
        gaps = merge_gaps(batch.itl for batch in batches if batch.itl)
        return TuningPoint(
            now,
            self.number,
            throughput=throughput,
            ttft=ttft.p50 if ttft else None,
            ttft_p99=ttft.p99 if ttft else None,
            itl=gaps.p50 if gaps else None,
            itl_p99=gaps.p99 if gaps else None,
            vram=vram,
            power=power,
            joules_per_token=power / throughput if power is not None and throughput else None,
        )
