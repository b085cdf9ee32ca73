"""One stay at a level of load: fed with what clients tell, it says when it is over and what it showed."""

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from infertui.analysis.capacity.curve import figures_at
from infertui.analysis.capacity.observed import observe
from infertui.analysis.capacity.outcome import Stay
from infertui.measure.clock import NS_PER_S
from infertui.measure.load.figures import Steadiness, Window
from infertui.measure.load.steady import SteadyWatch, nearly_longest
from infertui.measure.load.summary import AskedLoad, summarise_load
from infertui.measure.load.validity import judge_load
from infertui.measure.records import Request
from infertui.runner.endpoint.live import client_seen
from infertui.worker.loadgen.protocol import LoadSnapshot

StayEnd = Literal["settled", "overloaded", "unsettled"]
GIVE_UP_STAYS = 6.0
"""So many times the asked length of a stay it is waited for latencies that do not settle,"""
GIVE_UP_LATENCIES = 10.0
"""or so many mean latencies, whichever is longer,"""
FIRST_S = 120.0
"""and so long for the first request to end at all,"""
GIVE_UP_S = 600.0
"""but no longer."""
RISING_STAYS = 2.0
"""So many stays latencies have to have risen before a rate is called more than the server can do."""
_LAST = 5
"""So many requests that found nobody listening, one after the other, say that nobody does."""
MANY_FAIL, FEWEST = 0.05, 20
"""Where so large a share of so many requests fail it is not waited for anything to settle."""
_REACHED_S = 2.0
"""A level that is not reached by then, as where requests are refused, is not waited for any longer."""
_NEAR = 0.03
_OF_THE_CLIENT = frozenset({"client", "load", "arrivals"})
_LOOKED_AT = 2000
_REASONS_OF_LEVEL = ("never settled", "too few", "too short")
"""What a stay that is too much for the server has by its nature."""


class LevelStay:
    """From `begin_ns` (monotonic) on at a level, for `stay_s` settled seconds at least."""

    def __init__(self, level: float, asked: AskedLoad, *, begin_ns: int, stay_s: float) -> None:
        self.level = level
        self.found: Steadiness | None = None
        self._asked = asked
        self._begin_ns = begin_ns
        self._stay_s = stay_s
        self._watch = SteadyWatch(begin_ns)
        self._requests: list[Request] = []
        self._in_flight: dict[int, int] = {}
        self._snapshots: list[LoadSnapshot] = []
        self._reached_ns: int | None = begin_ns if asked.rate is not None else None

    @property
    def in_flight(self) -> int:
        """Of all clients, as they last told."""
        return sum(self._in_flight.values())

    @property
    def requests(self) -> int:
        """How many have ended."""
        return len(self._requests)

    @property
    def unheard(self) -> bool:
        """Whether nobody listened there in the end: a server that has too much to do still listens."""
        last = [one.error_kind for one in self._requests if one.error_kind != "aborted"][-_LAST:]
        return bool(last) and all(kind == "connect" for kind in last)

    def elapsed(self, now_ns: int) -> float:
        """Seconds at this level."""
        return max(0.0, (now_ns - self._begin_ns) / NS_PER_S)

    def add(self, requests: Sequence[Request]) -> None:
        """Some that ended; those that ended before are none of this stay."""
        here = [request for request in requests if request.end_ns > self._begin_ns]
        self._requests += here
        self._watch.add(here)

    def snapshot(self, part: int, told: LoadSnapshot) -> None:
        """What one of the clients tells."""
        if told.t_ns <= self._begin_ns:
            return
        self._in_flight[part] = told.in_flight
        self._snapshots.append(told)
        near = abs(self.in_flight - self.level) <= max(_NEAR * self.level, 0.5)
        if self._reached_ns is None and (near or self.elapsed(told.t_ns) > _REACHED_S):
            self._reached_ns = told.t_ns

    def look(self, now_ns: int) -> StayEnd | None:
        """Whether it is over, and how."""
        if self.unheard:
            return "unsettled"
        if self._reached_ns is None:
            return None
        now, begin = self.elapsed(now_ns), (self._reached_ns - self._begin_ns) / NS_PER_S
        spent = now - begin
        if spent <= 0:
            return None
        # Of the last moments not all is known: requests that are under way say nothing yet.
        found = self.found = self._watch.verdict(begin, now - nearly_longest(self._requests), least_s=self._stay_s)
        if found.steady:
            return "settled"
        if spent > self._stay_s and self._failures() > MANY_FAIL:
            return "unsettled"
        if spent > RISING_STAYS * self._stay_s and self._rises(found):
            return "overloaded"
        patience = max(GIVE_UP_STAYS * self._stay_s, GIVE_UP_LATENCIES * self._latency())
        if not self._requests and self._asked.rate is None:
            patience = max(patience, FIRST_S)
        if spent < min(patience, GIVE_UP_S):
            return None
        hardly_any = self._asked.rate is not None and len(self._requests) < self._asked.rate * spent / 2
        return "overloaded" if hardly_any else "unsettled"

    def window_ns(self, now_ns: int) -> tuple[int, int]:
        """From when to when its figures are, monotonic nanoseconds."""
        window = self.found.window if self.found and self.found.window else Window(0.0, self.elapsed(now_ns))
        return self._begin_ns + round(window.start * NS_PER_S), self._begin_ns + round(window.end * NS_PER_S)

    def result(self, end: StayEnd, now_ns: int, *, number: int, at: float, seed: int) -> Stay:
        """What it showed."""
        found = self.found or Steadiness(None, "it was not looked at")
        window = found.window or Window(0.0, self.elapsed(now_ns))
        summary, load = summarise_load(
            self._requests,
            self._asked,
            origin_ns=self._begin_ns,
            window=window,
            meters=client_seen(self._snapshots, self.elapsed(now_ns)),
        )
        verdict = judge_load(summary, load, self._asked)
        disturbed = not verdict.valid and not _OF_THE_CLIENT.isdisjoint(verdict.marks)
        against = tuple(text for text in verdict.invalid if not text.startswith(_REASONS_OF_LEVEL))
        seen = observe(
            self._requests,
            self._asked.slo,
            window,
            origin_ns=self._begin_ns,
            level=self.level,
            from_due=self._asked.open_loop,
        )
        return Stay(
            observation=replace(
                seen,
                stay=number,
                at=at,
                # What may be the client's doing is not said to be the server's.
                overloaded=end == "overloaded" and not disturbed,
                disturbed=disturbed,
            ),
            figures=figures_at(self.level, summary, load),
            steady=found.steady,
            reason=found.reason,
            against=against,
            took_s=self.elapsed(now_ns),
            seed=seed,
            end=end,
        )

    def _rises(self, found: Steadiness) -> bool:
        """Whether more comes than is done: of a closed loop there is never more in flight than was asked for."""
        rises = found.steady is False and (found.change is None or found.change > 0)
        return self._asked.rate is not None and rises and found.moved != "tpot"

    def _failures(self) -> float:
        """Share of the requests that failed, where there are enough to tell."""
        ended = [one for one in self._requests if one.error_kind != "aborted"]
        return sum(bool(one.error) for one in ended) / len(ended) if len(ended) >= FEWEST else 0.0

    def _latency(self) -> float:
        known = [one.end_ns - one.sent_ns for one in self._requests[-_LOOKED_AT:] if not one.error]
        return sum(known) / len(known) / NS_PER_S if known else 0.0
